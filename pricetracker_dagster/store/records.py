"""The small Delta tables beside the prices: alerts, what was sent, incidents, why minutes are missing, the desk.

Here belongs what their rows look like and how they are written and read as plain dictionaries. What they mean, and
when a row is written, is the business of alerts/ and collect.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.candles.schema import TIMESTAMP
from pricetracker_dagster.files.data_folder import DataFolder, TableName
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.store.delta import Delta, Upserted, files_of, literal, patterns

NOT_RUN = "not run"
"""The cause of a missed minute that no tick has tried to store; the others are ExchangeError.cause and REJECTED."""

RUN_FAILED = "run failed"
"""The cause of a missed minute whose tick ran and failed before it could say why."""

REJECTED = "refused rows"

NOT_STORED = "not stored"
"""The exchange answered, and its rows could not be stored: a full disk, a damaged table."""

MISTAKE = "own mistake"
"""A mistake of our own code: the traceback is in the run's log."""

_CAUSES = (
    "not run, run failed, exchange error, exchange maintenance, pair unknown, refused rows, not stored or own mistake"
)

Row = dict[str, Any]
"""A row as plain Python: times are datetimes in UTC, what is absent is None."""

_SQL = Path(__file__).parent / "sql"
SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    TIMESTAMP: "TIMESTAMPTZ",
    pa.list_(pa.string()): "VARCHAR[]",
}


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"comment": comment}) for name, kind, comment in columns])


ALERTS = _schema(
    ("id", pa.string(), "rule, metric, measure and first minute as first recorded: the same fact keeps its id"),
    ("rule", pa.string(), "name of the rule that was broken"),
    ("metric", pa.string(), "EXCHANGE:BASEQUOTE"),
    ("measure", pa.string(), "price, volume, change_absolute or change_percentage"),
    ("minute", TIMESTAMP, "first minute above, UTC"),
    ("state", pa.string(), "pending (above, not yet for long enough), firing or resolved"),
    ("value", pa.float64(), "the measure in that first minute"),
    ("average", pa.float64(), "its average over the window before that minute; of magnitudes for changes"),
    ("ratio", pa.float64(), "|value| / average"),
    ("factor", pa.float64(), "the factor that was exceeded"),
    ("last_minute", TIMESTAMP, "newest minute above, UTC"),
    ("minutes", pa.int64(), "how many minutes were above"),
    ("peak", pa.float64(), "the value of the minute with the largest ratio"),
    ("peak_ratio", pa.float64(), "that ratio"),
    ("peak_minute", TIMESTAMP, "that minute, UTC"),
    ("fired_at", TIMESTAMP, "when it was recorded as firing, UTC; NULL: it never was"),
    ("resolved_at", TIMESTAMP, "when it was recorded as resolved, UTC"),
    ("ended_because", pa.string(), "how it was resolved: below again, no data since …, no longer judged, corrected"),
    ("sent", pa.bool_(), "whether messages are sent: not for a minute that was already old when it was judged"),
    ("held_by", pa.string(), "what keeps its messages back: a silence, an outage of its exchange; NULL: nothing"),
    ("transitions", pa.int64(), "how many of its transitions are recorded in messages; NULL: of an earlier version"),
)

MESSAGES = _schema(
    ("id", pa.string(), "of the transition: id of the alert or the incident, and the transition's number"),
    ("fact", pa.string(), "id of the alert or the incident"),
    ("subject", pa.string(), "alert, incident or summary"),
    (
        "event",
        pa.string(),
        "what happened, as in deliveries, e.g. firing; a second time firing 2",
    ),
    ("number", pa.int64(), "1 for the first transition of the fact"),
    ("recorded_at", TIMESTAMP, "when it was recorded, UTC"),
    ("channels", pa.list_(pa.string()), "to whom it is owed, as in deliveries"),
    ("headline", pa.string(), "what happened in a few words"),
    ("text", pa.string(), "the line that a person reads"),
    ("held_by", pa.string(), "what kept it back from everybody: a silence, an outage; NULL: nothing"),
)

DELIVERIES = _schema(
    ("id", pa.string(), "of the alert or the incident"),
    ("subject", pa.string(), "alert or incident"),
    ("event", pa.string(), "firing, opened, reminder N or resolved; resolved 2 where it was reopened and ended again"),
    ("channel", pa.string(), "kind of the channel and a digest of its URL, which holds secrets"),
    ("attempt", pa.int64(), "1 for the first attempt"),
    ("attempted_at", TIMESTAMP, "when the attempt ended, UTC"),
    ("delivered", pa.bool_(), "whether the channel took it"),
    ("error", pa.string(), "why it did not"),
    ("retry_at", TIMESTAMP, "before this moment the channel is not tried again, UTC"),
)

INCIDENTS = _schema(
    ("id", pa.string(), "cause and first minute as first recorded: the same outage keeps its id"),
    ("state", pa.string(), "open or resolved"),
    (
        "cause",
        pa.string(),
        "as in causes; of no missed minute: standstill, clock, not published, settings or sensor failure",
    ),
    ("reason", pa.string(), "what was said of it, in plain words"),
    ("first", TIMESTAMP, "oldest missed minute, UTC"),
    ("last", TIMESTAMP, "newest missed minute, UTC"),
    ("count", pa.int64(), "how many minutes are or were missed, of whichever metric"),
    ("metrics", pa.list_(pa.string()), "whose minutes"),
    ("missing", pa.int64(), "how many minutes, added over the metrics, are still missing"),
    ("opened_at", TIMESTAMP, "when it was recorded, UTC"),
    ("resolved_at", TIMESTAMP, "when it was recorded as over, UTC"),
    ("causes", pa.string(), "its causes with how many minutes each was noted of, as JSON"),
    ("out", pa.list_(pa.string()), "whose minutes are missed now"),
    ("told_out", pa.list_(pa.string()), "of whom that was told and not yet that they are back"),
    ("grown_at", TIMESTAMP, "newest minute in which a metric joined, UTC"),
    ("flaps", pa.bool_(), "whether its minutes are missed, come and are missed again"),
    ("exchange", pa.string(), "the exchange that is out as a whole; NULL: none is"),
    ("held_by", pa.string(), "what keeps its messages back: a silence; NULL: nothing"),
    ("transitions", pa.int64(), "how many of its transitions are recorded in messages; NULL: of an earlier version"),
)

CAUSES = _schema(
    ("metric", pa.string(), "EXCHANGE:BASEQUOTE"),
    ("minute", TIMESTAMP, "the missed minute, UTC"),
    ("cause", pa.string(), _CAUSES),
    ("reason", pa.string(), "what was said of it, in plain words"),
    ("noted_at", TIMESTAMP, "when it was noted, UTC"),
)

SILENCES = _schema(
    ("id", pa.string(), "s1 for the first silence of this folder"),
    ("metrics", pa.string(), "whose messages are kept back: a metric, or a pattern of metrics"),
    ("rule", pa.string(), "of which rule's alerts; NULL: of every alert and of incidents"),
    ("reason", pa.string(), "why, as it was given"),
    ("who", pa.string(), "the name that was given, else of the user of the machine"),
    ("made_at", TIMESTAMP, "since when, UTC"),
    ("until", TIMESTAMP, "until when unless it is ended before, UTC"),
    ("ended_at", TIMESTAMP, "when somebody ended it, UTC; NULL: nobody did"),
    ("ended_by", pa.string(), "the name of who ended it"),
)

ACKNOWLEDGEMENTS = _schema(
    ("fact", pa.string(), "id of the alert or the incident"),
    ("subject", pa.string(), "alert or incident"),
    ("who", pa.string(), "the name that was given, else of the user of the machine"),
    ("made_at", TIMESTAMP, "when, UTC"),
    ("note", pa.string(), "what was said with it"),
)


SAID = frozenset({"reason", "error", "headline", "text", "held_by", "ended_because", "note", "who", "ended_by"})
"""Columns of text that a person reads. The others hold names of ours, which are never masked."""


@dataclass(frozen=True)
class RecordTable(Delta):
    """A small Delta table of plain rows.

    Attributes:
        key: the columns that tell a row from the others.
        time: the column by which rows are read in order and old ones are left unread.
    """

    key: tuple[str, ...] = ("id",)
    time: str = "minute"

    def put(
        self, rows: Sequence[Mapping[str, Any]], *, replace: bool = True, oldest: datetime | None = None
    ) -> Upserted:
        """Insert rows by their key; those that are there already are replaced, or with ``replace=False`` left alone.

        Of rows of one key the last is taken: an earlier version stored incidents twice after the clock went back, and
        what is read as two rows must be writable as such. What was said is stored without secrets.

        Args:
            rows: what to insert.
            replace: whether those that are there are replaced.
            oldest: the oldest ``time``, UTC, of a row that is to be replaced by one whose own is newer.

        Raises:
            CommitFailedError: others were faster for a whole minute.
        """
        if not rows:
            return Upserted(0, 0, -1)
        oldest = min([row[self.time] for row in rows] + ([] if oldest is None else [oldest]))
        single = [_masked(row) for row in {tuple(row[name] for name in self.key): row for row in rows}.values()]
        return self.put_table(self.made(sql.connect(), single).to_arrow_table(), oldest, replace=replace)

    def put_table(self, rows: pa.Table, oldest: datetime, *, replace: bool) -> Upserted:
        """Do the same with an Arrow table of this schema, none of whose ``time`` is before ``oldest`` (UTC)."""
        same_key = " AND ".join(f"t.{name} = s.{name}" for name in self.key)
        bound = f"t.{self.time} >= {literal(int(oldest.timestamp()))}"  # files of older rows need not be read
        others = [name for name in self.schema.names if name not in self.key]
        differs = " OR ".join(f"(t.{name} IS DISTINCT FROM s.{name})" for name in others)
        return self.merge(
            rows.cast(self.schema),
            same_key=f"{same_key} AND {bound}",
            differs=differs if replace else None,
        )

    def rows(self, since: datetime | None = None, where: duckdb.Expression | None = None) -> list[Row]:
        """Return the rows whose ``time`` is not before ``since`` (UTC) and of which ``where`` holds; oldest first."""
        with self.read():
            relation = self.relation(sql.connect(), since)
            if where is not None:
                relation = relation.filter(where)
            answer = relation.order(f'"{self.time}"')
            return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]

    def may_have_after(self, limits: Mapping[str, datetime]) -> bool:
        """Say whether a column may lie after its limit, UTC, in any row: by the statistics in the log, which are quick.

        Raises:
            StoreError: the table is damaged.
        """
        table = self.open()
        return table is not None and any(files_of(table, [(name, ">", limit)]) for name, limit in limits.items())

    def remove_after(self, moment: datetime) -> int:
        """Remove the rows whose ``time`` is after a moment, UTC, a whole second; return how many there were.

        Raises:
            CommitFailedError: others were faster.
            StoreError: the table is damaged, or cannot be written.
        """
        table = self.open()
        if table is None or not files_of(table, [(self.time, ">", moment)]):
            return 0
        with self.write():
            return table.delete(f"{self.time} > {literal(int(moment.timestamp()))}")["num_deleted_rows"] or 0

    def relation(self, connection: duckdb.DuckDBPyConnection, since: datetime | None = None) -> duckdb.DuckDBPyRelation:
        """Return the same rows as a relation of a connection, in no order."""
        table = self.open()
        files = [] if table is None else files_of(table, [] if since is None else [(self.time, ">=", since)])
        relation = self._read(connection, files) if files else self.made(connection, [])
        if since is None:
            return relation
        return relation.filter(duckdb.ColumnExpression(self.time) >= duckdb.ConstantExpression(since))

    def _read(self, connection: duckdb.DuckDBPyConnection, files: list[str]) -> duckdb.DuckDBPyRelation:
        """Return what files hold; a column that they do not know, of an earlier version, is NULL."""
        relation = connection.read_parquet(patterns(files), hive_partitioning=False, union_by_name=True)
        return relation.select(
            *(
                duckdb.ColumnExpression(name)
                if name in relation.columns
                else duckdb.ConstantExpression(None).cast(kind).alias(name)
                for name, kind in sql_types(self.schema).items()
            )
        )

    def made(self, connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> duckdb.DuckDBPyRelation:
        """Return rows of plain Python as a relation of a connection."""
        struct = ", ".join(f'"{name}" {kind}' for name, kind in sql_types(self.schema).items())
        plain = [{name: row.get(name) for name in self.schema.names} for row in rows]
        # not pyarrow.Table.from_pylist() or connection.from_arrow(), which import pandas
        return connection.sql(f"SELECT unnest($rows::STRUCT({struct})[], recursive := true)", params={"rows": plain})


class Records:
    """The small tables of a data folder.

    Attributes:
        alerts: one row a fact, whose state changes.
        messages: one row a transition of an alert or an incident, as it is told.
        deliveries: one row an attempt to send one of these.
        incidents: one row a time without data.
        causes: one row a metric and missed minute, as the tick that failed to store it said.
        silences: one row a silence, in force or over.
        acknowledgements: one row an acknowledgement of an alert or an incident.
    """

    def __init__(self, folder: DataFolder) -> None:
        """Name a data folder; it need not exist."""
        self.alerts = RecordTable(folder.table(TableName.ALERTS), ALERTS, "Values that exceeded a rule")
        self.messages = RecordTable(folder.table(TableName.MESSAGES), MESSAGES, "What is told", time="recorded_at")
        self.deliveries = RecordTable(
            folder.table(TableName.DELIVERIES),
            DELIVERIES,
            "Attempts to send a message",
            key=("id", "event", "channel", "attempt"),
            time="attempted_at",
        )
        self.incidents = RecordTable(
            folder.table(TableName.INCIDENTS), INCIDENTS, "Times without data", time="opened_at"
        )
        self.causes = RecordTable(
            folder.table(TableName.CAUSES), CAUSES, "Why minutes are missing", key=("metric", "minute")
        )
        self.silences = RecordTable(
            folder.table(TableName.SILENCES), SILENCES, "What is not sent for a while", time="made_at"
        )
        self.acknowledgements = RecordTable(
            folder.table(TableName.ACKNOWLEDGEMENTS),
            ACKNOWLEDGEMENTS,
            "Alerts and incidents that somebody looks after",
            key=("fact", "made_at"),
            time="made_at",
        )

    def note_not_run(
        self, gaps: Mapping[str, Sequence[MinuteRange]], noted_at: datetime, reason: str = "no tick was run for them"
    ) -> Upserted:
        """Note in ``causes`` that no tick has stored these minutes in time, where nothing is noted of them yet."""
        flat = [{"metric": metric, "first": gap.first, "last": gap.last} for metric, own in gaps.items() for gap in own]
        if not flat:
            return Upserted(0, 0, -1)
        oldest = min(gap.first for own in gaps.values() for gap in own)
        noted = sql.connect().sql(
            sql.load(_SQL / "noted.sql"),
            params={"gaps": flat, "cause": NOT_RUN, "reason": masked(reason), "noted_at": noted_at},
        )
        return self.causes.put_table(noted.to_arrow_table(), oldest, replace=False)

    def __iter__(self) -> Iterator[RecordTable]:
        """Return them in their order."""
        return iter(
            (
                self.alerts,
                self.messages,
                self.deliveries,
                self.incidents,
                self.causes,
                self.silences,
                self.acknowledgements,
            )
        )


def _masked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row whose texts hold no secret: what others have said may name one, and the table is published."""
    return {name: masked(value) if name in SAID and isinstance(value, str) else value for name, value in row.items()}


def sql_types(schema: pa.Schema) -> dict[str, str]:
    """Return each column's type in SQL."""
    return {name: SQL_TYPES[kind] for name, kind in zip(schema.names, schema.types, strict=True)}
