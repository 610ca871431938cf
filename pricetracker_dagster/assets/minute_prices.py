"""The asset ``minute_prices``: every tracked metric's minutes, a partition a UTC day."""

from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any

import dagster as dg
from pydantic import Field

from pricetracker_dagster.assets.ui_metadata import (
    EVERY_MINUTE,
    OWNER,
    TROUBLES,
    page_of_a_metric,
    sample,
    sql_command,
    table_metadata,
    why_it_fails,
)
from pricetracker_dagster.candles.minutes import minutes_of_day
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.result import Collected, Stored
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.instance.tags import minute_of, whole_minute
from pricetracker_dagster.instance.watchdog import time_limit
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.schema import MINUTE_PRICES
from pricetracker_dagster.store.store import Store

DAYS = dg.DailyPartitionsDefinition(start_date="2013-10-06", end_offset=1)
"""UTC days from Kraken's first trade to today, which is open. Minute partitions would pass Dagster's limit of
100,000 an asset in 69 days."""

TICK_ENDS_AFTER = timedelta(seconds=48)
"""A tick that is not done by then is stuck; it is ended so that the next one can begin."""

_TOLD = 50
"""Metrics with trouble that are named in the log and the events of a run, each with its reason."""


class MinutePricesConfig(dg.Config):
    """Which minute of the partition; without one the whole day is fetched."""

    minute: str | None = Field(
        default=None,
        description="One closed minute, ISO 8601 with time zone. Empty: a tick's own, else every minute of the day, "
        "also those that are stored already.",
    )


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="prices",
    owners=[OWNER],
    kinds={"deltalake", "parquet"},
    freshness_policy=EVERY_MINUTE,
    metadata=table_metadata(MINUTE_PRICES),
)
def minute_prices(
    context: dg.AssetExecutionContext, config: MinutePricesConfig, tracker: dg.ResourceParam[Tracker]
) -> dg.MaterializeResult[None]:
    """Open, high, low, close, volume and number of trades of every tracked metric, minute by minute.

    A tick stores the minute that has just closed, corrects the five before it and fetches what was missed since the
    last one. Materialized by hand, a day's partition is fetched whole, and corrected where the exchange's answer
    differs from what is stored; ticks go first. Kept as a Delta table, partitioned by UTC day.
    """
    settings = tracker.settings()
    minute = whole_minute(config.minute) if config.minute else minute_of(context.run)
    days = context.partition_keys if context.has_partition_key or context.has_partition_key_range else []
    if minute is None and not days:  # from the Launchpad, without a partition
        minute = tracker.newest_closed_minute()
    if minute is not None:
        with why_it_fails(context), time_limit(TICK_ENDS_AFTER):
            collected = collect_minute(settings, minute, now=tracker.now)
    else:
        first, _ = minutes_of_day(date.fromisoformat(days[0]))
        _, end = minutes_of_day(date.fromisoformat(days[-1]))
        last = min(end, tracker.newest_closed_minute())
        tell = partial(context.log.info, "%d of %d, %s")
        collected = backfill(settings, first, last, refetch=True, on_progress=tell)
    _tell(context, collected)
    store = tracker.of(settings).store()
    for day in days:
        context.add_asset_metadata(_of_day(store, collected, day), partition_key=day)
    for day in (each.isoformat() for each in collected.stored):
        if day not in days and DAYS.has_partition_key(day):  # a tick after midnight also heals yesterday
            healed = f"healed by the tick of {collected.minute:%Y-%m-%d %H:%M}"
            numbers = _of_day(store, collected, day)
            context.log_event(dg.AssetMaterialization(context.asset_key, healed, numbers, partition=day))
    newest = "FROM minute_prices ORDER BY minute DESC, metric LIMIT 10"
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": store.prices.rows(),
            "rejected": len(collected.rejected),
            "doubts": len(collected.doubts),
            "missing": len(collected.missing),
            "newest_minute": dg.MetadataValue.timestamp(collected.minute),
            # seconds that this machine's clock is ahead of the exchange's: plotted over time
            **({"clock_difference": max(collected.clocks.values(), key=abs)} if collected.clocks else {}),
            **({TROUBLES: dg.MetadataValue.json(collected.troubles)} if collected.troubles else {}),
            "missing_why": dg.MetadataValue.json(why_missing(collected)),
            "rejected_rows": sample("row", collected.rejected),
            "page": page_of_a_metric(settings),
            "folder": dg.MetadataValue.path(store.prices.location.url),
            "sql": sql_command(newest, simulated=settings.simulated),
        }
    )


def why_missing(collected: Collected) -> dict[str, Any]:
    """Return of the first metrics that lack minutes which, why and the cause, and how many more there are."""
    told: dict[str, Any] = {
        metric: {
            "minutes": ", ".join(map(str, gaps[:10])),
            "why": collected.why(metric),
            "cause": collected.cause(metric),
        }
        for metric, gaps in islice(collected.missing.items(), _TOLD)
    }
    if more := len(collected.missing) - len(told):  # an event a tick, kept for days
        told[f"and {more:,} metrics more"] = "no_minute_missing counts them"
    return told


def _tell(context: dg.AssetExecutionContext, collected: Collected) -> None:
    for row in collected.rejected[:20]:
        context.log.warning("rejected: %s", row)
    for doubt in list(collected.doubts.values())[:20]:
        context.log.warning("doubted until a second answer says the same: %s", doubt)
    for metric, reason in list(collected.reasons.items())[:_TOLD]:
        context.log.warning("%s: %s", metric, reason)
    if len(collected.reasons) > _TOLD:  # each line is a row of Dagster's event log
        context.log.warning("and %d metrics more", len(collected.reasons) - _TOLD)
    for trouble in collected.troubles:
        context.log.warning("%s", trouble)
    for mistake in dict.fromkeys(collected.tracebacks):
        context.log.error("a mistake of pricetracker, which cost no other metric its minute:\n%s", mistake)
    counted = f"{collected.inserted} added, {collected.updated} corrected, {len(collected.rejected)} rejected"
    context.log.info("%s: %s", f"{collected.minute:%Y-%m-%d %H:%M}", counted)


def _of_day(store: Store, collected: Collected, partition: str) -> dict[str, int]:
    """Return the numbers of one partition."""
    day = date.fromisoformat(partition)
    stored = collected.stored.get(day, Stored(0, 0))
    return {
        "dagster/partition_row_count": store.prices.day_rows(day),
        "inserted": stored.inserted,
        "corrected": stored.updated,
    }
