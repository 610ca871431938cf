"""A local exchange that speaks Kraken's public REST dialect: for demos, tests, load and fault drills.

Its prices are invented, and whoever tracks them calls them ``SIMULATED:…``. market.py invents them, replay.py takes
them from recorded files instead, faults.py says what is to go wrong, answers.py and dialect.py what is answered;
server.py sends it.
"""

from pricetracker_dagster.simulator.market import Market, SyntheticMarket
from pricetracker_dagster.simulator.replay import ReplayError, ReplayMarket
from pricetracker_dagster.simulator.server import PortBusy, Simulator, serve

__all__ = ["Market", "PortBusy", "ReplayError", "ReplayMarket", "Simulator", "SyntheticMarket", "serve"]
