"""What a review of alerts has to know beside the minutes that are above."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.lifecycle.alert import Series, series_of
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.records import Row


@dataclass(frozen=True)
class ReviewContext:
    """How far one knows.

    Attributes:
        now: the current time, UTC.
        newest_closed: the newest minute that is over, UTC.
        tracked: the metrics that are tracked now.
        stored: the newest minute of late of those of them that have one, UTC.
        max_age: alerts of minutes that ended longer ago are not sent.
        below: the minutes that were judged and are not above, oldest first.
        judged_from: the oldest minute that was judged, UTC; None: none was. Of open alerts of the metrics that were
            judged, all minutes after the newest one above were.
        judged_to: the newest minute that was judged, UTC; None: all that there is.
        whole: the ids of recorded alerts with every minute judged anew.
    """

    now: datetime
    newest_closed: datetime
    tracked: Collection[str]
    stored: Mapping[str, datetime]
    max_age: timedelta
    below: Mapping[Series, Sequence[datetime]] = field(default_factory=dict)
    judged_from: datetime | None = None
    judged_to: datetime | None = None
    whole: Collection[str] = ()

    def between(self, series: Series, after: datetime, before: datetime) -> int:
        """Count the minutes between two that were seen below; what was not judged just now counts as such."""
        first = after + MINUTE
        known_from = before if self.judged_from is None else min(max(first, self.judged_from), before)
        known_to = before if self.judged_to is None else min(max(known_from, self.judged_to + MINUTE), before)
        below = self.below.get(series, ())
        seen = bisect_left(below, known_to) - bisect_left(below, known_from)
        unknown = (known_from - first) // MINUTE + (before - known_to) // MINUTE
        return max(0, unknown) + max(0, seen)

    def below_after(self, series: Series, minute: datetime) -> int:
        """Count the minutes after one that were seen below."""
        below = self.below.get(series, ())
        return len(below) - bisect_right(below, minute)

    def is_below(self, row: Row) -> bool:
        """Say whether any minute of an alert was seen below."""
        below = self.below.get(series_of(row), ())
        return bisect_left(below, row["minute"]) < bisect_right(below, row["last_minute"])
