"""Since when each metric is tracked: what was before is not missed, whatever the list of metrics said then.

A small file of the data folder, written by whoever first meets a new list: mostly the tick.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pricetracker_dagster.candles.minutes import floor_minute
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in, moment_of


def note_tracked(state: Path, metrics: Iterable[str], minute: datetime) -> dict[str, datetime]:
    """Write down which metrics are tracked, and return from which minute on each one's minutes are expected, UTC.

    The file is written where the list has changed. A metric that was not in it is expected from ``minute`` on; one that
    is no longer tracked is forgotten. What is lost or cannot be read begins anew, in silence, each metric on its own.
    """
    kept = _kept(state)
    since = {metric: kept.get(metric, minute) for metric in metrics}
    if since != kept:
        noted = {metric: moment.isoformat() for metric, moment in since.items()}
        write_text(state / StateFile.TRACKED, json.dumps(noted, indent=1))
    return since


def tracked_since(state: Path, metrics: Iterable[str]) -> dict[str, datetime | None]:
    """Return of each metric since when it is tracked, UTC; None where nobody has noted it yet. Nothing is written."""
    kept = _kept(state)
    return {metric: kept.get(metric) for metric in metrics}


def _kept(state: Path) -> dict[str, datetime]:
    kept = kept_in(state / StateFile.TRACKED).items()
    return {metric: moment for metric, told in kept if (moment := _moment(told)) is not None}


def _moment(kept: object) -> datetime | None:
    """Return the minute that was kept of a metric; None where it cannot be true."""
    moment = moment_of(kept)
    # a moment that is yet to come was written by a clock that was ahead
    if moment is None or not datetime.fromtimestamp(0, UTC) <= moment <= datetime.now(UTC):
        return None
    return floor_minute(moment)


def added_later(since: Mapping[str, datetime]) -> dict[str, datetime]:
    """Return since when those metrics are tracked that came to the list after the first ones."""
    begun = min(since.values(), default=None)
    return {metric: moment for metric, moment in since.items() if begun is not None and moment > begun}
