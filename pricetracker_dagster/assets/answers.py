"""The assets that answer questions: ``history_24h`` and ``metric_rank`` each minute, ``charts_24h`` as pictures."""

import dagster as dg

from pricetracker_dagster.assets.minute_prices import minute_prices
from pricetracker_dagster.assets.ui_metadata import (
    EVERY_MINUTE,
    OWNER,
    TROUBLES,
    duckdb_command,
    page,
    page_of_a_metric,
    rounded,
    sql_command,
    table_columns,
    table_metadata,
    why_it_fails,
)
from pricetracker_dagster.reading.pictures import charts
from pricetracker_dagster.reading.published import ask
from pricetracker_dagster.reading.questions import fewer_observations, of_rank
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.store.publishing.file import Published
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.schema import HISTORY_24H, METRIC_RANK

_SHOWN = 100
_OF_A_RANK = ("measure", "rank", "metric", "stddev", "mean", "relative_stddev")


@dg.asset(
    # of the days, the newest counts: else each run asks Dagster for every day since 2013
    deps=[dg.AssetDep(minute_prices, partition_mapping=dg.LastPartitionMapping())],
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
    tracker = tracker.of(tracker.settings())
    published = _publish(context, tracker)
    context.log.info("published %s", published.path)
    for trouble in published.troubles:
        context.log.warning("%s", trouble)
    newest = "FROM history_24h WHERE measure = 'price' ORDER BY minute DESC LIMIT 10"
    settings = tracker.settings()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": published.values,
            "metrics": published.metrics,
            "seconds": round(published.seconds, 3),
            "size_bytes": published.path.stat().st_size,
            **({TROUBLES: dg.MetadataValue.json(list(published.troubles))} if published.troubles else {}),
            **_as_of(published),
            "page": page_of_a_metric(settings),
            "file": dg.MetadataValue.path(published.path),
            "sql": sql_command(newest, simulated=settings.simulated),
            "duckdb": duckdb_command(published.path),
        }
    )


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
    published = _publish(context, tracker.of(settings))
    rows = ask(published.path, of_rank()).to_dicts()
    fewer = fewer_observations(rows)
    observations = dg.TableColumn("observations", "VARCHAR", "minutes that have a value, of the 1440 of a day")
    records = []
    for row in rows[:_SHOWN]:
        mark = " (fewer than others)" if (row["measure"], row["metric"]) in fewer else ""
        shown = {name: rounded(row[name]) for name in _OF_A_RANK}
        records.append(dg.TableRecord({**shown, "observations": f"{row['observations']} of 1440{mark}"}))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "fewer_observations": len({metric for _, metric in fewer}),
            "metrics_ranked": len({row["metric"] for row in rows if row["stddev"] is not None}),
            "ranking": dg.MetadataValue.table(
                records, dg.TableSchema([*table_columns(METRIC_RANK, _OF_A_RANK), observations])
            ),
            **_as_of(published),
            "page": page(settings),
            "sql": sql_command("FROM metric_rank WHERE measure = 'price'", simulated=settings.simulated),
        }
    )


@dg.asset(deps=[history_24h], group_name="answers", owners=[OWNER], kinds={"matplotlib", "pandas"})
def charts_24h(tracker: dg.ResourceParam[Tracker]) -> dg.MaterializeResult[None]:
    """Price and volume of each metric over the last 24 hours.

    Materialized at the first start, hourly and on demand: the pictures are kept in Dagster's event log, so not every
    minute.
    """
    drawn = charts(tracker.store().folder.published)
    pictures = {
        chart.metric: dg.MetadataValue.md(f"![{chart.metric}](data:image/png;base64,{chart.png})") for chart in drawn
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(chart.minutes for chart in drawn),
            "page": page_of_a_metric(tracker.settings()),
            **pictures,
        }
    )


def _publish(context: dg.AssetExecutionContext, tracker: Tracker) -> Published:
    with why_it_fails(context):
        tracked = [str(metric) for metric in tracker.settings().tracked]
        return publish(tracker.store(), tracked, now=tracker.now())


def _as_of(published: Published) -> dict[str, dg.MetadataValue]:
    return {"as_of": dg.MetadataValue.timestamp(published.as_of)} if published.as_of else {}
