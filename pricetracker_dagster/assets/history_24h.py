"""The asset ``history_24h``: publishes the DuckDB file in which the last 24 hours are read by SQL."""

import dagster as dg

from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import (
    EVERY_MINUTE,
    OWNER,
    TROUBLES,
    duckdb_command,
    sql_command,
    table_metadata,
    why_it_fails,
)
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.schema import HISTORY_24H


@dg.asset(
    deps=[minute_prices],
    group_name="answers",
    owners=[OWNER],
    kinds={"duckdb", "sql"},
    freshness_policy=EVERY_MINUTE,
    metadata=table_metadata(HISTORY_24H),
)
def history_24h(context: dg.AssetExecutionContext, tracker: dg.ResourceParam[Tracker]) -> dg.MaterializeResult[None]:
    """The 1,440 closed minutes up to as_of of every metric, all four measures, in the published DuckDB file.

    The file is built beside the old one and swapped in whole: whoever has it open keeps what they have, nobody waits.
    """
    settings = tracker.settings()
    tracked = [str(metric) for metric in settings.tracked]
    with why_it_fails(context):
        published = publish(tracker.store(), tracked, now=tracker.now())
    context.log.info("published %s", published.path)
    for trouble in published.troubles:
        context.log.warning("%s", trouble)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": published.values,
            "metrics": published.metrics,
            "seconds": round(published.seconds, 3),
            "size_bytes": published.path.stat().st_size,
            **({TROUBLES: dg.MetadataValue.json(list(published.troubles))} if published.troubles else {}),
            **({"as_of": dg.MetadataValue.timestamp(published.as_of)} if published.as_of else {}),
            "file": dg.MetadataValue.path(published.path),
            "sql": sql_command(
                "FROM history_24h WHERE measure = 'price' ORDER BY minute DESC LIMIT 10", simulated=settings.simulated
            ),
            "duckdb": duckdb_command(published.path),
        }
    )
