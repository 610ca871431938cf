"""The small Delta tables beside the prices: alerts, what was sent, incidents, why minutes are missing, the desk.

Here belongs how their rows are written and read, as plain dictionaries. Their columns are in schema.py; what they mean,
and when a row is written, is the business of alerts/ and collect/.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.files.data_folder import DataFolder, TableName
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.store import schema
from pricetracker_dagster.store.delta import Delta, Upserted
from pricetracker_dagster.store.live_files import files_of, rows_by_name
from pricetracker_dagster.store.writing import literal

NOT_RUN = "not run"
"""The cause of a missed minute that no tick has tried to store; the others are ExchangeError.cause and REJECTED."""

RUN_FAILED = "run failed"
"""The cause of a missed minute whose tick ran and failed before it could say why."""

REJECTED = "refused rows"

NOT_STORED = "not stored"
"""The exchange answered, and its rows could not be stored: a full disk, a damaged table."""

MISTAKE = "own mistake"
"""A mistake of our own code: the traceback is in the run's log."""

Row = dict[str, Any]
"""A row as plain Python: times are datetimes in UTC, what is absent is None."""

SAID = frozenset({"reason", "error", "headline", "text", "held_by", "ended_because", "note", "who", "ended_by"})
"""Columns of text that a person reads. The others hold names of ours, which are never masked."""


@dataclass(frozen=True)
class RecordTable(Delta):
    """A small Delta table of plain rows; by the column ``time`` they are read in order and old ones left unread."""

    time: str = "minute"

    def upsert(
        self, rows: Sequence[Mapping[str, Any]], *, replace: bool = True, oldest: datetime | None = None
    ) -> Upserted:
        """Insert rows by their key; those that are there already are replaced, or with ``replace=False`` left alone.

        Of rows of one key the last is taken: an earlier version stored incidents twice after the clock went back, and
        what is read as two rows must be writable as such. Texts are stored without secrets.

        Where a row is to replace one of an older ``time``, ``oldest`` is the oldest of these, UTC.

        Raises:
            CommitFailedError: write conflicts persisted for 60 s.
        """
        if not rows:
            return Upserted(0, 0, -1)
        oldest = min([row[self.time] for row in rows] + ([] if oldest is None else [oldest]))
        single = [_masked(row) for row in {tuple(row[name] for name in self.key): row for row in rows}.values()]
        return self.upsert_table(self.to_relation(sql.connect(), single).to_arrow_table(), oldest, replace=replace)

    def upsert_table(self, rows: pa.Table, oldest: datetime, *, replace: bool) -> Upserted:
        """Do the same with an Arrow table of this schema, none of whose ``time`` is before ``oldest`` (UTC)."""
        within = f"t.{self.time} >= {literal(int(oldest.timestamp()))}"
        others = [name for name in self.schema.names if name not in self.key]
        return self.merge(rows.cast(self.schema), within=within, compared=others if replace else [])

    def rows(self, since: datetime | None = None, where: str = "true", **values: Any) -> list[Row]:
        """Return the rows whose ``time`` is not before ``since`` (UTC) and of which ``where`` holds; oldest first.

        In the condition each value is a parameter, as in ``state = $state``.
        """
        with self.read():
            relation = self.relation(sql.connect(), since, where, **values)
            return relation.order(f'"{self.time}"').to_dicts()

    def rows_of(self, column: str, names: Iterable[str], since: datetime | None = None) -> list[Row]:
        """Return the rows in which a column has one of some names, as rows() does."""
        return self.rows(since, f'"{column}" IN (SELECT unnest($names::VARCHAR[]))', names=[*names])

    def may_have_after(self, limits: Mapping[str, datetime]) -> bool:
        """Say whether a column may lie after its limit, UTC, in any row: by the statistics in the log, so quickly."""
        table = self.open()
        return table is not None and any(files_of(table, [(name, ">", limit)]) for name, limit in limits.items())

    def remove_after(self, moment: datetime) -> int:
        """Remove the rows whose ``time`` is after a moment, UTC, a whole second; return how many there were.

        Raises:
            CommitFailedError: another process changed the table meanwhile.
        """
        table = self.open()
        if table is None or not files_of(table, [(self.time, ">", moment)]):
            return 0
        with self.write():
            return table.delete(f"{self.time} > {literal(int(moment.timestamp()))}")["num_deleted_rows"] or 0

    def relation(
        self,
        connection: duckdb.DuckDBPyConnection,
        since: datetime | None = None,
        where: str = "true",
        columns: Sequence[str] = (),
        **values: Any,
    ) -> duckdb.DuckDBPyRelation:
        """Return the same rows as a relation of a connection, in no order, with all columns where none are named."""
        table = self.open()
        files = [] if table is None else files_of(table, [] if since is None else [(self.time, ">=", since)])
        if since is not None:
            where, values = f'({where}) AND "{self.time}" >= $since', {**values, "since": since}
        sources = {
            "columns": ", ".join(f'"{name}"' for name in columns or self.schema.names),
            "rows": rows_by_name(files, schema.sql_types(self.schema)),
            "where": where,
        }
        return connection.sql(sql.filled("store/sql/record_rows.sql", sources), params=values or None)

    def to_relation(
        self, connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
    ) -> duckdb.DuckDBPyRelation:
        """Return rows of plain Python as a relation of a connection."""
        plain = [{name: row.get(name) for name in self.schema.names} for row in rows]
        # not pyarrow.Table.from_pylist() or connection.from_arrow(), which import pandas
        return connection.sql(
            f"SELECT unnest($rows::STRUCT({schema.columns_of(self.schema)})[], recursive := true)",
            params={"rows": plain},
        )


class Records:
    """The small tables of a data folder, each under its name; what a row is stands in schema.py."""

    def __init__(self, folder: DataFolder) -> None:
        """Name a data folder; it need not exist."""
        self._folder = folder
        self.alerts = self._of(schema.ALERTS)
        self.messages = self._of(schema.MESSAGES, time="recorded_at")
        self.deliveries = self._of(schema.DELIVERIES, key=("id", "event", "channel", "attempt"), time="attempted_at")
        self.incidents = self._of(schema.INCIDENTS, time="opened_at")
        self.causes = self._of(schema.CAUSES, key=("metric", "minute"))
        self.silences = self._of(schema.SILENCES, time="made_at")
        self.acknowledgements = self._of(schema.ACKNOWLEDGEMENTS, key=("fact", "made_at"), time="made_at")

    def _of(self, table: schema.Table, key: tuple[str, ...] = ("id",), time: str = "minute") -> RecordTable:
        location = self._folder.table(TableName(table.name))
        return RecordTable(location, table.columns, table.comment, key, time=time)

    def note_not_run(
        self, gaps: Mapping[str, Sequence[MinuteRange]], noted_at: datetime, reason: str = "no tick was run for them"
    ) -> Upserted:
        """Note in ``causes`` that no tick has stored these minutes in time, where nothing is noted of them yet."""
        flat = [{"metric": metric, **gap._asdict()} for metric, own in gaps.items() for gap in own]
        if not flat:
            return Upserted(0, 0, -1)
        oldest = min(gap["first"] for gap in flat)
        noted = sql.connect().sql(
            sql.load("store/sql/noted.sql"),
            params={"gaps": flat, "cause": NOT_RUN, "reason": masked(reason), "noted_at": noted_at},
        )
        return self.causes.upsert_table(noted.to_arrow_table(), oldest, replace=False)

    def __iter__(self) -> Iterator[RecordTable]:
        """Return them in their order."""
        return iter(getattr(self, table.name) for table in schema.STORED)


def _masked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row whose texts hold no secret: what others have said may name one, and the table is published."""
    return {name: masked(value) if name in SAID and isinstance(value, str) else value for name, value in row.items()}
