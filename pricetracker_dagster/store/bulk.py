"""Years of minutes of one metric into the table of prices, as an import brings them.

A day of which nothing is stored becomes a file of its own, with no merge; one that is stored alike is left alone; the
rest is upserted as anything else is. Until commit() nothing is stored. Memory does not grow with what is brought.
"""

import hashlib
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import newest_closed_minute, utc
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.candles.validate import RejectedRow, Validated, closed
from pricetracker_dagster.store.clock import ahead_for_certain
from pricetracker_dagster.store.data_files import DataFile, commit, discard, file_schema, marked_with, write_file
from pricetracker_dagster.store.doubts import Doubts
from pricetracker_dagster.store.live_files import PARTITION, files_of, files_of_days, sizes
from pricetracker_dagster.store.prices import PriceTable, UpsertedCandles
from pricetracker_dagster.store.set_aside import Mask, SetAside, flags
from pricetracker_dagster.store.writing import check_space

_LEVEL = 1
"""Of compression: writing is what an import waits for. Compaction takes more time."""

_THREADS = 2

_DAY = 86_400


class BulkLoad:
    """Candles of one metric that are stored together. A context: what was not committed is gone when it ends.

    Safe beside other writers: where one of them stores a minute of the metric meanwhile, its day is upserted.
    """

    def __init__(self, prices: PriceTable, metric: str, *, now: datetime | None = None) -> None:
        """Name the table, the metric and the time by which a minute has to be closed, UTC (None: by this clock)."""
        self._prices = prices
        self._metric = metric
        self._now = now or datetime.now(UTC)
        self._state = prices.location.folder.state
        self._rejected: list[RejectedRow] = []
        self._rest: tuple[pa.Table, Mask] | None = None
        self._last_stated: pa.Table | None = None
        self._written: list[Future[DataFile]] = []
        self._files: dict[date, DataFile] = {}
        self._filled: dict[date, np.ndarray[Any, np.dtype[np.uint8]]] = {}
        self._later = SetAside()
        self._table: DeltaTable | None = None
        self._stored: list[str] = []
        self._committing = False
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        """Hold off repairs until it ends."""
        with ExitStack() as opened:
            opened.enter_context(self._prices.write())
            opened.enter_context(self._later)
            self._pool = opened.enter_context(ThreadPoolExecutor(_THREADS))
            self._exit = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Delete what was not committed."""
        written, self._written = self._written, []
        for future in written:
            future.cancel()
        self._exit.__exit__(kind, error, at)
        done = [future.result() for future in written if not future.cancelled() and future.exception() is None]
        paths = {file.path for file in (*done, *self._files.values())}
        if paths and self._committing:  # it may have failed after it was written into the log
            paths -= sizes(self._prices.load()).keys()
        discard(self._prices, paths)

    def add(self, candles: pa.Table, filled: Mask) -> None:
        """Take the next candles: SCHEMA, in the order of their minutes, and which of them no source has stated."""
        candles, filled = self._closed(candles, filled)
        if self._rest is not None:
            candles = pa.concat_tables([self._rest[0], candles])
            filled = np.concatenate([self._rest[1], filled])
        if not candles.num_rows:
            return
        days = _days(candles)
        whole = int(np.searchsorted(days, days[-1]))
        self._rest = candles.slice(whole), filled[whole:]
        if whole:
            self._store(candles.slice(0, whole), filled[:whole], days[:whole])

    def commit(self) -> UpsertedCandles:
        """Store all of it: the new days at once, then the others some 400,000 rows at a time by PriceTable.upsert().

        Raises:
            CommitFailedError: write conflicts persisted for 60 s.
        """
        if self._rest is not None and self._rest[0].num_rows:
            candles, filled = self._rest
            self._rest = None
            self._store(candles, filled, _days(candles))
        self._settle()
        self._committing = True
        version = self._append()
        inserted = sum(file.rows for file in self._files.values())
        self._files = {}
        updated, doubts = 0, []
        for candles, derived in self._later.chunks():
            done = self._prices.upsert(candles, derived=derived, now=self._now)
            inserted += done.inserted
            updated += done.updated
            version = max(version, done.version)
            self._rejected += done.rejected
            doubts += done.doubts
        return UpsertedCandles(inserted, updated, version, self._rejected, doubts)

    def _closed(self, candles: pa.Table, filled: Mask) -> tuple[pa.Table, Mask]:
        """Reject what is not closed by this machine's clock, or the exchange's where that is known to be right."""
        ahead = ahead_for_certain(self._state, self._now)
        by_all = newest_closed_minute(self._now - timedelta(seconds=max(ahead.values(), default=0.0)))
        if not candles.num_rows or _unix(candles, -1) <= by_all.timestamp():
            return candles, filled
        over = closed(Validated(candles, []), self._now)
        for exchange, seconds in ahead.items():
            over = closed(over, self._now - timedelta(seconds=seconds), exchange)
        self._rejected += over.rejected
        return over.kept, filled[: over.kept.num_rows]  # they are the last ones

    def _store(self, candles: pa.Table, filled: Mask, days: "np.ndarray[Any, Any]") -> None:
        """Bring whole days on their way."""
        self._settle()
        candles = candles.combine_chunks()
        check_space(self._prices.location, candles.nbytes)
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        states = self._compare(candles, filled, cuts)
        schema = None
        for begin, end in pairwise(cuts):
            day = _day(candles, begin)
            rows = candles.slice(begin, end - begin)
            differs = states.get(day)
            if differs is None and self._table is not None:
                schema = schema or file_schema(self._table)
                self._filled[day] = np.packbits(filled[begin:end])
                self._written.append(self._pool.submit(self._write, schema, day, rows, filled[begin:end]))
            elif differs is None or differs:
                self._later.put(self._before(candles, filled, begin), rows, filled[begin:end])
        stated = np.flatnonzero(~filled)
        if len(stated):
            self._last_stated = candles.slice(int(stated[-1]), 1)

    def _write(self, schema: pa.Schema, day: date, rows: pa.Table, filled: Mask) -> DataFile:
        return write_file(self._prices, schema, day, [rows], _LEVEL, _mark(rows, filled))

    def _before(self, candles: pa.Table, filled: Mask, begin: int) -> pa.Table | None:
        """Return the stated row before a day: what it is followed by takes its close."""
        stated = np.flatnonzero(~filled[:begin])
        return candles.slice(int(stated[-1]), 1) if len(stated) else self._last_stated

    def _settle(self) -> None:
        """Wait for the files that are being written."""
        while self._written:
            file = self._written[0].result()
            self._files[file.day] = file
            self._written.pop(0)

    def _compare(self, candles: pa.Table, filled: Mask, cuts: list[int]) -> dict[date, bool]:
        """Return of each day of which rows are stored whether it is to be upserted. Elsewhere none is appended."""
        if self._prices.location.local_path is None:
            return {}
        if self._table is None:
            self._table = self._prices.open_or_create()
            self._stored = self._files_in(self._table)
            self._by_day = _by_day(self._stored)
            self._doubted = {
                utc(unix).date() for metric, unix in Doubts(self._state).keys(self._now) if metric == self._metric
            }
        alike = self._alike(candles, filled, cuts)
        states = dict.fromkeys(alike, False)
        begin = next((cut for cut in cuts[:-1] if _day(candles, cut) not in alike), None)
        if begin is not None:
            states |= self._differing(candles.slice(begin), filled[begin:], alike)
        return states | dict.fromkeys(self._doubted, True)

    def _alike(self, candles: pa.Table, filled: Mask, cuts: list[int]) -> set[date]:
        """Return the days that are stored as the files that such an import has written, by the marks in their names.

        The first minute of the day after has to follow from them, too.
        """
        marked: dict[date, bool] = {}
        for begin, end in pairwise(cuts):
            files = self._by_day.get(day := _day(candles, begin), [])
            marked[day] = len(files) == 1 and marked_with(
                files[0], _mark(candles.slice(begin, end - begin), filled[begin:end])
            )
        after = {day: day + timedelta(days=1) for day, is_marked in marked.items() if is_marked}
        return {day for day, next_day in after.items() if marked.get(next_day) or next_day not in self._by_day}

    def _differing(self, candles: pa.Table, filled: Mask, alike: Collection[date]) -> dict[date, bool]:
        """Return of each day of which rows are stored, but those, whether it differs."""
        first, last = _unix(candles, 0), _unix(candles, -1) + 60
        files = files_of_days(self._stored, utc(first).date(), utc(last).date())
        files = [file for file in files if not any(f"/{PARTITION}={day}/" in file for day in alike)] if alike else files
        if not files:
            return {}
        marked = candles.append_column("filled", flags(filled))
        ends = {"first": first, "last": last, "close": candles.column("close").to_numpy()[-1].item()}
        found = self._prices.ask("compared.sql", files, sql.connect(candles=marked), metric=self._metric, **ends)
        return {day: differs > 0 for day, _, differs in found.fetchall()}

    def _files_in(self, table: DeltaTable) -> list[str]:
        """Return the files that may hold rows of the metric."""
        return files_of(table, [("metric", ">=", self._metric), ("metric", "<=", self._metric)])

    def _append(self) -> int:
        """Commit the files of new days; those of which somebody else has stored a minute meanwhile are upserted."""
        while self._files and self._table is not None:
            version = commit(self._prices, self._table, self._files.values(), {}, self._still_new, changes=True)
            if version is not None:
                return version
        return -1

    def _still_new(self, table: DeltaTable) -> bool:
        """Say of the table as it is now whether nothing is stored of the new days; those of which something is go."""
        files = self._files_in(table)
        new = set(files).difference(self._stored)
        new = set(files_of_days(new, min(self._files), max(self._files) + timedelta(days=1)))
        self._table, self._stored = table, files
        if not new:
            return True
        first = min(file.first for file in self._files.values())
        last = max(file.last for file in self._files.values()) + 60
        touched = self._prices.ask("touched.sql", sorted(new), metric=self._metric, first=first, last=last).fetchall()
        taken = self._files.keys() & {day for (day,) in touched}
        for day in sorted(taken):
            file = self._files.pop(day)
            rows = pq.read_table(self._prices.path / file.path, partitioning=None).cast(SCHEMA)
            self._later.put(None, rows, np.unpackbits(self._filled[day], count=file.rows).astype(bool))
            discard(self._prices, [file.path])
        return not taken


def _days(candles: pa.Table) -> "np.ndarray[Any, Any]":
    """Return the day of each row, counted from 1970."""
    days: np.ndarray[Any, Any] = candles.column("minute").cast(pa.int64()).to_numpy() // (_DAY * 1_000_000)
    return days


def _unix(candles: pa.Table, row: int) -> int:
    return int(candles.column("minute").cast(pa.int64()).to_numpy()[row]) // 1_000_000


def _day(candles: pa.Table, row: int) -> date:
    return utc(candles.column("minute").slice(row, 1).cast(pa.int64()).to_numpy()[0].item() // 1_000_000).date()


def _by_day(files: Iterable[str]) -> dict[date, list[str]]:
    """Return files by the UTC day in their paths."""
    days: dict[date, list[str]] = {}
    for file in files:
        days.setdefault(date.fromisoformat(file.rpartition(f"/{PARTITION}=")[2][:10]), []).append(file)
    return days


def _mark(rows: pa.Table, filled: Mask) -> str:
    """Return a digest of what rows say, but for when they were obtained, and of which of them were filled in."""
    digest = hashlib.blake2b(str(rows.column("metric")[0].as_py()).encode(), digest_size=16)
    for name in rows.column_names:
        if name not in ("metric", "fetched_at"):
            column = rows.column(name)
            cells = (column.cast(pa.int64()) if name == "minute" else column).to_numpy()
            digest.update(np.ascontiguousarray(cells).data)
    digest.update(np.packbits(filled).data)
    return digest.hexdigest()
