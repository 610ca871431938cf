"""Maintenance of the Delta tables, so that cost stays flat as history grows.

Each tick adds a small file. Those of a day become one, replaced files go after a week (a session that reads them may be
open that long), and the log keeps a day. It is done in steps of a day or a table, between which ticks have their turn.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from deltalake.exceptions import CommitFailedError

from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.store import compaction
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import PARTITION, files_of
from pricetracker_dagster.store.records import RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import PROPERTIES, wait_for_tick

KEPT_FOR_READERS = timedelta(days=7)
"""How long a replaced Parquet file stays on disk."""

_FEW = 4
"""A day with so many files or fewer is left as it is."""

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


def maintain(store: Store, limits: Limits | None = None) -> Maintained:
    """Join the small files of each day, delete files replaced a week ago, write a checkpoint, shorten the log.

    Safe beside writers and readers: after a write conflict it is tried again, and put off where conflicts persist. The
    newest days come first, since they are read; no step begins while a tick is at work.
    """
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
                if len(joined) == limits.days or not deadline.remaining:
                    left.append(day)
                    continue
                wait_for_tick(store.folder, min(_TICK_PATIENCE, deadline.remaining))
                (joined if _join(store.prices, ["metric", "minute"], day) else put_off).append(day)
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
    if day is not None and delta.location.local_path is not None:
        return compaction.join(delta, day)
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
