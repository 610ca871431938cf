"""The asset ``metric_rank``: the metrics by the standard deviation of each measure over the last 24 hours."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pricetracker_dagster.assets.history_24h import history_24h
from pricetracker_dagster.assets.ui_metadata import (
    EVERY_MINUTE,
    OWNER,
    rounded,
    sql_command,
    table_columns,
    table_metadata,
    why_it_fails,
)
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store import reading
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.schema import METRIC_RANK

_SHOWN = 100


@dg.asset(
    deps=[history_24h],
    group_name="answers",
    owners=[OWNER],
    kinds={"duckdb", "sql"},
    freshness_policy=EVERY_MINUTE,
    metadata=table_metadata(METRIC_RANK),
)
def metric_rank(context: dg.AssetExecutionContext, tracker: dg.ResourceParam[Tracker]) -> dg.MaterializeResult[None]:
    """Which metric moved most: rank by sample standard deviation over the last 24 hours, one ranking a measure.

    Reads the published file; where that is older than the prices, it publishes first.
    """
    settings = tracker.settings()
    tracked = [str(metric) for metric in settings.tracked]
    with why_it_fails(context):
        published = publish(tracker.store(), tracked, now=tracker.now())
    rows = reading.rank(published.path).to_dicts()
    shown = ("measure", "rank", "metric", "stddev", "mean", "relative_stddev")
    fewer = reading.fewer_observations(rows)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "fewer_observations": len({metric for _, metric in fewer}),
            "metrics_ranked": len({row["metric"] for row in rows if row["stddev"] is not None}),
            "ranking": dg.MetadataValue.table(
                records=[
                    dg.TableRecord(
                        {name: rounded(row[name]) for name in shown} | {"observations": _of_a_day(row, fewer)}
                    )
                    for row in rows[:_SHOWN]
                ],
                schema=dg.TableSchema(
                    [
                        *table_columns(METRIC_RANK, shown),
                        dg.TableColumn("observations", "VARCHAR", "minutes that have a value, of the 1440 of a day"),
                    ]
                ),
            ),
            **({"as_of": dg.MetadataValue.timestamp(published.as_of)} if published.as_of else {}),
            "sql": sql_command("FROM metric_rank WHERE measure = 'price'", simulated=settings.simulated),
        }
    )


def _of_a_day(row: Mapping[str, Any], fewer: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    """Write how many minutes a rank stands on; marked where others stand on more."""
    mark = " (fewer than others)" if (row["measure"], row["metric"]) in fewer else ""
    return f"{row['observations']} of 1440{mark}"
