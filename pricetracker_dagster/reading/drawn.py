"""What a figure shows: rows of the questions, and the time that they are of. Neither asks nor draws."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pricetracker_dagster.candles.minutes import MINUTE

Rows = Sequence[Mapping[str, Any]]

CANDLES = "candles"
"""What to draw, where that is no measure."""


class Drawn(NamedTuple):
    """What a figure shows.

    Attributes:
        metric: of which metric.
        what: a measure, or ``candles``.
        rows: of history() or candles(), oldest first.
        missed: of missed().
        alerts: of alerts().
        as_of: the newest closed minute, at which the figure ends, UTC.
        hours: how much time it shows.
        bin_minutes: how many minutes one row stands for.
    """

    metric: str
    what: str
    rows: Rows
    missed: Rows
    alerts: Rows
    as_of: datetime
    hours: float
    bin_minutes: int = 1

    @property
    def start(self) -> datetime:
        """The first minute shown, UTC."""
        return start_of(self.as_of, self.hours)

    def shows(self, minute: datetime) -> bool:
        """Say whether a minute lies in the time shown."""
        return self.start <= minute <= self.as_of

    def bins(self) -> list[datetime]:
        """Return each bin of the time shown, with a row or without: what has no place of its own is no gap."""
        width, epoch = MINUTE * self.bin_minutes, datetime(1970, 1, 1, tzinfo=UTC)
        first = epoch + (self.start - epoch) // width * width
        return [first + width * i for i in range((self.as_of - first) // width + 1)]


def start_of(as_of: datetime, hours: float) -> datetime:
    """Return the first of so many hours of minutes that end with ``as_of``, UTC."""
    return as_of.astimezone(UTC) + MINUTE - MINUTE * max(round(hours * 60), 1)
