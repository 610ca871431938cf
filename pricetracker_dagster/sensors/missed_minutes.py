"""The sensor ``missed_minutes``: knows the minutes that should be there, also when no tick ever ran."""

import dagster as dg

from pricetracker_dagster.alerts.watch import watch_minutes
from pricetracker_dagster.alerts.watchdog.sensor_evaluations import report_publication
from pricetracker_dagster.assets.alerts import incidents, what_changed
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import report_incidents, reports_failures


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
    """Look at the minutes. It keeps no cursor: what is missing and what is recorded is enough."""
    settings = tracker.settings()
    try:
        watched = watch_minutes(settings, tracker.now())
    except DeadlineExceeded:
        return dg.SkipReason("another sensor kept the lock; the next evaluation looks again")
    for trouble in watched.troubles:
        context.log.warning("%s", trouble)
    report_incidents(context, settings, report_publication(settings, tracker.now(), missed_minutes.name))
    return dg.SensorResult(
        skip_reason=None if watched.incidents else "nothing new is missing",
        asset_events=what_changed(watched, simulated=settings.simulated),
    )
