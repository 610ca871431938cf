"""What is traded on the simulated exchange: pairs, their trades, and the candles that these add up to.

Pure: everything is a function of pair and minute. A candle is nothing but the sum of its minute's trades, so the
two can never disagree, and a restart tells the same story.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import NamedTuple

SECOND = 1_000_000_000
MINUTE = 60
"""Minutes are Unix seconds of their open, divisible by 60."""

_TICK = 100_000
"""Nanoseconds between two trades at least: Kraken writes times with four decimals."""

_LOT = Decimal("0.00000001")


@dataclass(frozen=True)
class Pair:
    """One market in Kraken's names."""

    key: str
    """By which answers are keyed, e.g. ``XXBTZUSD``."""
    wsname: str
    """Base and quote, e.g. ``XBT/USD``."""
    base: str
    quote: str
    decimals: int
    """Digits of a price after the point."""
    level: float = 1.0
    """Around which an invented price moves."""
    trades_a_minute: float = 1.0
    """On average; far below 1 for a thin pair."""
    volume: float = 1.0
    """Base units of a usual trade."""

    @property
    def altname(self) -> str:
        """The name that requests take, e.g. ``XBTUSD``."""
        return self.wsname.replace("/", "")

    def price(self, value: float | Decimal) -> Decimal:
        """Round to the pair's tick."""
        return Decimal(value).quantize(Decimal(1).scaleb(-self.decimals), ROUND_HALF_EVEN)


class Trade(NamedTuple):
    """One trade: price in the quote currency, volume in base units, time in Unix nanoseconds."""

    price: Decimal
    volume: Decimal
    time: int
    side: str
    kind: str
    id: int


class Candle(NamedTuple):
    """One minute; ``vwap`` is None where there was no trade."""

    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal | None
    volume: Decimal
    trades: int


class Market(ABC):
    """Where the trades come from."""

    pairs: Sequence[Pair]

    first = 0
    """No pair has traded before this minute."""

    @abstractmethod
    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trades of one minute, oldest first; always the same ones."""

    def close_before(self, pair: Pair, minute: int) -> Decimal | None:
        """Return the last price before a minute; None before the pair's first trade."""
        for earlier in range(minute - MINUTE, self.first - MINUTE, -MINUTE):
            if trades := self.trades(pair, earlier):
                return trades[-1].price
        return None


def candle(pair: Pair, minute: int, trades: Sequence[Trade], before: Decimal | None) -> Candle | None:
    """Add up one minute's trades. A quiet minute is flat at the price before; before the first trade there is none."""
    if not trades:
        return None if before is None else Candle(minute, before, before, before, before, None, Decimal(0), 0)
    prices = [trade.price for trade in trades]
    volume = sum((trade.volume for trade in trades), Decimal(0))
    turnover = sum((trade.price * trade.volume for trade in trades), Decimal(0))
    vwap = pair.price(turnover / volume) if volume else prices[-1]
    return Candle(minute, prices[0], max(prices), min(prices), prices[-1], vwap, volume, len(trades))


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


KNOWN_PAIRS = (
    Pair("XXBTZUSD", "XBT/USD", "XXBT", "ZUSD", 1, 64_000, 14, 0.02),
    Pair("XETHZUSD", "ETH/USD", "XETH", "ZUSD", 2, 3_200, 10, 0.3),
    Pair("XXRPZUSD", "XRP/USD", "XXRP", "ZUSD", 5, 0.62, 5, 600),
    Pair("XDGUSD", "XDG/USD", "XXDG", "ZUSD", 7, 0.12, 3, 3_000),
    Pair("SOLUSD", "SOL/USD", "SOL", "ZUSD", 2, 150, 6, 3),
    Pair("ADAUSD", "ADA/USD", "ADA", "ZUSD", 6, 0.45, 2, 900),
    Pair("XLTCZUSD", "LTC/USD", "XLTC", "ZUSD", 2, 82, 1, 2),
    Pair("XTZUSD", "XTZ/USD", "XTZ", "ZUSD", 4, 0.95, 0.2, 80),
    Pair("XZECZUSD", "ZEC/USD", "XZEC", "ZUSD", 2, 28, 0.15, 2),
    Pair("USDTZUSD", "USDT/USD", "USDT", "ZUSD", 4, 1.0, 4, 1_500),
    Pair("XXBTZEUR", "XBT/EUR", "XXBT", "ZEUR", 1, 59_000, 9, 0.02),
    Pair("XETHXXBT", "ETH/XBT", "XETH", "XXBT", 5, 0.05, 0.8, 0.5),
    Pair("GRTETH", "GRT/ETH", "GRT", "XETH", 7, 0.00006, 0.08, 300),
)
"""Well-known pairs in Kraken's names, of which some trade thinly: most minutes of GRT/ETH are quiet."""
