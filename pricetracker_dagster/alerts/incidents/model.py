"""What an incident is made of: missed minutes, their causes, and what a review has to know beside them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.store.records import MISTAKE, NOT_RUN, NOT_STORED, RUN_FAILED

OPEN, RESOLVED = "open", "resolved"

OURS = frozenset({NOT_RUN, RUN_FAILED, NOT_STORED, MISTAKE})
"""The causes that lie in this machine: they are of no exchange."""


class Noted(NamedTuple):
    """What was noted of so many minutes of each metric, ``first`` to ``last``, UTC: their cause.

    ``reason`` is the newest that was noted of them, in plain words; None where nothing was.
    """

    cause: str
    minutes: int
    first: datetime
    last: datetime
    reason: str | None


@dataclass(frozen=True)
class Missed:
    """Consecutive minutes, UTC, that are missed of some metrics. A recorded incident has all of them or none.

    ``causes`` say why, the one of the oldest minute first; ``absent`` is whether they are missing still, else they were
    healed; ``is_new`` whether they come to their incident now.
    """

    first: datetime
    last: datetime
    metrics: Sequence[str]
    causes: Sequence[Noted]
    absent: bool
    is_new: bool = False

    @property
    def span(self) -> MinuteRange:
        """From the oldest to the newest of them."""
        return MinuteRange(self.first, self.last)


@dataclass(frozen=True)
class ReviewContext:
    """What else a review has to know at ``now``, UTC."""

    now: datetime
    newest: datetime
    """The newest closed minute, UTC."""
    oldest: datetime
    """The oldest minute that was looked at, UTC."""
    since: Mapping[str, datetime]
    """The tracked metrics, and from which minute on each is."""
    waiting: Mapping[str, Sequence[MinuteRange]] = field(default_factory=dict)
    """By metric, minutes that are not there and may still come: not missed yet, but not stored either."""
    resolve_after: timedelta = 5 * MINUTE
    """After so long without a miss a metric is back."""
    taken: Collection[str] = ()
    """The ids of all incidents that are recorded."""


def incident_id(kind: str, first: datetime, taken: Collection[str] = ()) -> str:
    """Return the id of the incident that begins in a minute."""
    own = f"{kind}|{first:%Y-%m-%dT%H:%MZ}"
    while own in taken:  # the clock went back, or what was healed is gone: the minute is here once more
        own += "+"
    return own


def exchange_of(metric: str) -> str:
    """Return the name of a metric's exchange."""
    return metric.partition(":")[0]
