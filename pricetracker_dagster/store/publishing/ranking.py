"""The rankings and what is available, from the merged partials of the last 24 hours, into a new published file."""

from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.store.publishing.partials import OF, Partials, array


def rank(connection: duckdb.DuckDBPyConnection, merged: Partials, as_of: datetime) -> None:
    """Fill ``metric_rank`` and ``available_metrics`` of the connection's current database."""
    ranked = measured(merged)
    measures = {"measures": ", ".join(map(sql.literal, MEASURES))}
    connection.register("measured", ranked)
    connection.execute(sql.filled("store/publishing/sql/ranked.sql", measures), {"as_of": as_of})
    by_metric = np.lexsort([np.from_dlpack(ranked.column(name)) for name in ("place", "number")])
    connection.register("measured", ranked.take(array(by_metric.astype(np.int32))))
    connection.execute(sql.filled("store/publishing/sql/available.sql", measures))
    connection.unregister("measured")


def measured(merged: Partials) -> pa.RecordBatch:
    """Return a row a metric and measure that has a value, by measure and rank: 1 is the largest standard deviation.

    ``number`` is the metric's in the order of their names, ``place`` the measure's among MEASURES, from 1 on; minutes
    are counted since 1970, UTC; ``stddev`` is 0 where there are fewer than two values, which come last. As SQL orders
    numbers, one that is none is the largest.
    """
    counts = merged.counts[OF]
    with np.errstate(invalid="ignore"):
        deviations = np.sqrt(merged.m2 / np.maximum(counts - 1, 1))
    measure, metric = np.nonzero(counts)
    stddev, single = deviations[measure, metric], counts[measure, metric] < 2
    wrong = np.isnan(stddev)
    alphabetical = np.argsort(np.argsort(MEASURES))
    order = np.lexsort((metric, np.where(wrong, 0.0, -stddev), ~wrong, single, alphabetical[measure]))
    measure, metric = measure[order], metric[order]
    of = np.bincount(measure, minlength=len(MEASURES))
    _, begins, which = np.unique(alphabetical[measure], return_index=True, return_inverse=True)
    numbers = {
        "number": metric,
        "place": measure + 1,
        "rank": np.arange(len(measure)) - begins[which] + 1,
        "of": of[measure],
        "observations": counts[measure, metric],
        "first_minute": merged.first[OF[measure], metric],
        "last_minute": merged.last[OF[measure], metric],
    }
    columns = {name: array(each.astype(np.int32)) for name, each in numbers.items()}
    columns["metric"] = merged.metrics.take(array(metric.astype(np.int32)))
    columns |= {
        "stddev": array(stddev[order]),
        "mean": array(merged.mean[measure, metric]),
        "last_value": array(merged.newest[measure, metric]),
    }
    return pa.RecordBatch.from_arrays([*columns.values()], [*columns])
