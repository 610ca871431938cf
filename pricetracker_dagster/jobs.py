"""What runs: the tick, and each hour the pictures, the maintenance and how much disk is used."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from pricetracker_dagster.assets.answers import charts_24h, history_24h, metric_rank
from pricetracker_dagster.assets.minute_prices import TICK_ENDS_AFTER, minute_prices
from pricetracker_dagster.assets.storage import storage
from pricetracker_dagster.instance.retention import forget
from pricetracker_dagster.instance.tags import HOURLY, MINUTE, TICK
from pricetracker_dagster.process.priority import at_low_priority
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.upkeep import keep_store
from pricetracker_dagster.store.writing import wait_for_tick

minute_tick = dg.define_asset_job(
    "minute_tick",
    selection=dg.AssetSelection.assets(minute_prices, history_24h, metric_rank),
    description="The minute that has just closed: fetched, stored, published, ranked, checked.",
    executor_def=dg.in_process_executor,
)

charts = dg.define_asset_job(
    "charts",
    selection=dg.AssetSelection.assets(charts_24h),
    description="The last 24 hours of each metric as a picture.",
    executor_def=dg.in_process_executor,
    tags={HOURLY: "true"},
)


measure_storage = dg.define_asset_job(
    "measure_storage",
    selection=dg.AssetSelection.assets(storage),
    description="How much disk everything takes, and for how long there is enough.",
    executor_def=dg.in_process_executor,
    tags={HOURLY: "true"},
)


@dg.op
def keep_prices_and_runs(context: dg.OpExecutionContext, tracker: dg.ResourceParam[Tracker]) -> None:
    """Compact and clean the Delta tables, remove what is over or too old, delete old runs; ticks go first."""
    settings, store, now = tracker.settings(), tracker.store(), tracker.now()
    kept = at_low_priority(lambda: keep_store(store, settings, now))
    context.log.info("%s", kept.maintained)
    if kept.removal is not None:
        context.log.warning("%s", kept.removal)
    for trouble in kept.troubles:
        context.log.error("%s", trouble)
    older_than = now - timedelta(hours=settings.keep_runs_hours)
    gives_way = partial(wait_for_tick, store.folder, TICK_ENDS_AFTER.total_seconds())
    forgotten = forget(context.instance, [TICK, HOURLY], older_than, before_each=gives_way)
    context.log.info("%s", forgotten)
    context.add_output_metadata(
        {
            "runs_deleted": forgotten.runs,
            "keep_days": str(kept.removal or "nothing to remove"),
            "records_removed": dg.MetadataValue.json(dict(kept.records)),
            "days_left_for_the_next_hour": len(kept.maintained.left),
            "prices": str(kept.maintained),
        }
    )


@dg.job(
    executor_def=dg.in_process_executor,
    description="Hourly: small files made few, what nobody needs any more removed, old runs deleted.",
    tags={HOURLY: "true"},
)
def upkeep() -> None:
    """Keep cost flat as history grows."""
    keep_prices_and_runs()


default_jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [minute_tick, charts, upkeep, measure_storage]


def tick_request(minute: datetime) -> dict[str, Any]:
    """Return partition key and tags of a tick for ``minute``: 23:59 belongs to the day that ends."""
    return {
        "partition_key": f"{minute:%Y-%m-%d}",
        "tags": {
            MINUTE: minute.isoformat(),
            TICK: "true",
            "dagster/priority": "10",
            # the process ends itself before (time_limit); this is for one that is frozen as a whole
            "dagster/max_runtime": str(int(TICK_ENDS_AFTER.total_seconds()) + 2),
        },
    }


def failures(events: Iterable[dg.DagsterEvent]) -> list[str]:
    """Return what went wrong in plain words, from the failures of steps."""
    messages = []
    for event in events:
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            messages.append(failure.user_failure_data.description)
        elif failure.error:
            ours = failure.error.cause or failure.error  # Dagster wraps what a step raises
            # with the module before its name where it is none of Python's own
            messages.append(re.sub(rf"^[\w.]*\b{ours.cls_name}: ", "", ours.message.strip()))
    return messages
