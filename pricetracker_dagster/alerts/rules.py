"""The rule: a measure exceeds so many times its average over the minutes before.

Pure: candles come in as a relation, verdicts go out. Which minutes are judged is in detect.py, what becomes of a minute
that is above is in ``lifecycle/``.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.measures import define_measures
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule

ABOVE = "above"
"""The verdict on a minute that breaks the rule; NOT_ABOVE on one that keeps it. All others say why it is not judged."""

NOT_ABOVE = "not above"

Series = tuple[str, str, str]
"""Rule, metric, measure."""


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

    @property
    def series(self) -> Series:
        """What it is about."""
        return self[:3]


def judge(
    connection: duckdb.DuckDBPyConnection,
    rules: Sequence[AlertRule],
    first: datetime,
    last: datetime,
    only: str | None = None,
) -> list[Verdict]:
    """Judge every minute from ``first`` to ``last``, UTC, of every metric by every rule; return them in no order.

    The connection has a table or view ``candles`` with metric, minute, open, close and volume, in any order; for each
    minute judged also those of the rule's window before it. ``only``: the one verdict to be given; None: all.
    """
    define_measures(connection)
    found: list[Verdict] = []
    for rule in rules:
        values = {
            "rule": rule.name,
            "patterns": list(rule.metrics),
            "factor": rule.factor,
            "window": rule.window_minutes,
            "min_points": rule.min_points,
            "min_average": rule.min_average,
            "first": first,
            "last": last,
            "only": only,
        }
        for measure in dict.fromkeys(rule.measures):
            judged = connection.execute(sql.load("alerts/sql/judge.sql"), {**values, "measure": measure})
            found += map(Verdict._make, judged.fetchall())
    return found


def runs(above: Iterable[Verdict]) -> list[list[Verdict]]:
    """Part minutes above into runs of consecutive ones of one series, oldest first."""
    found: list[list[Verdict]] = []
    for verdict in sorted(above):
        if found and found[-1][-1].series == verdict.series and verdict.minute - found[-1][-1].minute == MINUTE:
            found[-1].append(verdict)
        else:
            found.append([verdict])
    return found


def highest(run: Iterable[Verdict]) -> Verdict:
    """Return the minute with the largest ratio."""
    return max(run, key=lambda verdict: verdict.ratio or 0.0)
