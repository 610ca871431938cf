"""The tags of our runs, by which Dagster limits them, retention finds them, and a tick knows its minute."""

from datetime import datetime

import dagster as dg

from pricetracker_dagster.candles.minutes import floor_minute

TICK = "pricetracker/tick"
"""The tag by which dagster.yaml lets only one tick run at a time."""

HOURLY = "pricetracker/hourly"
"""The tag of runs that nobody needs to look at after keep_runs_hours."""

MINUTE = "pricetracker/minute"
"""The tag that tells which minute a tick is for, ISO 8601, UTC."""


def minute_of(run: dg.DagsterRun) -> datetime | None:
    """Return the minute that a run is for, UTC; None where it is no tick."""
    return whole_minute(run.tags[MINUTE]) if MINUTE in run.tags else None


def whole_minute(text: str) -> datetime:
    """Return the minute that a text names, UTC.

    Raises:
        ValueError: it is no whole minute with a time zone.
    """
    moment = datetime.fromisoformat(text)
    if floor_minute(moment) != moment:
        raise ValueError(f'minute "{text}" is not a whole minute')
    return floor_minute(moment)
