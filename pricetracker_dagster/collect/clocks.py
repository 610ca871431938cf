"""An exchange's own clock: by it a minute is over or not, and by it this machine's clock is measured."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.exchanges.base import Exchange, ExchangeError
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.clock import note_clock

_WAITS_AT_MOST = 0.8
"""Of the time that is left, the share in which a minute may still end by the exchange's clock; then it is asked for."""


def exchange_time(
    exchange: Exchange, settings: Settings, collected: Collected, deadline: Deadline, now: Callable[[], datetime]
) -> tuple[datetime, datetime]:
    """Ask an exchange for its time, and keep how far this machine's clock is from it.

    Its answer, a whole second, may have taken a while: for certain this clock is ahead by what it was when asked.

    Returns:
        The exchange's time and this machine's, UTC.
    """
    before = now()
    theirs = exchange.time(deadline)
    ours = now()
    ahead = collected.clocks[exchange.name] = (ours - theirs).total_seconds()
    with suppress(OSError):  # it is measured again in a minute
        at_least = (before - theirs).total_seconds() - 1
        note_clock(settings.state, exchange.name, ahead, ours, at_least=at_least)
    return theirs, ours


def wait_until_closed(
    exchange: Exchange, settings: Settings, collected: Collected, deadline: Deadline, now: Callable[[], datetime]
) -> tuple[datetime, ExchangeError | None]:
    """Wait until the collection's minute is over by the exchange's clock.

    Returns:
        Its time, and None; where the minute would not be over there in time, what is to be said of that.
    """
    while True:
        theirs, ours = exchange_time(exchange, settings, collected, deadline, now)
        left = collected.minute + MINUTE - theirs
        if left <= timedelta():
            return theirs, None
        try:
            if left.total_seconds() > _WAITS_AT_MOST * deadline.remaining:
                raise DeadlineExceeded
            deadline.sleep(left.total_seconds())
        except DeadlineExceeded:
            return theirs, ExchangeError(_not_over(exchange.name, collected.minute, theirs, ours))


def _not_over(name: str, minute: datetime, theirs: datetime, ours: datetime) -> str:
    """Say that a minute is not over by an exchange's clock; where it is by this machine's, that the clock is wrong."""
    if ours < minute + MINUTE:
        return f"{name}: by its clock it is {theirs:%H:%M:%S}, the minute is not over"
    shown = "%H:%M:%S" if theirs.date() == ours.date() else "%Y-%m-%d %H:%M:%S"
    return (
        f"{name}'s clock says {theirs:{shown}}, this machine's {ours:{shown}}: the minute is not over there; "
        "check this machine's clock"
    )
