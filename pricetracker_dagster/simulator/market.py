"""What is traded on the simulated exchange: pairs, their trades, and the candles that these add up to.

Pure: everything is a function of pair and minute. A candle is nothing but the sum of its minute's trades, so the
two can never disagree, and a restart tells the same story.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

SECOND = 1_000_000_000
MINUTE = 60
"""Minutes are Unix seconds of their open, divisible by 60."""

HOME = "kraken"
"""The exchange whose market is the one that is invented or recorded; at others it is a little apart."""


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
    listed_from: int = 0
    """First minute in which it is traded."""
    delisted_at: int | None = None
    """First minute in which it no longer is; None: it stays."""

    @property
    def altname(self) -> str:
        """The name that requests take, e.g. ``XBTUSD``."""
        return self.wsname.replace("/", "")

    def is_listed(self, moment: int) -> bool:
        """Say whether it is traded at a moment, in Unix seconds."""
        return self.listed_from <= moment and (self.delisted_at is None or moment < self.delisted_at)

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
    """One minute; ``vwap`` is None where there was no trade. Turnover is in the quote currency."""

    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal | None
    volume: Decimal
    trades: int
    turnover: Decimal = Decimal(0)
    bought: Decimal = Decimal(0)
    """Of the volume, what takers bought; ``paid`` is its turnover."""
    paid: Decimal = Decimal(0)

    def halved(self) -> "Candle":
        """Return it as it is told before half of its volume is accounted for, with another close."""
        half = {name: getattr(self, name) / 2 for name in ("volume", "turnover", "bought", "paid")}
        return self._replace(close=self.open, **half)


class Market(ABC):
    """Where the trades come from."""

    pairs: Sequence[Pair]

    first = 0
    """No pair has traded before this minute."""

    @abstractmethod
    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trades of one minute, oldest first; always the same ones."""

    def at(self, exchange: str) -> "Market":  # noqa: ARG002 - by default it is the same everywhere
        """Return the market as it is traded at an exchange, e.g. ``coinbase``."""
        return self

    def listed_trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return the trades of one minute, none while the pair is not listed."""
        return self.trades(pair, minute) if pair.is_listed(minute) else ()

    def close_before(self, pair: Pair, minute: int) -> Decimal | None:
        """Return the last price before a minute; None before the pair's first trade."""
        first = max(self.first, pair.listed_from)
        for earlier in range(minute - MINUTE, first - MINUTE, -MINUTE):
            if trades := self.listed_trades(pair, earlier):
                return trades[-1].price
        return None


def candle(pair: Pair, minute: int, trades: Sequence[Trade], before: Decimal | None) -> Candle | None:
    """Add up one minute's trades. A quiet minute is flat at the price before; before the first trade there is none."""
    if not trades:
        return None if before is None else Candle(minute, before, before, before, before, None, Decimal(0), 0)
    prices = [trade.price for trade in trades]
    volume = sum((trade.volume for trade in trades), Decimal(0))
    turnover = sum((trade.price * trade.volume for trade in trades), Decimal(0))
    taken = [trade for trade in trades if trade.side == "b"]
    bought = sum((trade.volume for trade in taken), Decimal(0))
    paid = sum((trade.price * trade.volume for trade in taken), Decimal(0))
    vwap = pair.price(turnover / volume) if volume else prices[-1]
    told = prices[0], max(prices), min(prices), prices[-1]
    return Candle(minute, *told, vwap, volume, len(trades), turnover, bought, paid)


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
