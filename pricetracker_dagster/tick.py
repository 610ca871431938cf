"""One tick by hand, for the command line: in this process, and recorded like those that the schedule launches."""

from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from pricetracker_dagster.definitions import build_defs
from pricetracker_dagster.jobs import minute_tick, tick_request
from pricetracker_dagster.resources import Tracker


@dataclass(frozen=True)
class TickOutcome:
    """How one tick ended.

    Attributes:
        success: whether its minute is stored for every metric and everything is published.
        message: what went wrong, a line a metric; empty where nothing did.
        run_id: under which it stands in the Dagster instance.
    """

    success: bool
    message: str
    run_id: str


def run_minute_tick(tracker: Tracker, instance: dg.DagsterInstance, minute: datetime | None = None) -> TickOutcome:
    """Run one ``minute_tick`` in this process, recorded in the instance like those that the schedule launches.

    Args:
        tracker: settings and clock.
        instance: where the run is recorded.
        minute: the closed minute it is for, UTC; the newest one if None.
    """
    job = build_defs(tracker).resolve_job_def(minute_tick.name)
    result = job.execute_in_process(
        instance=instance,
        raise_on_error=False,
        **tick_request(minute or tracker.newest_closed_minute()),  # type: ignore[arg-type]
    )
    return TickOutcome(result.success, "\n".join(_failures(result)), result.run_id)


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    messages = []
    for event in result.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            messages.append(failure.user_failure_data.description)
        elif failure.error:
            ours = failure.error.cause or failure.error  # Dagster wraps what a step raises
            messages.append(ours.message.strip().removeprefix(f"{ours.cls_name}: "))
    return messages
