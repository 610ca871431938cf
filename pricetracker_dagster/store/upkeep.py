"""The upkeep of the Delta table, so that cost stays flat as history grows.

Each tick adds a small file. Those of a day become one, replaced files go after a week (a session that reads them may be
open that long), and the log keeps a day.
"""

import random
import time
from dataclasses import dataclass
from datetime import timedelta

from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError

from pricetracker_dagster.store.prices import PARTITION, Store

KEPT_FOR_READERS = timedelta(days=7)
"""How long a replaced Parquet file stays on disk."""

_FEW = 4
"""A day with so many files or fewer is left as it is."""

_TRIES = 5


@dataclass(frozen=True)
class Upkeep:
    """What was done.

    Attributes:
        days: UTC days whose files were joined, ISO 8601.
        files_before: live files before.
        files_after: live files after.
        files_removed: files, replaced or never committed, that were deleted for good.
        put_off: days that ticks or a backfill kept busy; the next upkeep has them.
    """

    days: tuple[str, ...]
    files_before: int
    files_after: int
    files_removed: int
    put_off: tuple[str, ...]


def upkeep(store: Store) -> Upkeep:
    """Join the small files of each day, delete files replaced a week ago, write a checkpoint, shorten the log.

    Safe beside writers and readers: a commit that collides is tried again, and put off if it still does.
    """
    table = store.open()
    if table is None:
        return Upkeep((), 0, 0, 0, ())
    before = table.file_uris()
    joined: list[str] = []
    put_off: list[str] = []
    for day, count in sorted(_files_a_day(before).items()):
        if count > _FEW:
            (joined if _join(store, day) else put_off).append(day)
    table = DeltaTable(store.prices)
    hours = int(KEPT_FOR_READERS.total_seconds() // 3600)
    # in full: a writer that was killed or overtaken leaves files that no log ever names
    removed = table.vacuum(retention_hours=hours, dry_run=False, full=True)
    table = DeltaTable(store.prices)
    table.create_checkpoint()
    table.cleanup_metadata()
    return Upkeep(tuple(joined), len(before), len(table.file_uris()), len(removed), tuple(put_off))


def _join(store: Store, day: str) -> bool:
    """Rewrite one day as few files, ordered by metric and minute as a reader of one metric likes it."""
    for _ in range(_TRIES):
        try:
            DeltaTable(store.prices).optimize.z_order(
                ["metric", "minute"],
                partition_filters=[(PARTITION, "=", day)],
                writer_properties=WriterProperties(compression="ZSTD"),
            )
        except CommitFailedError:
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - jitter
        else:
            return True
    return False


def _files_a_day(files: list[str]) -> dict[str, int]:
    days: dict[str, int] = {}
    for file in files:
        day = file.rpartition(f"/{PARTITION}=")[2].partition("/")[0]
        days[day] = days.get(day, 0) + 1
    return days
