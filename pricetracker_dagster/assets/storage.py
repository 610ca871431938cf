"""The asset ``storage``: how much disk everything takes, plotted over time, and for how long there is enough."""

from collections.abc import Iterator

import dagster as dg

from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import OWNER, why_it_fails
from pricetracker_dagster.instance.database import database_bytes
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.disk import DiskUse, disk_use

FEW_DAYS = 14
"""With fewer days left somebody has to do something."""

_DISK_LASTS = dg.AssetCheckSpec(
    "disk_lasts",
    asset="storage",
    description=f"At the present growth the disk of the data folder lasts for {FEW_DAYS} days or more.",
)


@dg.asset(
    deps=[minute_prices],
    group_name="prices",
    owners=[OWNER],
    kinds={"deltalake", "dagster"},
    check_specs=[_DISK_LASTS],
)
def storage(
    context: dg.AssetExecutionContext, tracker: dg.ResourceParam[Tracker]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """How many files, bytes and candles there are, Dagster's part of it, and how many days the disk will do.

    Measured each hour. The growth is that of the data folder over the last seven days; it is known after one. In the
    first week it is larger than later: replaced files stay for seven days, ticks for keep_runs_hours.
    """
    with why_it_fails(context):
        use = disk_use(tracker.store(), tracker.now())
    database = database_bytes(context.instance)
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": use.rows,
            "files": use.files,
            "price_bytes": use.price_bytes,
            **({} if use.bytes_a_candle is None else {"bytes_a_candle": round(use.bytes_a_candle, 3)}),
            **({} if use.oldest is None else {"oldest_minute": dg.MetadataValue.timestamp(use.oldest)}),
            **({} if use.newest is None else {"newest_minute": dg.MetadataValue.timestamp(use.newest)}),
            "record_bytes": use.record_bytes,
            "dagster_bytes": use.dagster_bytes + database,
            "folder_bytes": use.folder_bytes,
            "free_bytes": use.free_bytes,
            **({} if use.growth is None else {"growth_bytes_a_day": round(use.growth)}),
            **({} if use.days_left is None else {"days_left": round(use.days_left, 1)}),
            "folder": dg.MetadataValue.path(tracker.store().folder.path),
        }
    )
    yield _disk_lasts(use)


def _disk_lasts(use: DiskUse) -> dg.AssetCheckResult:
    days = use.days_left
    what = "the growth is known a day after the first measurement" if use.growth is None else "it does not grow"
    said = what if days is None else f"{days:.1f} days at {(use.growth or 0) / 1e6:,.1f} MB a day"
    few = days is not None and days < FEW_DAYS
    way_out = {"way_out": "free some space, move the data folder to a larger disk, or set keep_days"} if few else {}
    return dg.AssetCheckResult(
        check_name=_DISK_LASTS.name,
        passed=not few,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lasts": said, "free_bytes": use.free_bytes, **way_out},
    )
