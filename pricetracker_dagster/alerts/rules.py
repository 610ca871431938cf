"""The rule: a measure exceeds so many times its average over the minutes before.

Pure: candles come in as a relation, verdicts go out. Which minutes are judged is in detect.py, what becomes of a minute
that is above is in ``lifecycle/``.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.measures import define_measures
from pricetracker_dagster.settings import AlertRule

ABOVE = "above"
"""The verdict on a minute that breaks the rule; NOT_ABOVE on one that keeps it. All others say why it is not judged."""

NOT_ABOVE = "not above"

TOLERANCE = 1e-9
"""A value must exceed the limit by more than this part of it: less is what binary arithmetic makes of decimals."""


class Verdict(NamedTuple):
    """One rule's judgement of one minute of one measure.

    ``average`` is over the rule's window before the minute (of magnitudes for changes), None where that is empty;
    ``ratio`` is |value| / average; ``points`` counts the window's minutes that have a value; ``verdict`` is ``above``,
    ``not above``, ``too few points``, ``average too small`` or ``no value``.
    """

    rule: str
    metric: str
    measure: str
    minute: datetime
    value: float | None
    average: float | None
    ratio: float | None
    points: int
    verdict: str


def judge(
    connection: duckdb.DuckDBPyConnection,
    rules: Sequence[AlertRule],
    first: datetime,
    last: datetime,
    only: str | None = None,
) -> duckdb.DuckDBPyRelation:
    """Judge every minute from ``first`` to ``last`` of every metric by every rule at once.

    Args:
        connection: has a table or view ``candles`` with metric, minute, open, close and volume, in any order; for each
            minute judged also those of the rule's window before it.
        rules: by which to judge.
        first: the oldest minute judged, UTC.
        last: the newest one, UTC.
        only: the one verdict to be given; None: all.

    Returns:
        The connection's table ``verdicts``: Verdict's columns, a row a rule, metric, measure and stored minute, in no
        order.
    """
    define_measures(connection)
    connection.execute(sql.load("alerts/sql/verdicts.sql"))
    for rule in rules:
        for measure in dict.fromkeys(rule.measures):
            connection.execute(
                sql.load("alerts/sql/judge.sql"),
                {
                    "rule": rule.name,
                    "patterns": list(rule.metrics),
                    "measure": measure,
                    "factor": rule.factor,
                    "tolerance": TOLERANCE,
                    "window": rule.window_minutes,
                    "min_points": rule.min_points,
                    "min_average": rule.min_average,
                    "first": first,
                    "last": last,
                    "only": only,
                },
            )
    return connection.table("verdicts")
