"""Which of the minutes that an answer leaves out were quiet, and which are missing. Pure; times are Unix seconds.

A minute is quiet where the exchange leaves quiet ones out and its answer spans the minute, or where its trades say so:
one before the minute and none in it. What nothing speaks for stays absent, and so do the quiet minutes after it, since
the price at which it closed is unknown.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Row = Sequence[object]
"""A candle as ccxt gives it: open time, open, high, low, close, volume, and the number of trades where it is told."""


class Trades(NamedTuple):
    """Trades of one market as one answer lists them, without a gap.

    Attributes:
        times: of the trades, oldest first.
        prices: at which.
        until: the answer speaks of the time up to here; None: up to its last trade.
    """

    times: Sequence[float] = ()
    prices: Sequence[float] = ()
    until: float | None = None

    def silent(self, minute: int) -> bool:
        """Say whether the answer spans a minute and has no trade in it."""
        place = bisect_left(self.times, minute)
        if place == 0:  # it may begin after the minute
            return False
        if place < len(self.times):
            return self.times[place] >= minute + 60
        return self.until is not None and self.until >= minute + 60

    def price_before(self, minute: int) -> float | None:
        """Return the price of the last trade before a minute; None where it lists none."""
        place = bisect_left(self.times, minute)
        return self.prices[place - 1] if place else None


def quiet_minutes(
    rows: Mapping[int, Row], first: int, last: int, within: int | None, trades: Callable[[int], Trades]
) -> dict[int, float]:
    """Return the quiet minutes from ``first`` to ``last`` that have no row, with the price that stood.

    Args:
        rows: by open time what was answered, also before ``first``: then a quiet beginning has its price.
        first: the first minute that is wanted.
        last: the last one.
        within: absent minutes up to here are quiet by the exchange's own rule; None: it has no such rule.
        trades: returns what the trades around a minute say. It is called where they are needed.
    """
    begin = max((minute for minute in rows if minute <= first), default=None)
    price = trades(first).price_before(first) if begin is None and first not in rows else None
    quiet = {}
    for minute in range(first if begin is None else begin, last + 60, 60):
        if minute in rows:
            price = _close(rows[minute])
        elif (within is not None and minute <= within) or trades(minute).silent(minute):
            if price is not None and minute >= first:
                quiet[minute] = price
        else:
            price = None
    return quiet


def _close(row: Row) -> float | None:
    """Return the close of a candle; None where the row will be rejected, as far as its prices are concerned."""
    prices = row[1:5]
    if len(prices) < 4 or not all(isinstance(price, int | float) and math.isfinite(price) for price in prices):
        return None
    opening, high, low, close = (float(str(price)) for price in prices)
    return close if 0 <= low <= min(opening, close) and max(opening, close) <= high else None
