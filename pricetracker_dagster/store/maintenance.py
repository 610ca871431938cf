"""Maintenance of the Delta tables, so that cost stays flat as history grows.

Each tick adds a small file. Those of a day become one, replaced files go after a week (a session that reads them may be
open that long), and the log keeps a day.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from deltalake.exceptions import CommitFailedError

from pricetracker_dagster.store import compaction
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import PARTITION
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import PROPERTIES

KEPT_FOR_READERS = timedelta(days=7)
"""How long a replaced Parquet file stays on disk."""

_FEW = 4
"""A day with so many files or fewer is left as it is."""

_TRIES = 5


@dataclass(frozen=True)
class Maintained:
    """What was done, and how many live files of prices there were before and after.

    Attributes:
        days: UTC days whose files were joined, ISO 8601.
        files_removed: files, replaced or never committed, that were deleted for good.
        put_off: days that ticks or a backfill kept busy; the next maintenance joins them.
        troubles: what went wrong with one table, for which the others did not wait, in plain words.
    """

    days: tuple[str, ...]
    files_before: int
    files_after: int
    files_removed: int
    put_off: tuple[str, ...]
    troubles: tuple[str, ...] = ()


def maintain(store: Store) -> Maintained:
    """Join the small files of each day, delete files replaced a week ago, write a checkpoint, shorten the log.

    Safe beside writers and readers: after a write conflict it is tried again, and put off where conflicts persist.
    """
    joined: list[str] = []
    put_off: list[str] = []
    troubles: list[str] = []
    before = after = removed = 0
    with _maintaining(store.prices, troubles):
        table = store.prices.open()
        if table is not None:
            files = table.file_uris()
            before = len(files)
            days = Counter(file.rpartition(f"/{PARTITION}=")[2].partition("/")[0] for file in files)
            for day, count in sorted(days.items()):
                if count > _FEW:
                    (joined if _join(store.prices, ["metric", "minute"], day) else put_off).append(day)
            removed += _clean(store.prices)
            after = len(store.prices.load().file_uris())
    for records in store.records:
        with _maintaining(records, troubles):
            of_it = records.open()  # a damaged table is left alone: to clean it would delete what can be saved
            if of_it is not None:
                if len(of_it.file_uris()) > _FEW:
                    _join(records, [*records.key[:1], records.time])
                removed += _clean(records)
    return Maintained(tuple(joined), before, after, removed, tuple(put_off), tuple(troubles))


@contextmanager
def _maintaining(table: Delta, troubles: list[str]) -> Iterator[None]:
    """Maintain one table beside its writers; what is wrong with it is noted and does not stop the others."""
    try:
        local = table.location.local_path
        with nullcontext() if local is not None and not local.exists() else table.write():
            yield
    except StoreError as error:
        troubles.append(str(error))


def _clean(delta: Delta) -> int:
    """Delete the files that no reader needs any more, write a checkpoint, shorten the log. Return how many it were."""
    hours = int(KEPT_FOR_READERS.total_seconds() // 3600)
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
