"""Whether a published file is consistent in itself: asked as any reader asks it, recomputed by numpy."""

from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

Rows = list[tuple[Any, ...]]

QUESTIONS = (
    "SELECT epoch(as_of)::BIGINT, metrics, rows, schema_version FROM snapshot",
    "SELECT measure, rank, metric, stddev, mean, observations FROM metric_rank ORDER BY ALL",
    "SELECT metric, measure, epoch(minute)::BIGINT, value FROM history_24h ORDER BY ALL",
    "SELECT count(*), count(DISTINCT (metric, minute)) FROM minute_prices",
    "SELECT count(*) FROM alerts",
    "SELECT count(*) FROM missed_minutes",
)


def faults_of(published: Path, *, twice: bool = False) -> list[str]:
    """Return what is wrong with the file that stands there now.

    Args:
        published: where it stands.
        twice: whether it is asked a second time on the same connection, which must answer the same.
    """
    try:
        with duckdb.connect(str(published), read_only=True) as connection:
            answers = _asked(connection)
            again = _asked(connection) if twice else answers
    except Exception as error:
        return [f"a reader failed: {type(error).__name__}: {error}"]
    wrong = _wrong(*answers)
    return wrong if again == answers else [*wrong, "an open file answered differently the second time"]


def as_of(published: Path) -> datetime:
    """Return the minute up to which it goes, UTC."""
    with duckdb.connect(str(published), read_only=True) as connection:
        [(seconds,)] = connection.execute("SELECT epoch(as_of)::BIGINT FROM snapshot").fetchall()
    return datetime.fromisoformat("1970-01-01T00:00+00:00") + timedelta(seconds=seconds)


def _asked(connection: duckdb.DuckDBPyConnection) -> list[Rows]:
    return [connection.execute(question).fetchall() for question in QUESTIONS]


def _wrong(snapshot: Rows, ranking: Rows, history: Rows, counts: Rows, *_: Rows) -> list[str]:
    [(newest, metrics, rows, _version)], [(all_rows, keys)] = snapshot, counts
    wrong = []
    if all_rows != keys:
        wrong.append(f"minute_prices has {all_rows} rows of {keys} keys")
    if all_rows != rows:
        wrong.append(f"minute_prices has {all_rows} rows, snapshot says {rows}")
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for metric, measure, minute, value in history:
        if not newest - 86_400 < minute <= newest:
            wrong.append(f"history_24h has {minute} as of {newest}")
        if value is not None:
            values[measure, metric].append(value)
    if len({metric for _, metric in values}) != metrics:
        wrong.append(f"snapshot counts {metrics} metrics, history_24h {len({metric for _, metric in values})}")
    right = {
        key: (float(np.std(of_it, ddof=1)) if len(of_it) > 1 else None, float(np.mean(of_it)), len(of_it))
        for key, of_it in values.items()
    }
    told = {(measure, metric): row for measure, _, metric, *row in ranking}
    for key, (stddev, mean, count) in right.items():
        mine = told.get(key)
        if mine is None or mine[2] != count or not _same(mine[0], stddev) or not _same(mine[1], mean):
            wrong.append(f"metric_rank has {mine} for {key}, of history_24h it is {(stddev, mean, count)}")
    order: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for measure, _, metric, stddev, *_rest in sorted(ranking, key=lambda row: (row[0], row[1])):
        order[measure].append((np.inf if stddev is None else -stddev, metric))
    wrong += [f"the ranking of {measure} is out of order" for measure, row in order.items() if row != sorted(row)]
    return wrong


def _same(mine: float | None, right: float | None) -> bool:
    return mine == right or (
        mine is not None and right is not None and bool(np.isclose(mine, right, rtol=1e-9, atol=1e-12))
    )
