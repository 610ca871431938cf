"""What all writers of a table share: how files are written, the check for free space, the lock against repairs.

Writers hold the lock of repairs shared, so they do not wait for each other; a repair holds it alone. Which of two
writers comes first is settled by the Delta log.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from deltalake import ColumnProperties, WriterProperties

from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableLocation
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked
from pricetracker_dagster.store.errors import StoreError, is_full

CONFIGURATION = {
    # Readers are given Parquet files by name and never read an old version of the log, so it need not be long:
    # listing it is part of every commit, and a tick commits 1,440 times a day.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "100",
}

COUNTED = ("metric", "trades")
"""Columns of the prices with few values: a dictionary of them is the smallest."""

STEADY = ("minute", "fetched_at")
"""Columns of the prices that go on by the same step."""

ROW_GROUP = 57_600
"""Rows that are read together. Who asks for one of a thousand metrics reads one such group of a day; smaller ones make
the list of groups take longer than the group."""

_PLAIN = ("open", "high", "low", "close", "volume")
"""Columns of the prices of which zstd finds most as they are, less in a dictionary or split by bytes."""

PROPERTIES = WriterProperties(
    compression="ZSTD",
    max_row_group_size=ROW_GROUP,
    column_properties=dict.fromkeys(_PLAIN, ColumnProperties(dictionary_enabled=False))
    | dict.fromkeys(STEADY, ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")),
)

LEAST_FREE = 4_000_000
"""Bytes that must be free before anything is written: delta-rs panics where a disk becomes full under its hands."""

_REPAIR_PATIENCE = 30.0
"""Seconds that a writer waits for a repair that is at work."""

_WRITERS_PATIENCE = 180.0
"""Seconds that a repair waits for writers, of which an import is the longest."""


def check_space(table: TableLocation, needed: int) -> None:
    """Raise a StoreError where the disk of a local table has no room."""
    local = table.local_path
    if local is None:
        return
    folder = next((place for place in (local, *local.parents) if place.exists()), local)
    with suppress(OSError):
        if shutil.disk_usage(folder).free < LEAST_FREE + needed:
            raise is_full(table)


@contextmanager
def writing(table: TableLocation, *, alone: bool = False) -> Iterator[None]:
    """Write into a table beside other writers, or ``alone`` in its data folder, as a repair does.

    Raises:
        StoreError: the lock is held by others until the deadline, or the folder cannot be written.
    """
    lock = table.folder.state / StateFile.REPAIR_LOCK
    who = "another process writes into" if alone else "`pricetracker repair` is at work on"
    busy = f"{who} {table.folder.path}: try again when it is done"
    deadline = Deadline.after(_WRITERS_PATIENCE if alone else _REPAIR_PATIENCE)
    with held(lock, deadline, busy, table.name, shared=not alone):
        yield


@contextmanager
def held(lock: Path, deadline: Deadline, busy: str, table: str = "", *, shared: bool = False) -> Iterator[None]:
    """Hold a lock of the data folder as locked() does.

    Raises:
        StoreError: of ``table`` (empty: none); others hold it until the deadline (then ``busy``), or it cannot be made.
    """
    with ExitStack() as locks:
        try:
            locks.enter_context(locked(lock, deadline, shared=shared))
        except OSError as error:
            raise StoreError(f"{error.filename}: {error.strerror}", table) from error
        except DeadlineExceeded:
            raise StoreError(busy, table) from None
        yield


def wait_for_repair(folder: DataFolder) -> None:
    """Wait until no repair is at work, up to a limit; nothing is created or written for that."""
    lock = folder.state / StateFile.REPAIR_LOCK
    if lock.exists():
        with suppress(OSError, DeadlineExceeded), locked(lock, Deadline.after(_REPAIR_PATIENCE), shared=True):
            pass


def wait_for_tick(folder: DataFolder, seconds: float) -> None:
    """Wait until no tick is at work, for so long at most; nothing is created or written for that."""
    lock = folder.state / StateFile.TICK_LOCK
    if lock.exists():
        with suppress(OSError, DeadlineExceeded), locked(lock, Deadline.after(seconds), shared=True):
            pass


def literal(unix: int) -> str:
    """Write a moment, Unix seconds, as a predicate takes it."""
    return f"arrow_cast({unix * 1_000_000}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
