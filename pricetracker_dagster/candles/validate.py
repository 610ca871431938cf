"""Validation: which candles are stored, and why the others are rejected.

validate.sql parts the rows by the rule of validate_problem.sql, validate_rows.sql takes rows as exchanges answer them,
validate_closed.sql finds minutes that are not over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import newest_closed_minute, utc
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.errors import plain


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
        "SELECT * EXCLUDE (problem, whole, row) FROM validated WHERE problem IS NULL"
    ).to_arrow_table()
    connection.execute("SELECT metric, epoch(minute), problem, row FROM validated WHERE problem IS NOT NULL")
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


def validate_rows(rows: Iterable[Sequence[object]], fetched_at: datetime) -> Validated:
    """Validate candles as exchanges answered them: rows in the order of RAW_COLUMNS, any number of metrics."""
    connection = sql.connect()
    # Through DuckDB and not pyarrow.array(), which imports pandas: 0.5 s of CPU in each tick.
    values = {"rows": [as_texts(row) for row in rows], "fetched_at": fetched_at}
    connection.execute(sql.load("candles/validate_rows.sql"), values)
    return validate(connection)


def as_texts(row: Iterable[object]) -> list[str | None]:
    """Return values as text that can be validated and stored: a surrogate, which is no UTF-8, is shown as ``?``."""
    return [None if value is None else str(value).encode("utf-8", "replace").decode("utf-8") for value in row]


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
