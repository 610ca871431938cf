"""Minutes rebuilt from single trades, since the candles of OHLC do not reach back far enough.

Kraken lists trades in pages, oldest first, each of which begins with the last trades of the one before. A trade is a
row as Kraken wrote it, which begins with price, volume and time in Unix seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, floor_minute, utc
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes, not_in
from pricetracker_dagster.candles.validate import Validated, as_texts, validate
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.base import ExchangeUnreachable
from pricetracker_dagster.exchanges.kraken.answers import nanoseconds, time_of

_Page = list[list[Any]]

_LOOK_BACK = (timedelta(minutes=10), timedelta(hours=3), timedelta(days=1), timedelta(days=7))
"""How far before a rebuilt range its opening price is looked for; further for pairs that trade rarely."""


@dataclass(frozen=True)
class Trades:
    """The trades of one pair."""

    metric: Metric
    ask: Callable[[str], tuple[list[Any], object]]
    """Asks for the page after so many nanoseconds; returns its rows and its ``last``, where the next one begins."""
    now: Callable[[], datetime]
    """Returns the exchange's time, UTC."""
    what: str
    """What is asked for, as messages begin."""

    def candles(self, first: datetime, last: datetime, before: pa.Table | None) -> Iterator[Validated]:
        """Rebuild the minutes ``first`` to ``last``, a batch a page; see Exchange.history().

        Minutes before the first known price stay absent, and so does a minute that holds a trade which cannot be read:
        it is among the rejected.

        Raises:
            ExchangeUnreachable: a page has a trade without a true time: it is unknown which minute it spoils.
        """
        trades: _Page = []
        if before is None or not before.num_rows:
            before, trades = None, self._opening(first)
        begin = first
        for page, complete in self._pages(first, last):
            trades += page
            # the minute that the page ends in goes on in the next one
            end = last if complete else min(last, floor_minute(_moment_of(trades[-1])) - MINUTE)
            if end < begin:
                continue
            whole = [trade for trade in trades if _moment_of(trade) < end + MINUTE]
            built = self._built(whole, MinuteRange(begin, end), before)
            yield built
            trades = [trade for trade in trades if _moment_of(trade) >= end + MINUTE]
            before = built.kept.slice(built.kept.num_rows - 1) if built.kept.num_rows else before
            begin = end + MINUTE

    def _built(self, trades: Sequence[Sequence[object]], span: MinuteRange, before: pa.Table | None) -> Validated:
        """Aggregate every trade of the minutes in ``span`` to candles; minutes without trades are filled.

        What begins before the span, also the candles ``before``, opens a quiet beginning with its last price.
        """
        connection = sql.connect()
        texts = [as_texts(trade[:3]) for trade in trades]
        values = {"metric": str(self.metric), "trades": texts, "fetched_at": self.now()}
        connection.execute(sql.load("exchanges/kraken/trades.sql"), values)
        validated = validate(connection)
        known = validated.kept if before is None else pa.concat_tables([before, validated.kept])
        left_out = [(row.metric, row.minute) for row in validated.rejected if row.minute is not None]
        filled = fill_no_trade_minutes(known, {str(self.metric): span}, left_out)
        return Validated(filled, validated.rejected, not_in(filled, known))

    def _opening(self, first: datetime) -> _Page:
        """Return the newest trade before ``first``, if there is one: quiet minutes after it take its price."""
        for look_back in _LOOK_BACK:
            earlier: _Page = []
            for page, _ in self._pages(first - look_back, first - MINUTE):
                earlier = [trade for trade in page if _moment_of(trade) < first][-1:] or earlier
            if earlier:
                return earlier
        return []

    def _pages(self, first: datetime, last: datetime) -> Iterator[tuple[_Page, bool]]:
        """Yield the trades from ``first`` on, page by page, without the repeats at their edges.

        With each comes whether it is the last page, which may go beyond the minute ``last``.
        """
        since = str(int(first.timestamp()) * 1_000_000_000 - 1)
        previous: _Page = []
        while True:
            rows, told = self.ask(since)
            latest = self.now() + MINUTE
            page = [row for row in rows if self._checked(row, latest) >= first]
            newest = nanoseconds(told)
            if newest is None or newest < int(since):
                raise ExchangeUnreachable(f"{self.what}: its last is {plain(told, 40)}, not where the next page begins")
            complete = newest == int(since) or not page or _moment_of(page[-1]) >= last + MINUTE
            counts = range(min(len(previous), len(page)), 0, -1)
            repeated = next((count for count in counts if previous[-count:] == page[:count]), 0)
            yield page[repeated:], complete
            if complete:
                return
            since, previous = str(newest), page

    def _checked(self, row: object, latest: datetime) -> datetime:
        """Return the time of a trade."""
        unix = time_of(row, 2)
        if unix is None:
            raise ExchangeUnreachable(f"{self.what}: a trade without a time in seconds: {plain(row, 60)}")
        if utc(unix) > latest:
            raise ExchangeUnreachable(f"{self.what}: a trade of the future: {plain(row, 60)}")
        return utc(unix)


def _moment_of(trade: Sequence[Any]) -> datetime:
    return utc(float(trade[2]))
