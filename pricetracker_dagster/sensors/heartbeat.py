"""That ticks succeed is told to whoever watches from outside."""

import dagster as dg

from pricetracker_dagster.alerts.watchdog.heartbeat import beat
from pricetracker_dagster.jobs import minute_tick
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import reports_failures


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[minute_tick],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests alerts.heartbeat_url after each good tick. Silence there is how a dead daemon is noticed.",
)
@reports_failures
def heartbeat(context: dg.RunStatusSensorContext, tracker: dg.ResourceParam[Tracker]) -> dg.SkipReason | None:
    """Request the URL, if there is one."""
    del context
    return None if beat(tracker.settings()) else dg.SkipReason("alerts.heartbeat_url is not set")
