"""Alerts of what was stored, incidents of what was not, and of ticks that failed."""

from datetime import datetime

import dagster as dg

from pricetracker_dagster.alerts.incidents.missed import note_failed_run
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_publication
from pricetracker_dagster.assets.alerts import alerts, incidents, what_changed
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.instance.tags import MINUTE
from pricetracker_dagster.jobs import failures, minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import log_troubles, reports_failures, show_incidents


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=dg.AssetSelection.assets(alerts.key),
    description="Judges what was stored or corrected since its cursor (a version of the Delta table), records alerts, "
    "then sends what is due through every channel, also what failed before.",
)
@reports_failures
def spike_alerts(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.SensorResult | dg.SkipReason:
    """Look at the prices. Evaluated at least once for each change: everything it does can be done twice."""
    settings = tracker.settings()
    try:
        watched = watch_prices(settings, tracker.now(), context.cursor)
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; the next evaluation looks again")
    log_troubles(context, watched)
    not_judged = ", ".join(f"{count} {why}" for why, count in sorted(watched.not_judged.items()))
    said = f"{watched.judged} judged{f'; not judged of the newest minute: {not_judged}' if not_judged else ''}"
    return dg.SensorResult(
        skip_reason=None if watched.alerts else said,
        cursor=watched.cursor,
        asset_events=what_changed(watched, settings),
    )


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    asset_selection=dg.AssetSelection.assets(incidents.key),
    description="Compares the minutes that should be stored with those that are, records incidents, then sends what is "
    "due: when one opens, while it lasts, and when its minutes are there after all.",
)
@reports_failures
def missed_minutes(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.SensorResult | dg.SkipReason:
    """Look at the minutes, also where no tick ever ran. It needs no cursor: what is missing and recorded is enough."""
    settings = tracker.settings()
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; the next evaluation looks again")
    log_troubles(context, watched)
    show_incidents(context, settings, report_publication(settings, tracker.now(), missed_minutes.name))
    return dg.SensorResult(
        skip_reason=None if watched.incidents else "nothing new is missing",
        asset_events=what_changed(watched, settings),
    )


@dg.run_failure_sensor(
    monitored_jobs=[minute_tick],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Raises a missed-minute alert for a tick that failed: which minute, which metrics, why. Once a "
    "failure, not once a retry; further failures of one cause are the same incident.",
)
@reports_failures
def run_failure(context: dg.RunFailureSensorContext, tracker: dg.ResourceParam[Tracker]) -> dg.SkipReason | None:
    """Record the failure as an incident, with its cause in plain words, and send what is due."""
    run = context.dagster_run
    if run.tags.get("dagster/will_retry") == "true" or MINUTE not in run.tags:
        return dg.SkipReason(f"run {run.run_id} is tried again or is no tick")
    settings = tracker.settings()
    minute = datetime.fromisoformat(run.tags[MINUTE])
    reasons = failures(context.get_step_failure_events()) or [context.failure_event.message or "its run failed"]
    metrics = note_failed_run(settings, minute, f"the tick ran and failed: {reasons[0]}")
    published = report_publication(settings, tracker.now(), run_failure.name, at_once=True)
    show_incidents(context, settings, published)
    if not metrics:
        if published.incidents:
            return None
        return dg.SkipReason(f"{minute:%Y-%m-%d %H:%M} is stored all the same; the run failed: {reasons[0]}")
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; missed_minutes sends it within a minute")
    show_incidents(context, settings, watched)
    return None
