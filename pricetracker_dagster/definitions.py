"""The whole project on one page: what Dagster loads."""

import dagster as dg

from pricetracker_dagster.assets import default_asset_checks, default_assets
from pricetracker_dagster.jobs import default_jobs
from pricetracker_dagster.resources import Tracker, at_work
from pricetracker_dagster.schedules import default_schedules
from pricetracker_dagster.sensors import default_sensors


def build_defs(tracker: Tracker | None = None) -> dg.Definitions:
    """Compose the project.

    Args:
        tracker: settings and clock; by default the settings file and environment in force at each run, and this
            machine's clock.
    """
    return dg.Definitions(
        assets=default_assets,
        asset_checks=default_asset_checks,
        jobs=default_jobs,
        schedules=default_schedules,
        sensors=default_sensors,
        resources={"tracker": at_work(tracker or Tracker())},
        executor=dg.in_process_executor,
    )


defs = build_defs()
