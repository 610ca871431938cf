"""The Delta table ``minute_prices``: plain Parquet partitioned by UTC day, and a log that makes each change atomic."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, newest_closed_minute, utc
from pricetracker_dagster.candles.schema import NO_CANDLES, SCHEMA
from pricetracker_dagster.candles.validate import RejectedRow, Validated, closed, define_candle_problem
from pricetracker_dagster.files.data_folder import DataFolder, TableName
from pricetracker_dagster.store.clock import ahead_for_certain
from pricetracker_dagster.store.delta import Delta, Upserted
from pricetracker_dagster.store.doubts import Doubt, Doubts, Key, Waiting
from pricetracker_dagster.store.live_files import PARTITION, files_of_days, files_of_minutes, rows_a_day
from pricetracker_dagster.store.stored_days import StoredDay, stored_days
from pricetracker_dagster.store.upserting import undoubted, with_carried
from pricetracker_dagster.store.writing import literal

_COLUMNS_OF_DELTA = pa.schema([*SCHEMA, pa.field(PARTITION, pa.date32(), nullable=False)])

CHUNK = 400_000
"""How many rows are merged at once, roughly: memory stays bounded whatever is imported."""

_LAST = datetime(2100, 1, 1, tzinfo=UTC)
"""Nothing later is stored."""

_OF_DAYS = """
SELECT *, minute::DATE AS date FROM candles WHERE minute::DATE BETWEEN $first AND $last ORDER BY metric, minute
"""

_OTHER_TRADES = "(t.trades IS DISTINCT FROM s.trades) AND (s.trades IS NOT NULL OR t.volume = 0)"
"""A known number of trades stays where an equal row does not tell it; a 0 of a minute without volume may be ours."""


@dataclass(frozen=True)
class UpsertedCandles(Upserted):
    """What an upsert of candles changed, and what it did not store.

    Attributes:
        rejected: rows of minutes that are not closed; they are not stored.
        doubts: rows that take trades away from a stored one, and that no second answer has confirmed; not stored.
    """

    rejected: list[RejectedRow] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)

    @property
    def doubted(self) -> int:
        """How many rows are doubted."""
        return len(self.doubts)


class PriceTable(Delta):
    """The candles of a data folder. Any number of processes may use one at once; the first write makes the table."""

    def __init__(self, folder: DataFolder) -> None:
        """Name a data folder; it need not exist."""
        super().__init__(
            folder.table(TableName.MINUTE_PRICES),
            _COLUMNS_OF_DELTA,
            "Minute candles; (metric, minute) is the key",
            key=("metric", "minute"),
            partition_by=(PARTITION,),
        )

    def upsert(
        self, candles: pa.Table, *, derived: pa.Table | None = None, now: datetime | None = None
    ) -> UpsertedCandles:
        """Insert the candles that are not stored and correct those that differ, keyed by (metric, minute).

        Every row passes here, whatever brings it. A minute that is not closed is not stored: it is returned as
        rejected; so is one that is not closed by its exchange's clock, where this machine's is known to be ahead of it.
        A derived row (a minute without trades that nobody stated) is inserted where nothing is, and never replaces a
        stored one. Where a stated row is new or changes, the stored minutes without trades that follow it without a gap
        take its close. A row that takes trades away from a stored one is stored once a second answer, at least a minute
        later, says the same; until then it is returned as a doubt.

        Atomic for each some 400,000 rows, idempotent, safe beside other processes. A row that differs in ``fetched_at``
        alone is left as it is.

        Args:
            candles: candles.SCHEMA, no two rows of one metric and minute.
            derived: which of them were filled in, by their columns metric and minute; others in it are ignored.
            now: the time by which a minute has to be closed, UTC; None: this machine's clock.

        Raises:
            ValueError: another schema, or two rows for one key.
            CommitFailedError: write conflicts persisted for 60 s.
        """
        if candles.schema != SCHEMA:
            raise ValueError(f"these are no candles: {candles.schema.names} is not {SCHEMA.names}, or types differ")
        connection = sql.connect(candles=candles)
        twice = connection.execute("SELECT metric, minute FROM candles GROUP BY ALL HAVING count(*) > 1").fetchone()
        if twice:
            raise ValueError(f"two candles for {twice[0]} {twice[1]:%Y-%m-%d %H:%M}")
        now = now or datetime.now(UTC)
        over = closed(Validated(candles, []), now)
        for exchange, seconds in ahead_for_certain(self.location.folder.state, now).items():
            over = closed(over, now - timedelta(seconds=seconds), exchange)
        connection = sql.connect(candles=over.kept, derived=NO_CANDLES if derived is None else derived)
        stated = connection.sql("FROM candles ANTI JOIN derived USING (metric, minute)").to_arrow_table()
        filled = connection.sql("FROM candles SEMI JOIN derived USING (metric, minute)").to_arrow_table()
        doubts: list[Doubt] = []
        of_stated = self._upsert(stated, replaces=True, now=now, doubts=doubts)
        of_filled = self._upsert(filled, replaces=False, now=now, doubts=doubts)
        return UpsertedCandles(
            of_stated.inserted + of_filled.inserted,
            of_stated.updated,
            max(of_stated.version, of_filled.version),
            over.rejected,
            doubts,
        )

    def waiting(self, now: datetime) -> Waiting:
        """Return how many answers that take trades away wait for a second one, of which metrics, since when."""
        return self._doubts.waiting(now)

    def doubts(self, now: datetime | None = None) -> list[Doubt]:
        """Return the answers that take trades away and wait for a second one, oldest first."""
        return sorted(self._doubts.kept(now or datetime.now(UTC)).values(), key=lambda doubt: doubt.first_seen)

    @property
    def _doubts(self) -> Doubts:
        return Doubts(self.location.folder.state)

    def _upsert(self, candles: pa.Table, *, replaces: bool, now: datetime, doubts: list[Doubt]) -> Upserted:
        """Merge rows into the table in chunks of whole days; those that are doubted are added to ``doubts``."""
        connection = sql.connect(candles=candles)
        inserted, updated, version = 0, 0, -1
        parts = connection.execute(sql.load("store/sql/chunks.sql"), {"rows": CHUNK}).fetchall()
        for first_day, last_day, first, last in parts:
            chunk = connection.sql(_OF_DAYS, params={"first": first_day, "last": last_day}).to_arrow_table()
            settled: set[Key] = set()
            newest = last
            table = self.open()  # once for all: it reads the log since the last checkpoint
            if replaces and table is not None:
                chunk, held, settled = undoubted(self, table, self._doubts, chunk, first, last, now)
                doubts += held
                chunk, newest = with_carried(self, table, chunk, first, last)
            changed = self._merge(table, chunk.cast(_COLUMNS_OF_DELTA), first, newest, replaces=replaces)
            self._doubts.forget(settled, now)
            inserted += changed.inserted
            updated += changed.updated
            version = changed.version
        return Upserted(inserted, updated, version)

    def _merge(self, table: DeltaTable | None, chunk: pa.Table, first: int, last: int, *, replaces: bool) -> Upserted:
        # Literal bounds let delta-rs skip files by their statistics: cost stays flat as history grows.
        # They are dates and numbers of our own making, never a user's text.
        within = (
            f"t.{PARTITION} >= DATE '{utc(first):%Y-%m-%d}' AND t.{PARTITION} <= DATE '{utc(last):%Y-%m-%d}' "
            f"AND t.minute >= {literal(first)} AND t.minute <= {literal(last)}"
        )
        compared = [name for name in SCHEMA.names if name not in {*self.key, "trades", "fetched_at"}]
        if not replaces:
            return self.merge(chunk, within=within, opened=table)
        return self.merge(chunk, within=within, compared=compared, or_where=_OTHER_TRADES, opened=table)

    def files(self, first: datetime | None = None, last: datetime | None = None) -> list[str]:
        """Return the live Parquet files of the UTC days from ``first`` to ``last``, absolute paths."""
        table = self.open()
        return [] if table is None else files_of_minutes(table, first, last)

    def gaps(self, metrics: Sequence[str], first: datetime, last: datetime) -> dict[str, list[MinuteRange]]:
        """Return the minutes from ``first`` to ``last`` (UTC) without a row, of each metric that lacks any.

        Which of them are missing is decided in coverage.py.
        """
        return self.newest_and_gaps(metrics, first, last)[1]

    def newest_and_gaps(
        self, metrics: Sequence[str], first: datetime, last: datetime, *, keep: bool = False
    ) -> tuple[dict[str, datetime], dict[str, list[MinuteRange]]]:
        """Return the same as newest() and as gaps() do, at the cost of one: rows are read once, and only counted.

        With ``keep`` not even that, the next time, of days that are over; it writes a small file (stored_days.py).
        """
        if first > last or not metrics:
            return {}, {}
        files = self.files(first, last)
        if not files:
            return {}, {metric: [MinuteRange(first, last)] for metric in metrics}
        newest: dict[str, int] = {}
        runs: dict[str, list[tuple[int, int]]] = {metric: [] for metric in metrics}
        holed = []
        for day in stored_days(self, files, runs.keys(), first, last, keep=keep):
            newest[day.metric] = max(day.last, newest.get(day.metric, 0))
            if day.is_holed:
                holed.append(day)
            else:
                runs[day.metric].append((day.first, day.last))
        for metric, begin, end in self._runs(holed, files):
            runs[metric].append((begin, end))
        gaps = {metric: _between(sorted(of_metric), first, last) for metric, of_metric in sorted(runs.items())}
        return (
            {metric: utc(unix) for metric, unix in newest.items()},
            {metric: of_metric for metric, of_metric in gaps.items() if of_metric},
        )

    def _runs(self, holed: Sequence[StoredDay], files: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return the runs of minutes without a hole of some days, by their rows: mostly there are no such days."""
        if not holed:
            return []
        first, last = (utc(unix).date() for unix in (min(day.first for day in holed), max(day.last for day in holed)))
        metrics, begins, ends, _ = (list(column) for column in zip(*holed, strict=True))
        of_days = files_of_days(files, first, last)
        return self.ask("runs.sql", of_days, metrics=metrics, begins=begins, ends=ends).fetchall()

    def newest(self, metrics: Sequence[str], since: datetime, until: datetime = _LAST) -> dict[str, datetime]:
        """Return the newest stored minute from ``since`` to ``until``, of each metric that has one there. UTC."""
        rows = self._in_range("newest_of.sql", since, until, metrics=[*metrics])
        return {metric: utc(unix) for metric, unix in rows}

    def stored_soon(
        self, metrics: Sequence[str], first: datetime, last: datetime, within: timedelta
    ) -> dict[str, list[datetime]]:
        """Return the minutes from ``first`` to ``last`` that were stored so soon after they began. UTC, in order."""
        rows = self._in_range("stored_soon.sql", first, last, metrics=[*metrics], seconds=within.total_seconds())
        found: dict[str, list[datetime]] = {}
        for metric, unix in rows:
            found.setdefault(metric, []).append(utc(unix))
        return found

    def candles(self, metrics: Sequence[str], first: datetime, last: datetime) -> pa.Table:
        """Return the stored candles of minutes ``first`` to ``last``: SCHEMA, ordered by metric and minute."""
        files = self.files(first, last)
        if not files:
            return NO_CANDLES
        found = self.ask("candles.sql", files, first=first, last=last, metrics=[*metrics])
        return found.to_arrow_table().cast(SCHEMA)

    def invalid(self, first: datetime, last: datetime) -> list[RejectedRow]:
        """Return the stored rows of minutes ``first`` to ``last`` that candles.sql would reject today."""
        connection = sql.connect()
        define_candle_problem(connection)
        rows = self._in_range("invalid.sql", first, last, connection)
        return [RejectedRow(metric, utc(unix), problem, row) for metric, unix, problem, row in rows]

    def future_rows(self, now: datetime) -> list[RejectedRow]:
        """Return the stored rows of minutes that are not closed at ``now`` (UTC): an earlier version let them in."""
        rows = self._in_range("future_rows.sql", newest_closed_minute(now) + MINUTE, _LAST)
        return [RejectedRow(metric, utc(unix), "the minute is not closed", row) for metric, unix, row in rows]

    def rows(self) -> int:
        """Return how many rows are stored in all, from the Delta log's statistics."""
        return sum(count for _, count in self._rows_a_day())

    def day_rows(self, day: date) -> int:
        """Return how many rows a UTC day's partition holds, from the Delta log's statistics."""
        return sum(count for of, count in self._rows_a_day() if of == day)

    def _rows_a_day(self) -> list[tuple[date, int]]:
        table = self.open()
        return [] if table is None else rows_a_day(table)

    def _in_range(
        self,
        statement: str,
        first: datetime,
        last: datetime,
        connection: duckdb.DuckDBPyConnection | None = None,
        **values: Any,
    ) -> list[tuple[Any, ...]]:
        """Answer a statement of sql/ over a range of minutes; no rows where nothing is stored."""
        files = self.files(first, last)
        return self.ask(statement, files, connection, first=first, last=last, **values).fetchall() if files else []


def _between(runs: Sequence[tuple[int, int]], first: datetime, last: datetime) -> list[MinuteRange]:
    """Return the minutes from ``first`` to ``last`` that are in none of some runs, which are in order."""
    gaps = []
    begin = int(first.timestamp())
    for run in (*runs, (int(last.timestamp()) + 60, 0)):
        if run[0] > begin:
            gaps.append(MinuteRange(utc(begin), utc(run[0] - 60)))
        begin = run[1] + 60
    return gaps
