"""The market as another exchange trades it: its trades, some basis points apart, of other size, some of them missing.

Pure: a function of exchange and trade, so a restart tells the same story, and a minute's candle stays the sum of the
trades there.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from zlib import crc32

from pricetracker_dagster.simulator.market import Market, Pair, Trade

_APART = 0.0004
"""Largest difference of a price, as a share of it: 4 basis points."""

_PERIOD = 5_400
"""Seconds in which that difference goes from one value to another."""

_KEPT = 0.8
"""Share of the trades that happen there, too."""

_LOT = Decimal("0.00000001")
_MOST_DECIMALS = 8


class Elsewhere(Market):
    """The market of ``home`` at another exchange. Prices have one digit more, so that thin pairs differ, too."""

    def __init__(self, home: Market, exchange: str) -> None:
        """Name the pairs."""
        self.home = home
        self.exchange = exchange
        self.first = home.first
        self.pairs = [replace(pair, decimals=min(pair.decimals + 1, _MOST_DECIMALS)) for pair in home.pairs]
        self._at_home = {pair.altname: pair for pair in home.pairs}
        self._minute = lru_cache(maxsize=40_000)(self._trades)

    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trades of one minute, oldest first."""
        return self._minute(pair.altname, minute)

    def _trades(self, altname: str, minute: int) -> tuple[Trade, ...]:
        pair = self._at_home[altname]
        trades = self.home.trades(pair, minute)
        if not trades:
            return ()
        decimals = min(pair.decimals + 1, _MOST_DECIMALS)
        tick = Decimal(1).scaleb(-decimals)
        seed = f"{self.exchange} {altname}"
        factor, size = Decimal(1 + self._apart(seed, minute)), _size(seed)
        found = []
        for trade in trades:
            chance = crc32(f"{seed} {trade.id}".encode()) / 2**32
            if chance < _KEPT:
                volume = (trade.volume * Decimal(size * (0.5 + chance))).quantize(_LOT)
                price = (trade.price * factor).quantize(tick)
                found.append(trade._replace(price=price, volume=max(volume, _LOT)))
        return tuple(found)

    def _apart(self, seed: str, minute: int) -> float:
        """Return by which share prices differ in a minute: smooth from one period to the next."""
        left, rest = divmod(minute, _PERIOD)
        t = rest / _PERIOD
        a, b = _lattice(seed, left), _lattice(seed, left + 1)
        return _APART * (a + (b - a) * t * t * (3 - 2 * t))


@lru_cache(maxsize=20_000)
def _lattice(seed: str, x: int) -> float:
    return random.Random(f"{seed} {x}").uniform(-1, 1)  # noqa: S311 - invented prices, to be the same each time


@lru_cache(maxsize=20_000)
def _size(seed: str) -> float:
    """Return by what volumes are larger there, from a third to three times."""
    return math.exp(random.Random(f"{seed} size").uniform(-1.1, 1.1))  # noqa: S311 - see above
