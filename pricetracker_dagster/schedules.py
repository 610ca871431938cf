"""When things run: the tick every minute, pictures and maintenance every hour. All on by default, all in UTC."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from pricetracker_dagster.candles.minutes import newest_closed_minute
from pricetracker_dagster.instance.tags import TICK
from pricetracker_dagster.jobs import charts, measure_storage, minute_tick, tick_request, upkeep

_WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]


@dg.schedule(
    job=minute_tick,
    cron_schedule="* * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The minute that has just closed. Skips while an earlier tick still waits for its turn.",
)
def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the tick of the minute that ended at the scheduled time.

    A tick that is at work does not hinder: the new one waits in the queue until it is over (dagster.yaml). But only one
    waits, however long that takes.
    """
    waiting = context.instance.get_run_records(dg.RunsFilter(tags={TICK: "true"}, statuses=_WAITING), limit=1)
    if waiting:
        return dg.SkipReason(f"run {waiting[0].dagster_run.run_id} of an earlier tick still waits; the next one heals")
    minute = newest_closed_minute(context.scheduled_execution_time)
    return dg.RunRequest(run_key=minute.isoformat(), **tick_request(minute))


def _hourly(name: str, job: dg.JobDefinition | UnresolvedAssetJobDefinition, minute: int) -> dg.ScheduleDefinition:
    """Return the schedule of a job that runs at a minute of each hour."""
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


hourly_charts = _hourly("hourly_charts", charts, 5)
hourly_upkeep = _hourly("hourly_upkeep", upkeep, 35)
hourly_storage = _hourly("hourly_storage", measure_storage, 50)

default_schedules = [every_minute, hourly_charts, hourly_upkeep, hourly_storage]
