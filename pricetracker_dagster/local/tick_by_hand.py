"""One tick by hand, for the command line: in this process, and recorded like those that the schedule launches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import dagster as dg

from pricetracker_dagster.assets.ui_metadata import TROUBLES
from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.jobs import failures, minute_tick, tick_request
from pricetracker_dagster.resources import Tracker


class TickOutcome(NamedTuple):
    """How one tick ended: well where its minute is stored for every metric and everything is published.

    Attributes:
        message: what went wrong, a line a metric; empty where nothing did.
        run_id: its id in the Dagster instance.
        troubles: what else went wrong, without a minute being lost, in plain words.
    """

    success: bool
    message: str
    run_id: str
    troubles: Sequence[str]


def run_minute_tick(tracker: Tracker, instance: dg.DagsterInstance, minute: datetime | None = None) -> TickOutcome:
    """Run one ``minute_tick`` for a closed minute, UTC, by default the newest, and record it in an instance."""
    job = build_defs(tracker).resolve_job_def(minute_tick.name)
    request = tick_request(minute or tracker.newest_closed_minute())
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet, **request)
    said = "\n".join(failures(result.filter_events(lambda event: event.is_step_failure)))
    troubles: dict[str, None] = {}
    for event in result.filter_events(lambda event: event.is_step_materialization):
        metadata = event.step_materialization_data.materialization.metadata
        if TROUBLES in metadata:
            told: Any = metadata[TROUBLES].value
            troubles |= dict.fromkeys(told)
    return TickOutcome(result.success, said, result.run_id, list(troubles))
