"""Pictures soon after the first prices, where there are none."""

import dagster as dg
import duckdb

from pricetracker_dagster.assets.answers import charts_24h
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.jobs import charts
from pricetracker_dagster.reading.published import ask
from pricetracker_dagster.reading.questions import of_rank
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.failure_reports import reports_failures


@dg.sensor(
    job=charts,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests charts_24h once, where it was never materialized and there is something to draw. From then "
    "on it is the business of hourly_charts.",
)
@reports_failures
def first_charts(
    context: dg.SensorEvaluationContext, tracker: dg.ResourceParam[Tracker]
) -> dg.RunRequest | dg.SkipReason:
    """Request the pictures if there are none; not again within the hour, should that run fail."""
    if context.instance.get_latest_materialization_event(charts_24h.key):
        return dg.SkipReason("charts_24h is materialized hourly")
    published = tracker.store().folder.published
    try:
        something = published.exists() and ask(published, of_rank()).fetchall()
    except (duckdb.Error, PricetrackerError) as error:
        return dg.SkipReason(f"the published file cannot be read: {error}")
    if not something:
        return dg.SkipReason("nothing is published yet")
    return dg.RunRequest(run_key=f"{tracker.now():%Y-%m-%dT%H}")
