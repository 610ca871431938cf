"""What is asked of the published file, and the answers: DuckDB relations, for whoever wants rows, Arrow or pandas.

Each function opens the file read-only, asks and closes it, so it always answers from the newest one and blocks nobody.
Its answer is held in memory: ``.fetchall()``, ``.to_dicts()``, ``.to_arrow_table()``, ``.df()`` (the only one that
imports pandas) or ``.pl()`` (polars). Timestamps are UTC. The command line streams the answers to the same questions.
Each raises NotPublished where there is no file yet, and other errors as of published_access.connect().
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.pair_names import own_name
from pricetracker_dagster.errors import UnknownName, did_you_mean
from pricetracker_dagster.store.published_access import attached, connect

_RANK = """
    SELECT measure, rank, "of", metric, stddev, mean, relative_stddev, observations, as_of
    FROM metric_rank
    WHERE measure = $measure OR $measure IS NULL
    ORDER BY list_position($measures::VARCHAR[], measure), rank
"""
_HISTORY = """
    SELECT metric, measure, minute, value
    FROM history_24h
    WHERE metric = $metric AND measure = $measure
    ORDER BY minute
"""
_ALERTS = """
    FROM alerts
    WHERE (state <> 'resolved' OR NOT $only_open) AND ($since::TIMESTAMPTZ IS NULL OR last_minute >= $since)
    ORDER BY minute DESC, rule, metric, measure
"""
_INCIDENTS = """
    FROM incidents
    WHERE (state <> 'resolved' OR NOT $only_open) AND ($since::TIMESTAMPTZ IS NULL OR last >= $since)
    ORDER BY first DESC, cause
"""


class Question(NamedTuple):
    """A statement and the values of its parameters, to be answered from the published file."""

    statement: str
    parameters: Mapping[str, Any] = {}


def of_metrics() -> Question:
    """Ask for metrics()."""
    return Question("FROM available_metrics")


def of_history(published: Path, metric: str, measure: str) -> Question:
    """Ask for history(); errors as there."""
    _check_measure(measure)
    found = _answer(published, Question("SELECT DISTINCT metric FROM available_metrics")).fetchall()
    known = [name for (name,) in found]
    if metric not in known:
        ours = own_name(metric)
        hint = f"; did you mean {ours}?" if ours in known else did_you_mean(metric, known)
        raise UnknownName(f"no values of {metric} in the last 24 hours{hint}")
    return Question(_HISTORY, {"metric": metric, "measure": measure})


def of_rank(measure: str | None = None) -> Question:
    """Ask for rank(); an unknown measure is an error as there."""
    if measure is not None:
        _check_measure(measure)
    return Question(_RANK, {"measure": measure, "measures": list(MEASURES)})


def of_alerts(*, only_open: bool = False, since: datetime | None = None) -> Question:
    """Ask for alerts()."""
    return Question(_ALERTS, {"only_open": only_open, "since": since})


def of_incidents(*, only_open: bool = False, since: datetime | None = None) -> Question:
    """Ask for incidents()."""
    return Question(_INCIDENTS, {"only_open": only_open, "since": since})


def metrics(published: Path) -> duckdb.DuckDBPyRelation:
    """Return what has values in the last 24 hours: the columns of available_metrics."""
    return _answer(published, of_metrics())


def history(published: Path, metric: str, measure: str) -> duckdb.DuckDBPyRelation:
    """Return one measure of one metric over the last 24 hours: metric, measure, minute, value, oldest first.

    Raises:
        UnknownName: there is no such measure, or no value of the metric; the message says which there are.
    """
    return _answer(published, of_history(published, metric, measure))


def rank(published: Path, measure: str | None = None) -> duckdb.DuckDBPyRelation:
    """Return the metrics by standard deviation of one measure, or of each: the columns of metric_rank, rank 1 first.

    Raises:
        UnknownName: there is no such measure; the message says which there are.
    """
    return _answer(published, of_rank(measure))


def alerts(published: Path, *, only_open: bool = False, since: datetime | None = None) -> duckdb.DuckDBPyRelation:
    """Return the alerts: the columns of the table alerts, newest first.

    Args:
        published: the published file.
        only_open: leave out those that are resolved.
        since: only those that were above in this minute (UTC) or later.
    """
    return _answer(published, of_alerts(only_open=only_open, since=since))


def incidents(published: Path, *, only_open: bool = False, since: datetime | None = None) -> duckdb.DuckDBPyRelation:
    """Return the incidents: the columns of the table incidents, newest first. Arguments and errors as of alerts()."""
    return _answer(published, of_incidents(only_open=only_open, since=since))


def query(published: Path, statement: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
    """Return what any SQL statement answers from the published file, read-only.

    Raises:
        ValueError: the statement answers nothing.
        duckdb.Error: the statement is wrong, or would write.
    """
    with connect(published) as connection:
        return _held(connection, Question(statement, parameters or {}))


def fewer_observations(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return which rows of metric_rank stand on fewer minutes than others of the measure: over less time.

    Returns:
        For each such measure and metric, how many minutes have a value and how many those of the fullest metric have.
    """
    ranked = list(rows)
    fullest_last = sorted(ranked, key=lambda row: row["observations"])
    most = {row["measure"]: row["observations"] for row in fullest_last}
    return {
        (row["measure"], row["metric"]): (row["observations"], most[row["measure"]])
        for row in ranked
        if row["observations"] < most[row["measure"]]
    }


def _answer(published: Path, question: Question) -> duckdb.DuckDBPyRelation:
    with attached(published) as connection:
        return _held(connection, question)


def _held(connection: duckdb.DuckDBPyConnection, question: Question) -> duckdb.DuckDBPyRelation:
    """Ask once and keep the rows in memory: the file is closed before anybody looks at them."""
    relation: duckdb.DuckDBPyRelation | None = connection.sql(
        question.statement, params=dict(question.parameters) or None
    )
    if relation is None:
        raise ValueError(f"the statement answers nothing: {question.statement}")
    return relation.materialize()


def _check_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise UnknownName(f"no measure {measure}{did_you_mean(measure, MEASURES)}")
