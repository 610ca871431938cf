"""What ccxt does not know of an exchange, each with its source: above all what a minute that is absent means.

An exchange without a record gets the cautious one: nothing that is absent is taken for quiet unless its trades say so.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.settings.exchanges import SIMULATED

Quiet = Literal["listed", "left out", "unknown"]

LEAD = 5
"""So many minutes before those that are wanted are asked for too, where quiet ones are left out: their close is the
price of a quiet beginning."""


class Record(NamedTuple):
    """How an exchange answers for its minute candles.

    Attributes:
        quiet: what becomes of minutes without trades: they are ``listed`` as flat rows, so that one that is absent is
            missing; they are ``left out``; or it is ``unknown``.
        rows: how many one answer has at most.
        back: how far back its candles go at all; None: to the first trade.
        forming: how the minute that is still forming is told, where it is in the answer.
        ends: which ends of the range that is asked for belong to it.
        count_at: where in a row of the exchange the number of trades stands; None: it tells none.
        trades: how many of the last trades are asked for at once.
        requests_per_second: how many requests for candles it grants, where ccxt's figure is not the one to go by.
        candle_cost: what ccxt takes a request for candles to cost, which is the unit of our rate limit.
        url: root of its interface, where ccxt's is not the one to ask.
        options: ccxt's, so that it asks no more than is needed.
        source: where all this is said.
    """

    quiet: Quiet
    rows: int
    back: timedelta | None
    forming: str
    ends: str
    source: str
    count_at: int | None = None
    trades: int | None = None
    requests_per_second: float | None = None
    candle_cost: float = 1.0
    url: str = ""
    options: Mapping[str, Any] = {}

    @property
    def reach(self) -> timedelta:
        """How far back one answer surely reaches: one row may be forming, and one may end while we ask."""
        lead = 0 if self.quiet == "listed" else LEAD
        return min((self.rows - 2 - lead) * MINUTE, DAY)


_BY_TIME = "in the answer; by its time alone"

_SPOT_ONLY = {"fetchMarkets": {"types": ["spot"]}}

UNKNOWN = Record("unknown", 100, None, _BY_TIME, "not known", "no record: cautious defaults", options=_SPOT_ONLY)

RECORDS: Mapping[str, Record] = {
    "KRAKEN": Record(  # which has a module of its own, and rebuilds from trades what candles do not reach
        "listed",
        720,
        timedelta(hours=12),
        _BY_TIME,
        "since is exclusive",
        "Kraken REST API documentation, Get OHLC data; recorded answers of 2017",
        count_at=7,
    ),
    "COINBASE": Record(
        "left out",
        300,
        None,
        _BY_TIME,
        "both inclusive; rows before the start may come too",
        "Coinbase Exchange API reference, Get product candles; recorded answers of 2017 and 2018",
        trades=1000,
    ),
    "BINANCE": Record(
        "listed",
        1000,
        None,
        _BY_TIME,
        "both inclusive",
        "Binance Spot API documentation, Kline data; recorded answers of 2020",
        count_at=8,
        trades=1000,
        candle_cost=0.4,
        url="https://data-api.binance.vision",  # market data alone, which answers from more places
        options=_SPOT_ONLY,
    ),
    "BITSTAMP": Record(
        "listed",
        1000,
        None,
        _BY_TIME,
        "both inclusive; a range of more rows gives the newest",
        "Bitstamp API documentation, OHLC data; recorded answers of 2019",
    ),
    "BITFINEX": Record(
        "left out",
        10_000,
        None,
        _BY_TIME,
        "both inclusive",
        "Bitfinex API reference, Candles (30 requests a minute); recorded rows of 2020",
        trades=1000,
        requests_per_second=0.5,
        candle_cost=2.7,
    ),
    "GEMINI": Record(
        "listed",
        1440,
        DAY,
        _BY_TIME,
        "no range can be asked for",
        "Gemini REST API documentation, Candles (one request a second is advised); recorded answers",
        trades=500,
        requests_per_second=1.0,
        candle_cost=5.0,
    ),
    "OKX": Record(
        "unknown",  # rows as it seems, which nobody has verified
        300,
        None,
        'in the answer; its last field, confirm, is "0"',
        "both exclusive, as ccxt asks",
        "OKX API guide, Get candlesticks and candlesticks history; recorded answers of 2021",
        trades=500,
        candle_cost=0.5,
        options=_SPOT_ONLY,
    ),
}


def record_of(name: str) -> Record:
    """Return what is known of an exchange, by the name that metrics bear; a simulated one answers as the real one."""
    return RECORDS.get(name.removeprefix(f"{SIMULATED}_"), UNKNOWN)
