"""The sensor ``run_failure``: a tick failed. Its minute is an incident at once, with the cause in plain words."""

from datetime import datetime

import dagster as dg

from pricetracker_dagster.alerts.incidents.failed_runs import note_failed_run
from pricetracker_dagster.alerts.watch import watch_minutes
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_publication
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.instance.tags import MINUTE
from pricetracker_dagster.jobs import failures, minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import report_incidents, reports_failures

_WILL_RETRY = "dagster/will_retry"


@dg.run_failure_sensor(
    monitored_jobs=[minute_tick],
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Raises a missed-minute alert for a tick that failed: which minute, which metrics, why. Once a "
    "failure, not once a retry; further failures of one cause are the same incident.",
)
@reports_failures
def run_failure(context: dg.RunFailureSensorContext, tracker: dg.ResourceParam[Tracker]) -> dg.SkipReason | None:
    """Record the failure as an incident and send what is due."""
    run = context.dagster_run
    if run.tags.get(_WILL_RETRY) == "true" or MINUTE not in run.tags:
        return dg.SkipReason(f"run {run.run_id} is tried again or is no tick")
    settings = tracker.settings()
    minute = datetime.fromisoformat(run.tags[MINUTE])
    reasons = failures(context.get_step_failure_events()) or [context.failure_event.message or "its run failed"]
    metrics = note_failed_run(settings, minute, f"the tick ran and failed: {reasons[0]}")
    published = report_publication(settings, tracker.now(), run_failure.name, at_once=True)
    report_incidents(context, settings, published)
    if not metrics:
        if published.incidents:
            return None
        return dg.SkipReason(f"{minute:%Y-%m-%d %H:%M} is stored all the same; the run failed: {reasons[0]}")
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; missed_minutes sends it within a minute")
    report_incidents(context, settings, watched)
    return None
