"""The sensor ``spike_alerts``: judges what was stored since it last looked, and sends what is due."""

import dagster as dg

from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import watch_prices
from pricetracker_dagster.assets.alerts import alerts, what_changed
from pricetracker_dagster.files.locks import DeadlineExceeded
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import reports_failures


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
    for trouble in watched.troubles:
        context.log.warning("%s", trouble)
    return dg.SensorResult(
        skip_reason=None if watched.alerts else _said(watched),
        cursor=watched.cursor,
        asset_events=what_changed(watched, simulated=settings.simulated),
    )


def _said(watched: SensorOutcome) -> str:
    not_judged = ", ".join(f"{count} {why}" for why, count in sorted(watched.not_judged.items()))
    return f"{watched.judged} judged{f'; not judged of the newest minute: {not_judged}' if not_judged else ''}"
