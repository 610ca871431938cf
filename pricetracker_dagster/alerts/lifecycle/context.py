"""What a review of alerts has to know: the minutes that were judged, and how far one knows."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pricetracker_dagster.alerts.lifecycle.alert import series_of
from pricetracker_dagster.alerts.rules import Series, Verdict
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.records import Row


@dataclass
class Judged:
    """What one look has judged."""

    above: list[Verdict] = field(default_factory=list)
    below: dict[Series, list[datetime]] = field(default_factory=dict)
    """By series with a recorded alert or a minute above, the minutes that are not above, oldest first."""
    since: datetime | None = None
    """The oldest minute that was judged, UTC; None: none was. Of open alerts of the metrics that were judged, all
    minutes after the newest one above were."""
    until: datetime | None = None
    """The newest minute that was judged, UTC; None: all that there is."""
    whole: Collection[str] = ()
    """The ids of recorded alerts with every minute judged anew."""

    def below_between(self, series: Series, after: datetime, before: datetime) -> int:
        """Count the minutes between two that were seen below; what was not judged just now counts as such."""
        first = after + MINUTE
        known_from = before if self.since is None else min(max(first, self.since), before)
        known_to = before if self.until is None else min(max(known_from, self.until + MINUTE), before)
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


@dataclass(frozen=True)
class ReviewContext:
    """How far one knows at ``now``, UTC."""

    now: datetime
    tracked: Collection[str]
    stored: Mapping[str, datetime]
    """The newest minute of late of those of them that have one, UTC."""
    max_age: timedelta
    """Alerts of minutes that ended longer ago are not sent."""
    judged: Judged
