"""Maintenance of the Delta tables, so that cost stays flat as history grows.

Each tick adds a small file. Those of a day become one, replaced files go after a week (a session that reads them may be
open that long), and the log keeps a day. It is done in steps of a day or a table, between which ticks have their turn.
Of the day that is not over the files of each hour become one, so that what was joined is not written again each hour.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.store import compaction
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import PARTITION, files_of, minutes_of_files
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.records import RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import PROPERTIES, wait_for_tick

KEPT_FOR_READERS = timedelta(days=7)
"""How long a replaced Parquet file stays on disk."""

_FEW = 4
"""A day with so many files or fewer is left as it is."""

_SETTLED = timedelta(minutes=70)
"""So long after an hour's begin its files are joined: ticks ask again for the last five minutes."""

_TRIES = 5

_TICK_PATIENCE = 50.0
"""Seconds that a step waits for a tick that is at work: a tick is over by then."""


@dataclass(frozen=True)
class Limits:
    """How much one maintenance does at most of what may have piled up; the next one goes on.

    Attributes:
        days: UTC days whose files are joined.
        seconds: after so many no further day is begun.
    """

    days: int = 60
    seconds: float = 600.0


@dataclass(frozen=True)
class Maintained:
    """What was done, and how many live files of prices there were before and after.

    Attributes:
        days: UTC days whose files were joined, ISO 8601.
        files_removed: files, replaced or never committed, that were deleted for good.
        put_off: days that ticks or a backfill kept busy; the next maintenance joins them.
        troubles: what went wrong with one table, for which the others did not wait, in plain words.
        left: days for which there was no time; the next maintenance goes on with them.
    """

    days: tuple[str, ...]
    files_before: int
    files_after: int
    files_removed: int
    put_off: tuple[str, ...]
    troubles: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def maintain(store: Store, limits: Limits | None = None, now: datetime | None = None) -> Maintained:
    """Join the small files of each day, delete files replaced a week ago, write a checkpoint, shorten the log.

    Safe beside writers and readers: after a write conflict it is tried again, and put off where conflicts persist. The
    newest days come first, since they are read; no step begins while a tick is at work. Which day is not over is told
    by ``now``, UTC; None: this machine's clock.
    """
    now = now or datetime.now(UTC)
    limits = limits or Limits()
    deadline = Deadline.after(limits.seconds)
    joined: list[str] = []
    put_off: list[str] = []
    left: list[str] = []
    troubles: list[str] = []
    before = after = removed = 0
    with _noting(troubles):
        table = store.prices.open()
        if table is not None:
            days = Counter(_day_of(file) for file in files_of(table))
            before = days.total()
            for day in sorted((day for day, count in days.items() if count > _FEW), reverse=True):
                if day == now.date().isoformat() and not _hours_to_join(table, now):
                    continue
                if len(joined) == limits.days or not deadline.remaining:
                    left.append(day)
                    continue
                wait_for_tick(store.folder, min(_TICK_PATIENCE, deadline.remaining))
                (joined if _join_day(store.prices, day, now) else put_off).append(day)
            removed += _clean(store.prices)
            after = len(store.prices.load().file_uris())
    for records in store.records:
        with _noting(troubles):
            wait_for_tick(store.folder, _TICK_PATIENCE)
            removed += _maintain_records(records)
    days_joined, days_put_off, days_left = (tuple(sorted(days)) for days in (joined, put_off, left))
    return Maintained(days_joined, before, after, removed, days_put_off, tuple(troubles), days_left)


def _day_of(file: str) -> str:
    """Return the UTC day of a Parquet file of the prices, ISO 8601."""
    return file.rpartition(f"/{PARTITION}=")[2].partition("/")[0]


def _join_day(prices: PriceTable, day: str, now: datetime) -> bool:
    """Join the files of a day, or those of each hour that is over where the day is not. False as of _join()."""
    local = prices.location.local_path is not None
    if day != now.date().isoformat() or not local:
        return compaction.join(prices, day) if local else _join(prices, ["metric", "minute"], day)
    table = prices.open()
    hours = [] if table is None else _hours_to_join(table, now)
    return all(compaction.join(prices, day, files) for files in hours)


def _hours_to_join(table: DeltaTable, now: datetime) -> list[list[str]]:
    """Return the files of each hour of today that is over, and in which nothing is corrected as a rule any more."""
    hours: dict[datetime, list[str]] = defaultdict(list)
    for path, first, last in minutes_of_files(table, now.date()):
        hour = last.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if hour <= first and hour + _SETTLED <= now:
            hours[hour].append(path)
    return [files for files in hours.values() if len(files) > _FEW]


def _maintain_records(records: RecordTable) -> int:
    """Join the files of a small table and clean it; return how many files were deleted for good."""
    table = records.open()  # a damaged table is left alone: to clean it would delete what can be saved
    if table is None:
        return 0
    if len(table.file_uris()) > _FEW:
        _join(records, [*records.key[:1], records.time])
    return _clean(records)


@contextmanager
def _noting(troubles: list[str]) -> Iterator[None]:
    """Maintain one table in steps, each beside its writers; what is wrong with it does not stop the others."""
    try:
        yield
    except StoreError as error:
        troubles.append(str(error))


def _clean(delta: Delta) -> int:
    """Delete the files that no reader needs any more, write a checkpoint, shorten the log. Return how many it were."""
    hours = int(KEPT_FOR_READERS.total_seconds() // 3600)
    with delta.write():
        # in full: a writer that was killed or overtaken leaves files that no log ever names
        removed = delta.load().vacuum(retention_hours=hours, dry_run=False, full=True)
        table = delta.load()
        table.create_checkpoint()
        table.cleanup_metadata()
    return len(removed)


def _join(delta: Delta, order: list[str], day: str | None = None) -> bool:
    """Rewrite a table, or one day of it, as few files, ordered for readers. False where write conflicts persist."""
    for _ in range(_TRIES):
        try:
            with delta.write():  # a step at a time: a repair that waits has its turn between two
                delta.load().optimize.z_order(
                    order,
                    partition_filters=None if day is None else [(PARTITION, "=", day)],
                    writer_properties=PROPERTIES,
                )
        except CommitFailedError:
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - jitter
        else:
            return True
    return False
