"""Years of minutes of one metric into the table of prices, as an import brings them.

A day of which nothing is stored becomes a file of its own, with no merge; one that is stored alike is left alone; the
rest is upserted as anything else is. Until commit() nothing is stored. Memory does not grow with what is brought.
"""

from collections import deque
from collections.abc import Collection, Mapping
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
from pricetracker_dagster.store.data_files import (
    DataFile,
    commit,
    discard,
    file_schema,
    mark_of,
    marked_with,
    write_file,
)
from pricetracker_dagster.store.doubts import Doubts
from pricetracker_dagster.store.live_files import by_day, files_of, files_of_days, sizes
from pricetracker_dagster.store.prices import PriceTable, UpsertedCandles
from pricetracker_dagster.store.set_aside import Mask, SetAside, flags
from pricetracker_dagster.store.writing import check_space

_LEVEL = 1
"""Of compression: writing is what an import waits for. Compaction takes more time."""

_THREADS = 2

_AT_ONCE = 16
"""Days that one thread writes in turn: to hand over each of them takes a twentieth of what writing it does."""

_WAITING = 400_000
"""Rows that may wait until they are written, roughly: until then nothing waits for the slowest file."""

_DAY = 86_400_000_000
"""Microseconds, as minutes are counted in."""

_ORDINAL = date(1970, 1, 1).toordinal()


Days = dict[date, tuple[pa.Table, Mask]]
"""By UTC day its rows, and which of them no source has stated."""


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
        self._writing: deque[tuple[Future[None], int]] = deque()
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
        for future, _ in self._writing:
            future.cancel()
        self._exit.__exit__(kind, error, at)  # waits for those that were at work
        paths = {file.path for file in self._files.values()}
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
        taken = self._store(candles.slice(0, whole), filled[:whole], days[:whole], more=True) if whole else 0
        self._rest = candles.slice(taken).combine_chunks(), filled[taken:].copy()

    def commit(self) -> UpsertedCandles:
        """Store all of it: the new days at once, then the others some 400,000 rows at a time by PriceTable.upsert().

        Raises:
            CommitFailedError: write conflicts persisted for 60 s.
        """
        if self._rest is not None and self._rest[0].num_rows:
            candles, filled = self._rest
            self._rest = None
            self._store(candles, filled, _days(candles), more=False)
        self._settle(0)
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
        if not candles.num_rows or _unix(candles, candles.num_rows - 1) <= by_all.timestamp():
            return candles, filled
        over = closed(Validated(candles, []), self._now)
        for exchange, seconds in ahead.items():
            over = closed(over, self._now - timedelta(seconds=seconds), exchange)
        self._rejected += over.rejected
        return over.kept, filled[: over.kept.num_rows]  # they are the last ones

    def _store(self, candles: pa.Table, filled: Mask, days: "np.ndarray[Any, Any]", *, more: bool) -> int:
        """Bring whole days on their way; return of how many rows. If ``more`` come, the last day may have to wait."""
        self._settle(_WAITING)
        check_space(self._prices.location, candles.nbytes // len(days) * (len(days) + self._waiting()))
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        parts = {
            date.fromordinal(_ORDINAL + int(days[begin])): (candles.slice(begin, end - begin), filled[begin:end])
            for begin, end in pairwise(cuts)
        }
        marked = self._marked(parts)
        if more and marked.get(last := next(reversed(parts))) and last + timedelta(days=1) in self._by_day:
            whole = candles.num_rows - parts.pop(last)[0].num_rows  # whether it is alike is known with the day after
            candles, filled = candles.slice(0, whole), filled[:whole]
        states = self._compare(candles, filled, parts, marked)
        new = {}
        for begin, (day, (rows, of_them)) in zip(cuts, parts.items(), strict=False):
            differs = states.get(day)
            if differs is None and self._table is not None:
                new[day] = rows, of_them
                self._filled[day] = np.packbits(of_them)
            elif differs is None or differs:
                self._later.put(self._before(candles, filled, begin), rows, of_them)
        if new and self._table is not None:
            schema = file_schema(self._table)
            for n in range(0, len(new), _AT_ONCE):
                some = dict([*new.items()][n : n + _AT_ONCE])
                waiting = sum(len(of_them) for _, of_them in some.values())
                self._writing.append((self._pool.submit(self._write, schema, some), waiting))
        stated = np.flatnonzero(~filled)
        if len(stated):
            self._last_stated = candles.slice(int(stated[-1]), 1)
        return int(candles.num_rows)

    def _write(self, schema: pa.Schema, days: Days) -> None:
        for day, (rows, filled) in days.items():
            self._files[day] = write_file(self._prices, schema, day, [rows], _LEVEL, mark_of(rows, filled))

    def _before(self, candles: pa.Table, filled: Mask, begin: int) -> pa.Table | None:
        """Return the stated row before a day: what it is followed by takes its close."""
        stated = np.flatnonzero(~filled[:begin])
        return candles.slice(int(stated[-1]), 1) if len(stated) else self._last_stated

    def _waiting(self) -> int:
        """Return how many rows wait until they are written."""
        return sum(rows for _, rows in self._writing)

    def _settle(self, waiting: int) -> None:
        """Wait until no more rows than that wait until they are written."""
        while self._writing and self._waiting() > waiting:
            self._writing[0][0].result()
            self._writing.popleft()

    def _marked(self, days: Days) -> dict[date, bool]:
        """Say of each day whether its only file is one that an import of the same rows has written, by its name."""
        if self._prices.location.local_path is None:
            return {}
        if self._table is None:
            self._table = self._prices.open_or_create()
            self._stored = self._files_in(self._table)
            self._by_day = by_day(self._stored)
            self._doubted = {
                utc(unix).date() for metric, unix in Doubts(self._state).keys(self._now) if metric == self._metric
            }
        files = {day: self._by_day.get(day, []) for day in days}
        return {day: len(files[day]) == 1 and marked_with(files[day][0], mark_of(*days[day])) for day in days}

    def _compare(self, candles: pa.Table, filled: Mask, days: Days, marked: Mapping[date, bool]) -> dict[date, bool]:
        """Return of each day of which rows are stored whether it is to be upserted. Elsewhere none is appended."""
        if self._table is None:
            return {}
        # the first minute of the day after has to follow from a day that is alike, too
        after = {day: day + timedelta(days=1) for day, is_marked in marked.items() if is_marked}
        alike = {day for day, next_day in after.items() if marked.get(next_day) or next_day not in self._by_day}
        states = dict.fromkeys(alike, False)
        begin = 0
        for day, (rows, _) in days.items():
            if day not in alike:
                states |= self._differing(candles.slice(begin), filled[begin:], alike)
                break
            begin += rows.num_rows
        return states | dict.fromkeys(self._doubted, True)

    def _differing(self, candles: pa.Table, filled: Mask, alike: Collection[date]) -> dict[date, bool]:
        """Return of each day of which rows are stored, but those, whether it differs."""
        newest = candles.slice(candles.num_rows - 1)
        first, last = _unix(candles, 0), _unix(newest, 0) + 60
        begin, end = utc(first).date(), utc(last).date()
        of_days = [(day, of_day) for day, of_day in self._by_day.items() if day not in alike]
        files = [file for day, of_day in of_days if day is None or begin <= day <= end for file in of_day]
        if not files:
            return {}
        marked = candles.append_column("filled", flags(filled))
        ends = {"first": first, "last": last, "close": newest.column("close").to_numpy()[0].item()}
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
    days: np.ndarray[Any, Any] = candles.column("minute").cast(pa.int64()).to_numpy() // _DAY
    return days


def _unix(candles: pa.Table, row: int) -> int:
    return int(candles.slice(row, 1).column("minute").cast(pa.int64()).to_numpy()[0]) // 1_000_000
