"""The pages in which Kraken lists trades: each begins with the last trades of the one before.

A page is a list of rows as Kraken wrote them, which begin with price, volume and time, oldest first.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from pricetracker_dagster.candles.minutes import MINUTE, utc
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.base import ExchangeUnreachable
from pricetracker_dagster.exchanges.kraken.answers import nanoseconds, time_of

Page = list[list[Any]]
Ask = Callable[[str], tuple[list[Any], object]]
"""Asks for the page after ``since``, in nanoseconds; returns its rows and its ``last``, where the next one begins."""

_LOOK_BACK = (timedelta(minutes=10), timedelta(hours=3), timedelta(days=1), timedelta(days=7))
"""How far before a rebuilt range its opening price is looked for; further for pairs that trade rarely."""


def moment_of(trade: Sequence[Any]) -> datetime:
    """Return the time of a trade of a page, UTC."""
    return utc(float(trade[2]))


def pages(
    what: str, ask: Ask, first: datetime, last: datetime, now: Callable[[], datetime]
) -> Iterator[tuple[Page, bool]]:
    """Yield the trades of the minutes ``first`` to ``last``, page by page, without the repeats at their edges.

    Args:
        what: what is asked for, as messages begin.
        ask: asks for one page.
        first: the first minute, UTC.
        last: the last minute; the last page may go beyond it.
        now: returns the exchange's time, UTC.

    Yields:
        The trades of a page, and whether it is the last one.

    Raises:
        ExchangeUnreachable: a page has a trade without a true time: it is unknown which minute it spoils.
    """
    since = str(int(first.timestamp()) * 1_000_000_000 - 1)
    previous: Page = []
    while True:
        rows, told = ask(since)
        latest = now() + MINUTE
        page = [row for row in rows if _checked(what, row, latest) >= first]
        newest = nanoseconds(told)
        if newest is None or newest < int(since):
            raise ExchangeUnreachable(f"{what}: its last is {plain(told, 40)}, not where the next page begins")
        complete = newest == int(since) or not page or moment_of(page[-1]) >= last + MINUTE
        yield page[_repeated(previous, page) :], complete
        if complete:
            return
        since, previous = str(newest), page


def opening_trades(what: str, ask: Ask, first: datetime, now: Callable[[], datetime]) -> Page:
    """Return the newest trade before ``first``, if there is one: quiet minutes after it take its price."""
    for look_back in _LOOK_BACK:
        earlier: Page = []
        for page, _ in pages(what, ask, first - look_back, first - MINUTE, now):
            earlier = [trade for trade in page if moment_of(trade) < first][-1:] or earlier
        if earlier:
            return earlier
    return []


def _checked(what: str, row: object, latest: datetime) -> datetime:
    """Return the time of a trade."""
    unix = time_of(row, 2)
    if unix is None:
        raise ExchangeUnreachable(f"{what}: a trade without a time in seconds: {plain(row, 60)}")
    moment = utc(unix)
    if moment > latest:
        raise ExchangeUnreachable(f"{what}: a trade of the future: {plain(row, 60)}")
    return moment


def _repeated(previous: Page, page: Page) -> int:
    """Return how many trades at the head of a page are the last ones of the page before."""
    for count in range(min(len(previous), len(page)), 0, -1):
        if previous[-count:] == page[:count]:
            return count
    return 0
