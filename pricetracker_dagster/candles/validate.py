"""Validation: which candles are stored, and why the others are rejected.

validate.sql parts the rows by the rule of validate_problem.sql, validate_rows.sql takes rows as exchanges answer them,
validate_closed.sql finds minutes that are not over.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import newest_closed_minute, utc
from pricetracker_dagster.candles.schema import RAW_COLUMNS, SCHEMA
from pricetracker_dagster.errors import plain

if TYPE_CHECKING:
    import numpy as np


_FIRST, _END = 1_230_768_000, 4_102_444_800
"""As is_time() has it in validate_problem.sql."""


class RejectedRow(NamedTuple):
    """A row that is not stored, and why. ``minute`` is None where not even its time could be read."""

    metric: str
    minute: datetime | None
    problem: str
    row: str

    def __str__(self) -> str:
        """Return the line a person reads: which metric, which minute, what was wrong, what was there."""
        minute = f"{self.minute:%Y-%m-%d %H:%M}" if self.minute else "minute unknown"
        return f"{self.metric} {minute}: {self.problem} ({self.row})"


@dataclass(frozen=True)
class Validated:
    """Rows after validation.

    Attributes:
        kept: the valid candles, SCHEMA, one a (metric, minute), in no order.
        rejected: the other rows, with the reason.
        derived: which of the kept were filled in by us and stated by no source (columns metric and minute; it may list
            more rows than were kept); None: none.
    """

    kept: pa.Table
    rejected: list[RejectedRow]
    derived: pa.Table | None = None


@dataclass(frozen=True)
class Unvalidated:
    """One metric's candles as its exchange answered them.

    They are validated when they are looked at: with those of many others by validate_together(), or alone by ``kept``
    and ``rejected``, which are those of Validated.

    Attributes:
        rows: their cells, in the order of RAW_COLUMNS.
        fetched_at: when they were answered, UTC.
        quiet: open times in Unix seconds of those that were filled in by us and stated by no source.
    """

    rows: Sequence[Sequence[object]]
    fetched_at: datetime
    quiet: Sequence[int] = ()

    @property
    def kept(self) -> pa.Table:
        """The valid candles."""
        return self._alone.kept

    @property
    def rejected(self) -> list[RejectedRow]:
        """The other rows."""
        return self._alone.rejected

    @cached_property
    def _alone(self) -> Validated:
        return validate_together([self])

    def speaks_of(self, minute: datetime) -> bool:
        """Say whether a row is of a minute, UTC, valid or not, or of a whole one after it."""
        wanted, times = int(minute.timestamp()), [_number(row[1]) for row in self.rows if len(row) > 1]
        return any(unix // 60 * 60 == wanted or (unix > wanted and unix % 60 == 0) for unix in times)


Answer = Validated | Unvalidated
"""What an exchange has answered of one metric."""


def validate(connection: duckdb.DuckDBPyConnection) -> Validated:
    """Validate the candles in the table or view ``raw`` of a connection.

    ``raw`` holds RAW_COLUMNS as text and ``fetched_at`` (timestamp with time zone).

    Rejected are: a time that is no number, no whole minute or out of range; prices, volume or trades that
    are no finite number or are negative; high below low; open or close outside them. Of two valid rows for
    one minute the later one is kept. The text of a rejected row is one line, cut after 200 characters.
    """
    define_candle_problem(connection)
    connection.execute(sql.load("candles/validate.sql"))
    kept = connection.sql(
        "SELECT * EXCLUDE (line, problem, whole, row) FROM validated WHERE problem IS NULL"
    ).to_arrow_table()
    connection.execute("SELECT metric, epoch(minute), problem, row FROM validated WHERE problem NOTNULL ORDER BY line")
    rejected = connection.fetchall()
    return Validated(
        kept=kept.cast(SCHEMA),
        rejected=[
            RejectedRow(metric, None if unix is None else utc(unix), problem, plain(row, len(row)))
            for metric, unix, problem, row in rejected
        ],
    )


def define_candle_problem(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the SQL macro candle_problem() in a connection: what is wrong with a candle, NULL where nothing is."""
    connection.execute(sql.load("candles/validate_problem.sql"))


def all_valid(columns: "Mapping[str, np.ndarray[Any, Any]]") -> bool:
    """Say of candles, at least one, whether candle_problem() finds nothing wrong with any: ten times quicker than it.

    Args:
        columns: by the names of RAW_COLUMNS but the metric; ``unix`` and ``trades`` are int64, the others float64.
    """
    unix, trades, volume = columns["unix"], columns["trades"], columns["volume"]
    low, high = columns["low"], columns["high"]
    return bool(
        unix.min() >= _FIRST
        and unix.max() < _END
        and not (unix % 60).any()
        and trades.min() >= 0
        and volume.min() >= 0  # nothing of this holds for NaN
        and volume.max() < math.inf
        and low.min() >= 0
        and high.max() < math.inf
        and all((low <= columns[name]).all() and (columns[name] <= high).all() for name in ("open", "close"))
    )


def validate_rows(rows: Iterable[Sequence[object]], fetched_at: datetime) -> Validated:
    """Validate candles as exchanges answered them: rows in the order of RAW_COLUMNS, any number of metrics."""
    return validate_together([Unvalidated([*rows], fetched_at)])


def validate_together(answers: Sequence[Answer]) -> Validated:
    """Return the rows of any number of answers as those of one, validated in one pass as far as they are not yet.

    At least one answer. Of two valid rows for one minute of what is validated here the later one is kept.
    """
    parts = [answer for answer in answers if isinstance(answer, Validated)]
    # Through DuckDB and not pyarrow.array(), which imports pandas: 0.5 s of CPU in each tick.
    rows = [
        [answer.fetched_at.isoformat(), *as_texts(row)][: 1 + len(RAW_COLUMNS)]
        for answer in answers
        if isinstance(answer, Unvalidated)
        for row in answer.rows
    ]
    if rows or not parts:
        connection = sql.connect()
        connection.execute(sql.load("candles/validate_rows.sql"), {"rows": rows})
        parts.append(validate(connection))
    derived = [part.derived for part in parts if part.derived is not None]
    if quiet := [
        {"metric": answer.rows[0][0], "minute": utc(unix)}
        for answer in answers
        if isinstance(answer, Unvalidated)
        for unix in answer.quiet
    ]:
        derived.append(_table(quiet))
    return Validated(
        pa.concat_tables([part.kept for part in parts]),
        [row for part in parts for row in part.rejected],
        pa.concat_tables(derived) if derived else None,
    )


def _table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Return rows of metric and minute as a table. Through DuckDB, as above."""
    columns = "unnest($rows::STRUCT(metric VARCHAR, minute TIMESTAMPTZ)[], recursive := true)"
    return sql.connect().sql(f"SELECT {columns}", params={"rows": rows}).to_arrow_table()


def _number(cell: object) -> float:
    """Return the number that a cell is, NaN where it is none."""
    try:
        return float(str(cell))
    except ValueError:
        return math.nan


def as_texts(row: Iterable[object]) -> list[str | None]:
    """Return values as text that can be validated and stored: a surrogate, which is no UTF-8, is shown as ``?``."""
    return [
        None if value is None else text if (text := str(value)).isascii() else text.encode("utf-8", "replace").decode()
        for value in row
    ]


def closed(validated: Validated, now: datetime, exchange: str | None = None) -> Validated:
    """Reject the rows of minutes that are not closed at ``now`` (UTC), so that nothing is filled up to them.

    Where an exchange's clock says so, rows of others are kept; None: this machine's clock, for all rows.
    """
    connection = sql.connect(candles=validated.kept)
    bound = {"newest": newest_closed_minute(now), "begins": f"{exchange}:" if exchange else ""}
    connection.execute(sql.load("candles/validate_closed.sql"), bound)
    by_whom = f"by {exchange}'s clock it is" if exchange else "it is"
    problem = f"not closed: {by_whom} {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    rejected = [RejectedRow(metric, utc(unix), problem, row) for metric, unix, row in connection.fetchall()]
    if not rejected:
        return validated
    kept = connection.sql("FROM candles WHERE NOT (minute > $newest AND starts_with(metric, $begins))", params=bound)
    return Validated(kept.to_arrow_table().cast(SCHEMA), validated.rejected + rejected, validated.derived)
