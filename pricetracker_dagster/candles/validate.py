"""Validation: which candles are stored, and why the others are rejected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import newest_closed_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.errors import plain

_SQL = Path(__file__).parent


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
    """Rows after judgement.

    Attributes:
        kept: the sane candles, SCHEMA, one a (metric, minute), in no order.
        rejected: the others, with the reason.
        derived: which of the kept nobody stated (columns metric and minute, and maybe more rows); None: none.
    """

    kept: pa.Table
    rejected: list[RejectedRow]
    derived: pa.Table | None = None


def validate(connection: duckdb.DuckDBPyConnection) -> Validated:
    """Judge the candles in the table or view ``raw`` of a connection and part the sane ones from the rest.

    ``raw`` holds RAW_COLUMNS as text and ``fetched_at`` (timestamp with time zone).

    Refused are: a time that is no number, no whole minute or out of range; prices, volume or trades that
    are no finite number or are negative; high below low; open or close outside them. Of two sane rows for
    one minute the later one is kept. The text of a rejected row is one line, cut after 200 characters.
    """
    connection.execute(sql.load(_SQL / "problem.sql"))
    connection.execute(sql.load(_SQL / "validate.sql"))
    kept = connection.sql(
        "SELECT * EXCLUDE (problem, whole, row) FROM validated WHERE problem IS NULL"
    ).to_arrow_table()
    connection.execute("SELECT metric, epoch(minute), problem, row FROM validated WHERE problem IS NOT NULL")
    rejected = connection.fetchall()
    return Validated(
        kept=kept.cast(SCHEMA),
        rejected=[
            RejectedRow(
                metric, None if unix is None else datetime.fromtimestamp(unix, UTC), problem, plain(row, len(row))
            )
            for metric, unix, problem, row in rejected
        ],
    )


def validate_rows(rows: Iterable[Sequence[object]], fetched_at: datetime) -> Validated:
    """Judge candles as exchanges answered them: rows in the order of RAW_COLUMNS, any number of metrics."""
    connection = sql.connect()
    # Through DuckDB and not pyarrow.array(), which imports pandas: 0.5 s of CPU in each tick.
    connection.execute(
        sql.load(_SQL / "raw.sql"),
        {
            "rows": [as_texts(row) for row in rows],
            "fetched_at": fetched_at,
        },
    )
    return validate(connection)


def as_texts(row: Iterable[object]) -> list[str | None]:
    """Return values as text that can be judged and stored: a surrogate, which is no UTF-8, is shown as ``?``."""
    return [None if value is None else str(value).encode("utf-8", "replace").decode("utf-8") for value in row]


def closed(validated: Validated, now: datetime, exchange: str | None = None) -> Validated:
    """Refuse the rows of minutes that are not closed at ``now`` (UTC), so that nothing is filled up to them.

    Args:
        validated: the rows.
        now: the time, UTC.
        exchange: by whose clock it is that time: rows of others are kept; None: by this machine's, for all rows.
    """
    connection = sql.connect()
    connection.register("candles", validated.kept)
    bound = {"newest": newest_closed_minute(now), "begins": f"{exchange}:" if exchange else ""}
    connection.execute(sql.load(_SQL / "not_closed.sql"), bound)
    by_whom = f"by {exchange}'s clock it is" if exchange else "it is"
    problem = f"not closed: {by_whom} {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    rejected = [
        RejectedRow(metric, datetime.fromtimestamp(unix, UTC), problem, row)
        for metric, unix, row in connection.fetchall()
    ]
    if not rejected:
        return Validated(validated.kept, validated.rejected, validated.derived)
    kept = connection.sql("FROM candles WHERE NOT (minute > $newest AND starts_with(metric, $begins))", params=bound)
    return Validated(kept.to_arrow_table().cast(SCHEMA), validated.rejected + rejected, validated.derived)
