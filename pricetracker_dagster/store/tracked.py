"""Since when each metric is tracked: what was before is not missed, whatever the list of metrics said then.

A small file of the data folder, written by whoever first meets a new list: mostly the tick.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pricetracker_dagster.files.replacing import write_text


def tracked_since(state: Path, metrics: Iterable[str], minute: datetime) -> dict[str, datetime]:
    """Return from which minute on each tracked metric's minutes are expected, UTC.

    A metric that was not in the list when this was last asked is expected from ``minute`` on; one that is no longer in
    it is forgotten. Where the file is lost, everything begins anew, in silence.

    Args:
        state: the data folder's folder of small working files.
        metrics: what is tracked now.
        minute: from when on new ones are expected, UTC.
    """
    file = state / "tracked.json"
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):  # damaged in whichever way
        found = json.loads(file.read_text(encoding="utf-8"))
        # a moment that is yet to come was written by a clock that was ahead
        now = datetime.now(UTC)
        kept = {
            metric: moment
            for metric, moment in found.items()
            if (since_when := datetime.fromisoformat(moment)).tzinfo and since_when <= now
        }
    since = {metric: kept.get(metric, minute.isoformat()) for metric in metrics}
    if since != kept:
        write_text(file, json.dumps(since, indent=1))
    return {metric: datetime.fromisoformat(moment) for metric, moment in since.items()}


def added_later(since: Mapping[str, datetime]) -> dict[str, datetime]:
    """Return since when those metrics are tracked that came to the list after the first ones."""
    begun = min(since.values(), default=None)
    return {metric: moment for metric, moment in since.items() if begun is not None and moment > begun}
