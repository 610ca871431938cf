"""Arithmetic of whole minutes, UTC."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def floor_minute(moment: datetime) -> datetime:
    """Return the start of the minute that ``moment`` lies in, in UTC.

    Raises:
        ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: write e.g. {moment.isoformat()}+00:00")
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def newest_closed_minute(now: datetime) -> datetime:
    """Return the open time of the newest candle that is closed at ``now``: at 12:05:03 that is 12:04."""
    return floor_minute(now) - MINUTE


def minutes_between(first: datetime, last: datetime) -> list[datetime]:
    """Return every minute from ``first`` to ``last``, both included."""
    return [first + MINUTE * i for i in range((last - first) // MINUTE + 1)]


def minutes_of_day(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last minute of a UTC day: 00:00 and 23:59."""
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return first, first + DAY - MINUTE


class MinuteRange(NamedTuple):
    """Consecutive minutes, both ends included, UTC."""

    first: datetime
    last: datetime

    def __str__(self) -> str:
        """Return e.g. ``2026-11-24 12:04`` or ``2026-11-24 12:04 to 12:09 (6 minutes)``."""
        if self.first == self.last:
            return f"{self.first:%Y-%m-%d %H:%M}"
        last = f"{self.last:%H:%M}" if self.last.date() == self.first.date() else f"{self.last:%Y-%m-%d %H:%M}"
        return f"{self.first:%Y-%m-%d %H:%M} to {last} ({self.length} minutes)"

    @property
    def length(self) -> int:
        """How many minutes the range holds."""
        return (self.last - self.first) // MINUTE + 1


def minutes_in(spans: Iterable[MinuteRange]) -> int:
    """Return how many minutes the ranges hold together."""
    return sum(span.length for span in spans)


def ranges(minutes: Iterable[datetime]) -> list[MinuteRange]:
    """Join minutes, in any order, into the fewest ranges of consecutive ones, oldest first."""
    joined: list[MinuteRange] = []
    for minute in sorted(set(minutes)):
        if joined and minute - joined[-1].last == MINUTE:
            joined[-1] = joined[-1]._replace(last=minute)
        else:
            joined.append(MinuteRange(minute, minute))
    return joined


def utc(unix: float) -> datetime:
    """Return the moment of Unix seconds, UTC."""
    return datetime.fromtimestamp(unix, UTC)


def overlaps(gap: MinuteRange, others: Iterable[MinuteRange]) -> list[MinuteRange]:
    """Return the parts of a range that lie in one of the others."""
    parts = (MinuteRange(max(gap.first, other.first), min(gap.last, other.last)) for other in others)
    return [part for part in parts if part.first <= part.last]
