"""A local exchange that speaks the dialects of Kraken, Coinbase and Binance: for demos, tests, load and fault drills.

Its prices are invented, and whoever tracks them calls them ``SIMULATED:…``. market.py says what a market is,
synthetic.py invents one, replay.py takes it from recorded files instead, elsewhere.py tells it as other exchanges have
it. dialect.py is the seam of the dialects, one module each; faults.py says what is to go wrong, limits.py what is
granted; server.py sends it.
"""

from pricetracker_dagster.simulator.dialect import Dialect
from pricetracker_dagster.simulator.market import Market
from pricetracker_dagster.simulator.replay import ReplayError, ReplayMarket
from pricetracker_dagster.simulator.server import DIALECTS, PortBusy, Simulator, serve
from pricetracker_dagster.simulator.synthetic import SyntheticMarket

__all__ = [
    "DIALECTS",
    "Dialect",
    "Market",
    "PortBusy",
    "ReplayError",
    "ReplayMarket",
    "Simulator",
    "SyntheticMarket",
    "serve",
]
