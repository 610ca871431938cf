"""Delta tables whatever they hold: opened, made where absent, merged into beside other writers.

What is in them belongs to prices.py and records.py.
"""

import os
import pwd
import random
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, Schema, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pricetracker_dagster import sql
from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableLocation
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked
from pricetracker_dagster.store import damage
from pricetracker_dagster.store.damage import LOG, Damage, Log
from pricetracker_dagster.store.versions import published_version

CONFIGURATION = {
    # Readers are given Parquet files by name and never read an old version of the log, so it need not be long:
    # listing it is part of every commit, and a tick commits 1,440 times a day.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "100",
}

_PATIENCE = 60.0
"""Seconds in which a commit that others overtook is tried again."""

PROPERTIES = WriterProperties(compression="ZSTD")

_REPAIR_PATIENCE = 30.0
"""Seconds that a writer waits for a repair that is at work."""

_WRITERS_PATIENCE = 180.0
"""Seconds that a repair waits for writers, of which an import is the longest."""

_TRIES = 3

_kept: ContextVar[dict[TableLocation, DeltaTable | None] | None] = ContextVar("tables opened once", default=None)

LEAST_FREE = 4_000_000
"""Bytes that must be free before anything is written: delta-rs panics where a disk becomes full under its hands."""


class StoreError(PricetrackerError):
    """A table cannot be read or written. The message says which file of which table, what is lost and the way out.

    Attributes:
        table: name of the table.
        damage: the file that is damaged or gone; None where the reason is another, e.g. a full disk.
    """

    def __init__(self, message: str, table: str, damage: Damage | None = None) -> None:
        """Say what is wrong."""
        super().__init__(message)
        self.table = table
        self.damage = damage


@dataclass(frozen=True)
class Upserted:
    """What an upsert changed.

    Attributes:
        inserted: rows that were not there.
        updated: rows of which a value differed.
        version: version of the Delta table that has them all.
    """

    inserted: int
    updated: int
    version: int


@dataclass(frozen=True)
class Delta:
    """One Delta table. It is made by the first write, and any number of processes may write at once.

    Attributes:
        location: where it is.
        schema: its columns.
        description: what it holds, for people.
        partition_by: its partition columns.
    """

    location: TableLocation
    schema: pa.Schema
    description: str
    partition_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.location.name

    @property
    def path(self) -> Path:
        """Its folder on this machine.

        Raises:
            PricetrackerError: it is elsewhere.
        """
        return self.location.path

    def load(self) -> DeltaTable:
        """Open it by delta-rs, which raises what it likes where that fails."""
        return DeltaTable(self.location.url, storage_options=self.location.storage_options)

    def open(self) -> DeltaTable | None:
        """Open it to read; None where nothing was ever stored.

        Raises:
            StoreError: it is damaged; the message says which file and the way out.
        """
        kept = _kept.get()
        if kept is None:
            return self._open()
        if self.location not in kept or not self._is_newest(kept[self.location]):
            kept[self.location] = self._open()
        return kept[self.location]

    def _is_newest(self, table: DeltaTable | None) -> bool:
        """Say whether nobody has written since a table was opened: then its log ends where it ended."""
        if self.location.local_path is None:
            return False  # to ask takes as long as to open it
        log = self.location.local_path / LOG
        if table is None:
            return not log.exists()
        return (log / f"{table.version():020}.json").exists() and not (log / f"{table.version() + 1:020}.json").exists()

    def _open(self) -> DeltaTable | None:
        for left in reversed(range(_TRIES)):
            try:
                table = self.load()
                if self._is_whole(table) and table.version() >= published_version(self.location):
                    return table
                if not self.log().damages:  # a checkpoint says the same, or others have written since
                    return table
                why: BaseException | None = None
            except TableNotFoundError as error:
                if self.location.local_path is None or not self.log().damages:
                    return None
                why = error
            except BaseException as error:
                if not _is_of_delta(error):
                    raise
                why = error
            if not left:
                self._tell(why)
            _wait_for_repair(self.location.folder)  # it may have been at it just now
        raise AssertionError("a loop that always returns or raises")

    def _is_whole(self, table: DeltaTable) -> bool:
        """Say whether the newest commit is whole: delta-rs takes one that was cut between two lines for a whole one."""
        if self.location.local_path is None:
            return True
        newest = self.location.local_path / LOG / f"{table.version():020}.json"
        return not newest.exists() or damage.read_commit(newest)[1] is None

    def open_whole(self) -> DeltaTable | None:
        """Open it, and look whether its data files are there and whole at both ends; None where there is none.

        Raises:
            StoreError: it is damaged; the message says which file and the way out.
        """
        table = self.open()
        sizes = {} if table is None else _sizes(table)
        with self._access():
            wrong = any(
                damage.unreadable(self.path / name, {"size": size}, thorough=False) for name, size in sizes.items()
            )
        if wrong:
            self._tell_damage(thorough=False)
        return table

    def log(self) -> Log:
        """Return what its log says, as far as it can be read.

        Raises:
            StoreError: a file of it is there and cannot be read.
        """
        with self._access():
            return damage.read_log(self.path, published_version(self.location))

    def examine(self, *, thorough: bool = True) -> list[Damage]:
        """Return what is wrong with it; see damage.examine().

        Raises:
            StoreError: a file of it is there and cannot be read.
        """
        with self._access():
            return damage.examine(self.path, published_version(self.location), thorough=thorough)

    def _access(self) -> AbstractContextManager[None]:
        return access(self.location.folder.path, self.name)

    def open_or_create(self) -> DeltaTable:
        """Open it; create it where it is not there yet.

        Raises:
            StoreError: it is damaged, or cannot be created.
        """
        table = self._open()
        if table is not None:
            self._add_columns(table)
            return table
        try:
            if self.location.local_path is not None:
                self.location.local_path.mkdir(parents=True, exist_ok=True)
            return DeltaTable.create(
                self.location.url,
                storage_options=self.location.storage_options,
                schema=self.schema,
                mode="ignore",  # another process may have been faster
                partition_by=list(self.partition_by),
                name=self.name,
                description=self.description,
                configuration=CONFIGURATION,
            )
        except (DeltaError, OSError) as error:
            self._tell(error)

    def _add_columns(self, table: DeltaTable) -> None:
        """Add the columns that an earlier version did not know; what it stored has NULL there."""
        known = {field.name for field in table.schema().fields}
        if new := [field for field in Schema.from_arrow(self.schema).fields if field.name not in known]:
            with self.write():
                table.alter.add_columns(new)

    def merge(
        self, rows: pa.Table, *, same_key: str, differs: str | None, opened: DeltaTable | None = None
    ) -> Upserted:
        """Insert the rows whose key is not there, and update those that differ. Atomic.

        Args:
            rows: columns of ``schema``, no two of one key.
            same_key: when a stored row ``t`` and a new one ``s`` have the same key.
            differs: when the stored one is replaced; None: never.
            opened: the table, if it was opened just now; where others were faster since, it is opened anew.

        Raises:
            CommitFailedError: others were faster for a whole minute.
            StoreError: the table is damaged, or cannot be written.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            self.check_space(rows.nbytes)
            try:
                with self.write():
                    table = opened or self.open_or_create()
                    opened = None
                    merger = table.merge(
                        rows, predicate=same_key, source_alias="s", target_alias="t", writer_properties=PROPERTIES
                    )
                    if differs is not None:
                        merger = merger.when_matched_update_all(predicate=differs)
                    done = merger.when_not_matched_insert_all().execute()
            except CommitFailedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter
            else:
                return Upserted(done["num_target_rows_inserted"], done["num_target_rows_updated"], table.version())

    @contextmanager
    def read(self) -> Iterator[None]:
        """Tell which file of the table is damaged or gone where reading its files fails in the block.

        Raises:
            StoreError: one of them is.
        """
        try:
            yield
        except duckdb.Error as error:
            self._tell_damage(error)
            raise

    @contextmanager
    def write(self) -> Iterator[None]:
        """Write in the block, beside other writers, with what delta-rs says put in plain words.

        Raises:
            StoreError: the table is damaged, or cannot be written.
        """
        try:
            with writing(self.location):
                yield
        except CommitFailedError:
            raise
        except DeltaError as error:
            self._tell(error)

    def check_space(self, needed: int) -> None:
        """Look whether the disk has room.

        Raises:
            StoreError: it is full.
        """
        local = self.location.local_path
        if local is None:
            return
        folder = next((place for place in (local, *local.parents) if place.exists()), local)
        with suppress(OSError):
            if shutil.disk_usage(folder).free < LEAST_FREE + needed:
                raise StoreError(_full(self.location), self.name)

    def _tell_damage(self, error: BaseException | None = None, *, thorough: bool = True) -> None:
        """Look for damage where the table's files are on this machine.

        Raises:
            StoreError: there is some; the message says which file and the way out.
        """
        found = None if self.location.local_path is None else damage.first_of(self.examine(thorough=thorough))
        if found is not None:
            raise StoreError(way_out(found, self.location.folder), self.name, found) from error

    def _tell(self, error: BaseException | None) -> NoReturn:
        """Say in plain words why the table cannot be used.

        Raises:
            StoreError: always.
        """
        url, name = self.location.url, self.name
        said = "" if error is None else str(error)
        if "os error 28" in said or "No space left" in said:
            raise StoreError(_full(self.location), name) from error
        if re.search(r"os error (30|13|1)\b|Permission denied|Read-only", said):
            raise StoreError(
                f"{url} cannot be written or read by this user: {_plain(said)}; check who owns it, and whether "
                "its disk is read-only",
                name,
            ) from error
        self._tell_damage(error)
        raise StoreError(
            f"the table {name} in {url.rpartition('/')[0]} cannot be used: {_plain(said)}", name
        ) from error


@contextmanager
def opened_once() -> Iterator[None]:
    """Open each table once in the block, in this thread, and anew only where somebody has written since.

    To open one takes as long as to read it. What is damaged meanwhile, but for the newest commit, is found by the next.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


@contextmanager
def access(folder: Path, table: str) -> Iterator[None]:
    """Tell who owns a file that this user may not read, and that the disk does not give one: neither is damage.

    Args:
        folder: the data folder.
        table: name of the table; empty of none.

    Raises:
        StoreError: a file cannot be read in the block.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(_no_access(error, folder), table) from error


def _no_access(error: OSError, folder: Path) -> str:
    """Say in plain words why a file of a data folder could not be read, and the way out."""
    file = Path(str(error.filename or folder))
    if not isinstance(error, PermissionError):
        return (
            f"{file} cannot be read: {error.strerror}. That tells nothing of what is in it, so nothing is mended: look "
            "after the disk and the memory of this machine, then try again"
        )
    owner = "another user"
    for place in (file, *file.parents):  # the nearest that this user may look at
        with suppress(OSError, KeyError):
            owner = place.owner()
            break
    me = str(os.geteuid())
    with suppress(KeyError):
        me = pwd.getpwuid(os.geteuid()).pw_name
    return (
        f"{file} belongs to {owner} and cannot be read by {me}: {error.strerror}. It is not damaged, and nothing is "
        f"mended: run `sudo chown -R {me} {folder}`, or let all read it with `sudo chmod -R a+rX {folder}`"
    )


@contextmanager
def writing(table: TableLocation, *, alone: bool = False) -> Iterator[None]:
    """Write into a table beside other writers, or alone, as a repair does.

    Args:
        table: which table.
        alone: nobody else writes into a table of this data folder meanwhile.

    Raises:
        StoreError: others are at work all the time, or the folder cannot be written.
    """
    deadline = Deadline.after(_WRITERS_PATIENCE if alone else _REPAIR_PATIENCE)
    with ExitStack() as locks:
        try:
            locks.enter_context(locked(table.folder.state / StateFile.REPAIR_LOCK, deadline, shared=not alone))
        except OSError as error:
            raise StoreError(f"{error.filename}: {error.strerror}", table.name) from error
        except DeadlineExceeded:
            who = "another process writes into" if alone else "`pricetracker repair` is at work on"
            raise StoreError(f"{who} {table.folder.path}: try again when it is done", table.name) from None
        yield


def _wait_for_repair(folder: DataFolder) -> None:
    """Wait until no repair is at work, but not for ever; nothing is made or written for that."""
    lock = folder.state / StateFile.REPAIR_LOCK
    if lock.exists():
        with suppress(OSError, DeadlineExceeded), locked(lock, Deadline.after(_REPAIR_PATIENCE), shared=True):
            pass


def repair_command(folder: Path) -> str:
    """Return the command that shows and mends what is wrong with a data folder."""
    return f"pricetracker{simulated_option(folder)} repair"


def simulated_option(folder: Path) -> str:
    """Return how the command line is called for a data folder, beside its name."""
    return " --simulated" if folder.name.endswith("-simulated") else ""


def _full(table: TableLocation) -> str:
    return f"the disk of {table.url} is full: nothing was stored; free some space"


def way_out(found: Damage, folder: DataFolder) -> str:
    """Put a damage and the way out in one line."""
    command = repair_command(folder.path)
    return f"{found}. Run `{command}`: it shows what is wrong in {folder.path}; with --yes it mends it"


def _is_of_delta(error: BaseException) -> bool:
    """Say whether an error comes from delta-rs: also where it panics over a damaged file, which is no Exception."""
    return isinstance(error, DeltaError | OSError) or type(error).__name__ == "PanicException"


def _plain(said: str) -> str:
    """Return the first line of what delta-rs says, not longer than a line."""
    return plain(said, 200)


def files_of(table: DeltaTable, bounds: Sequence[tuple[str, str, date | datetime]] = ()) -> list[str]:
    """Return the live Parquet files of one version of a table, as absolute paths.

    With bounds, e.g. ``("minute", ">=", moment)``, only those that may hold such rows, by the statistics in the log.
    """
    # delta-rs names them as URLs do, with %20 for a space
    return sorted(map(unquote, table.file_uris(file_pruning_predicate=list(bounds) or None)))


def _sizes(table: DeltaTable) -> dict[str, int]:
    """Return how long each live file of a table was when it was written, by its path in the table's folder."""
    # pa.table() would import pandas
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions()).read_all()
    names = map(unquote, actions["path"].to_pylist())
    return dict(zip(names, actions["size_bytes"].to_pylist(), strict=True))


def patterns(files: Iterable[str]) -> list[str]:
    """Return files as ``read_parquet`` takes them: each a pattern that matches it alone."""
    return [sql.only(file) for file in files]


def literal(unix: int) -> str:
    """Write a moment, Unix seconds, as a predicate takes it."""
    return f"arrow_cast({unix * 1_000_000}, 'Timestamp(Microsecond, Some(\"UTC\"))')"


def utc(unix: float) -> datetime:
    """Return the moment of Unix seconds, UTC."""
    return datetime.fromtimestamp(unix, UTC)
