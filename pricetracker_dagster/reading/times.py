"""Times as people give them, and the range that they mean. All are UTC."""

from datetime import UTC, datetime, timedelta

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import PricetrackerError

Moment = str | datetime
"""A time: ISO 8601, e.g. "2026-11-24T12:00Z", or a datetime. Without a zone it is UTC."""


def between(
    start: datetime | None, end: datetime | None, hours: float, as_of: datetime | None
) -> tuple[datetime, datetime]:
    """Return a range of time, UTC: where an end is not given up to ``as_of``, a start so many hours before it.

    Raises:
        WrongTimes: it is empty.
    """
    last = end or (as_of or datetime.fromtimestamp(0, UTC)) + MINUTE
    try:
        first = start or last - timedelta(hours=hours)
    except OverflowError:
        raise WrongTimes(f"{hours:,} hours before {last:%Y-%m-%d} there is no time") from None
    if first >= last:
        raise WrongTimes(f"start {first:%Y-%m-%dT%H:%MZ} is not before end {last:%Y-%m-%dT%H:%MZ}")
    return first, last


class WrongTimes(PricetrackerError, ValueError):
    """A time, or a range of them, that cannot be meant; the message says why."""

    exit_status = 2


def moment_of(given: Moment | None) -> datetime | None:
    """Return a time in UTC; None where none is given.

    Raises:
        WrongTimes: it is no ISO 8601 time of the years 1970 to 2999.
    """
    if given is None:
        return None
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if not 1970 <= found.year < 3000:
            raise OverflowError
    except (ValueError, OverflowError):
        raise WrongTimes(
            f'"{given}" is no time between 1970 and 2999: write ISO 8601, e.g. 2026-11-24T12:00Z'
        ) from None
    return found
