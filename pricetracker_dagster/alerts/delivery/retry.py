"""When a channel that took nothing is tried again. Pure: rows of the table deliveries come in."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pricetracker_dagster.store.records import Row

_PAUSE_FIRST, _PAUSE_MOST, _PAUSE_ASKED_MOST = timedelta(seconds=10), timedelta(minutes=5), timedelta(hours=1)


def failures(sent: Sequence[Row], channel: str) -> int:
    """Count the attempts that a channel has not taken since it last took one."""
    own = [row for row in sent if row["channel"] == channel]
    taken = max((row["attempted_at"] for row in own if row["delivered"]), default=None)
    failed = {row["attempted_at"] for row in own if not row["delivered"]}
    return sum(taken is None or at >= taken for at in failed)


def pause(failed: int, asked: float | None) -> timedelta:
    """Return how long a channel is left alone after so many failures in a row, or as long as it asked for."""
    own: timedelta = min(_PAUSE_FIRST * 2 ** min(failed - 1, 10), _PAUSE_MOST)
    return own if asked is None else max(own, min(timedelta(seconds=asked), _PAUSE_ASKED_MOST))


def not_before(of_channel: Collection[Row]) -> datetime | None:
    """Return the moment before which a channel is left alone, UTC; None: it may be sent something at once."""
    latest = max(of_channel, key=lambda row: (row["attempted_at"], not row["delivered"]), default=None)
    if latest is None or latest["delivered"]:
        return None
    # of the version before, which noted no moment
    retry_at: datetime = latest.get("retry_at") or latest["attempted_at"] + pause(max(1, latest["attempt"]), None)
    longest: datetime = latest["attempted_at"] + _PAUSE_ASKED_MOST
    return min(retry_at, longest)  # a clock that was ahead may have noted it
