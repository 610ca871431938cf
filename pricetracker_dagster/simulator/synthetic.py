"""Invented trades of well-known pairs and of as many others as a load needs."""

import math
import random
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

from pricetracker_dagster.simulator.elsewhere import Elsewhere
from pricetracker_dagster.simulator.market import HOME, KNOWN_PAIRS, MINUTE, SECOND, Market, Pair, Trade

_TICK = 100_000
"""Nanoseconds between two trades at least: Kraken writes times with four decimals."""

_LOT = Decimal("0.00000001")


class SyntheticMarket(Market):
    """Invented trades.

    The price is a level times smooth noise of several periods, from hours to weeks; the number of trades varies from
    minute to minute, with a burst every few hours.

    Args:
        synthetic_pairs: so many pairs more, ``S0001/USD`` …, for load drills.
    """

    def __init__(self, synthetic_pairs: int = 0) -> None:
        """Make the list of pairs."""
        more = [(f"S{i:04d}", 1.0 + i % 97) for i in range(1, synthetic_pairs + 1)]
        self.pairs = (*KNOWN_PAIRS, *(Pair(f"{x}USD", f"{x}/USD", x, "ZUSD", 4, level, 3.0, 50.0) for x, level in more))

    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trades of one minute, oldest first."""
        return _trades(pair, minute)

    def at(self, exchange: str) -> Market:
        """Return the market at another exchange than Kraken."""
        return self if exchange == HOME else Elsewhere(self, exchange)


@lru_cache(maxsize=60_000)
def _trades(pair: Pair, minute: int) -> tuple[Trade, ...]:
    chance = random.Random(f"{pair.altname} {minute}")  # noqa: S311 - invented prices, to be the same each time
    busy = chance.random() < 1 / 240
    mean = pair.trades_a_minute * (8.0 if busy else 1.0) * math.exp(chance.gauss(0, 0.5) - 0.125)
    count = _poisson(chance, mean)
    if not count:
        return ()
    opening, closing = _price(pair, minute), _price(pair, minute + MINUTE)
    trades = []
    for i, moment in enumerate(sorted(chance.sample(range(MINUTE * SECOND // _TICK), count))):
        share = moment * _TICK / (MINUTE * SECOND)
        price = (opening + (closing - opening) * share) * (1 + chance.gauss(0, 0.00008))
        volume = Decimal(pair.volume * (3.0 if busy else 1.0) * math.exp(chance.gauss(0, 1.0))).quantize(_LOT)
        when, side, kind = minute * SECOND + moment * _TICK, chance.choice("bs"), chance.choice("ml")
        trades.append(Trade(pair.price(price), max(volume, _LOT), when, side, kind, minute // MINUTE * 1000 + i))
    return tuple(trades)


def _poisson(chance: random.Random, mean: float) -> int:
    limit, count, product = math.exp(-min(mean, 300.0)), 0, chance.random()
    while product > limit and count < 999:
        count += 1
        product *= chance.random()
    return count


def _price(pair: Pair, second: int) -> float:
    """Return the price at a moment: smooth noise of four periods around the pair's level."""
    drift = sum(
        size * _noise(f"{pair.altname} {period}", second / period)
        for period, size in ((2_400, 0.002), (14_400, 0.006), (86_400, 0.015), (604_800, 0.05))
    )
    return pair.level * math.exp(drift)


def _noise(seed: str, x: float) -> float:
    """Return value noise between -1 and 1: random at whole numbers, smooth between them."""
    left = math.floor(x)
    a, b = _lattice(seed, left), _lattice(seed, left + 1)
    t = x - left
    return a + (b - a) * t * t * (3 - 2 * t)


@lru_cache(maxsize=50_000)
def _lattice(seed: str, x: int) -> float:
    return random.Random(f"{seed} {x}").uniform(-1, 1)  # noqa: S311 - see above
