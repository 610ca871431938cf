"""The rules: a measure exceeds so many times its average over the minutes before, or a price is far from the others'.

Pure: candles come in as a relation, verdicts go out. What a divergence is compared with is in divergence.py, which
minutes are judged in detect.py; what becomes of a minute that is above is in ``lifecycle/``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.alerts.divergence import Compared
from pricetracker_dagster.candles.measures import define_measures
from pricetracker_dagster.candles.metric import Measure
from pricetracker_dagster.candles.minutes import MINUTE, minutes_between
from pricetracker_dagster.settings import DIVERGENCE, AlertRule

ABOVE = "above"
"""The verdict on a minute that breaks the rule; NOT_ABOVE on one that keeps it. All others say why it is not judged."""

NOT_ABOVE = "not above"

Series = tuple[str, str, str]
"""Rule, metric, measure."""

_A_FEW = 6
"""So many minutes at most are judged one after the other, each in one pass: as a rule it is the newest one."""


class Verdict(NamedTuple):
    """One rule's judgement of one minute of one measure.

    ``average`` is over the rule's window before the minute (of magnitudes for changes), None where that is empty;
    ``ratio`` is |value| / average; ``points`` counts the window's minutes that have a value; ``verdict`` is ``above``,
    ``not above``, ``too few points``, ``average too small`` or ``no value``.

    Of a divergence ``average`` is the median of the others' prices, None where there are none; ``ratio`` is how far the
    price is from it, in basis points; ``points`` counts these others; ``verdict`` is ``above``, ``not above``,
    ``too few others``, ``no trades``, ``exchange is out`` or ``no value``.
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


class Verdicts:
    """Verdicts as the engine holds them. Of thousands of metrics hardly one is above: only that need become Python."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take those in the table ``verdicts`` of a connection, which belongs to them from now on."""
        self._connection = connection

    def rows(self, verdict: str | None = None) -> list[Verdict]:
        """Return those that say so, or all, in no order."""
        values = {"verdict": verdict}
        found = self._connection.execute("FROM verdicts WHERE $verdict IS NULL OR verdict = $verdict", values)
        return list(map(Verdict._make, found.fetchall()))

    def counts(self) -> list[tuple[datetime, str, int]]:
        """Return of each minute, UTC, how many say what."""
        return self._connection.execute("SELECT minute, verdict, count(*) FROM verdicts GROUP BY ALL").fetchall()

    def not_above(self, series: Iterable[Series]) -> list[tuple[Series, datetime]]:
        """Return the minutes of some series that are not above."""
        names = [dict(zip(Verdict._fields, each, strict=False)) for each in series]
        if not names:
            return []
        found = self._connection.execute(sql.load("alerts/sql/not_above.sql"), {"series": names}).fetchall()
        return [((rule, metric, measure), minute) for rule, metric, measure, minute in found]

    def forget_before(self, begins: Mapping[str, datetime]) -> None:
        """Leave out what is said of a metric before it begins, UTC."""
        if begins:
            rows = [{"metric": metric, "begin": begin} for metric, begin in begins.items()]
            self._connection.execute(sql.load("alerts/sql/forget_before.sql"), {"begins": rows})


def judge(
    connection: duckdb.DuckDBPyConnection,
    rules: Sequence[AlertRule],
    first: datetime,
    last: datetime,
    only: str | None = None,
    metrics: Sequence[str] | None = None,
    compared: Compared | None = None,
) -> Verdicts:
    """Judge every minute from ``first`` to ``last``, UTC, by every rule.

    The connection has a table or view ``candles`` with metric, minute, open, close and volume, in any order; for each
    minute judged also those of the rule's window before it. ``only``: the one verdict to be given; None: all.
    ``metrics``: those to be judged; None: all. ``compared``: with what, for rules of kind divergence. The verdicts hold
    until the connection judges again.
    """
    define_measures(connection)
    connection.execute(sql.load("alerts/sql/verdicts.sql"))
    wanted = sql.load("alerts/sql/wanted.sql")
    for rule in rules:
        values: dict[str, object] = {
            "rule": rule.name,
            "patterns": list(rule.metrics),
            "metrics": None if metrics is None else [*metrics],
            "only": only,
        }
        if rule.kind == DIVERGENCE:
            own = (compared or Compared()).parameters()
            values |= {"basis_points": rule.basis_points, "others": rule.others, "first": first, "last": last, **own}
            connection.execute(sql.filled("alerts/sql/judge_divergence.sql", {"wanted": wanted}), values)
        else:
            _judge_spikes(connection, rule, first, last, wanted, values)
    return Verdicts(connection)


def _judge_spikes(
    connection: duckdb.DuckDBPyConnection,
    rule: AlertRule,
    first: datetime,
    last: datetime,
    wanted: str,
    values: Mapping[str, object],
) -> None:
    """Judge by a rule that compares measures with their averages."""
    values = {
        **values,
        "factor": rule.factor,
        "window": rule.window_minutes,
        "min_points": rule.min_points,
        "min_average": rule.min_average,
    }
    measures = rule.judged_measures
    if last - first < _A_FEW * MINUTE:
        filled = {
            "wanted": wanted,
            "values": _of_each("value", measures),
            "measures": _of_each("compared", measures),
        }
        compared = sql.filled("alerts/sql/compared_minute.sql", filled)
        each: list[dict[str, object]] = [{"minute": minute} for minute in minutes_between(first, last)]
    else:
        compared = sql.filled("alerts/sql/compared_minutes.sql", {"wanted": wanted})
        each = [{"measure": measure, "first": first, "last": last} for measure in measures]
    statement = sql.filled("alerts/sql/judge.sql", {"compared": compared})
    for own in each:
        connection.execute(statement, {**values, **own})


def _of_each(part: str, measures: Iterable[Measure]) -> str:
    """Return a part of a statement for each measure."""
    names = [{"measure": sql.literal(measure), "name": sql.identifier(measure)} for measure in measures]
    return ", ".join(sql.filled(f"alerts/sql/measure_{part}.sql", of_it) for of_it in names)


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
    """Return the minute with the largest ratio, of equal ones the first."""
    return max(run, key=lambda verdict: verdict.ratio or 0.0)
