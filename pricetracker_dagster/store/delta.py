"""Delta tables whatever they hold: opened, created where absent, merged into beside other writers.

What is in them belongs to prices.py and records.py; what is said where they cannot be used, to errors.py.
"""

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pricetracker_dagster.files.data_folder import TableLocation
from pricetracker_dagster.store import damage
from pricetracker_dagster.store import log as delta_log
from pricetracker_dagster.store.damage import Damage
from pricetracker_dagster.store.errors import access, cannot_be_used, is_damaged, is_refused
from pricetracker_dagster.store.live_files import sizes
from pricetracker_dagster.store.log import Log
from pricetracker_dagster.store.versions import published_version
from pricetracker_dagster.store.writing import CONFIGURATION, PROPERTIES, check_space, wait_for_repair, writing

_PATIENCE = 60.0
"""Seconds in which a commit is tried again after a write conflict."""

_TRIES = 3

_kept: ContextVar[dict[TableLocation, DeltaTable | None] | None] = ContextVar("tables opened once", default=None)


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
        """Open it by delta-rs, whose errors are not translated."""
        return DeltaTable(self.location.url, storage_options=self.location.storage_options)

    def open(self) -> DeltaTable | None:
        """Open it to read; None where nothing was ever stored.

        Raises:
            StoreError: it is damaged; the message says which file and the way out.
        """
        if (kept := _kept.get()) is None:
            return self._open()
        if self.location not in kept or not self._is_newest(kept[self.location]):
            kept[self.location] = self._open()
        return kept[self.location]

    def _is_newest(self, table: DeltaTable | None) -> bool:
        """Say whether nobody has written since a table was opened: then its log ends where it ended."""
        if self.location.local_path is None:
            return False  # to ask takes as long as to open it
        return delta_log.ends_with(self.location.local_path, -1 if table is None else table.version())

    def _open(self) -> DeltaTable | None:
        for left in reversed(range(_TRIES)):
            try:
                table = self.load()
                local = self.location.local_path
                whole = local is None or delta_log.is_whole(local, table.version())
                if whole and table.version() >= published_version(self.location):
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
                self._raise(why)
            wait_for_repair(self.location.folder)  # it may be replacing the log just now
        raise AssertionError("a loop that always returns or raises")

    def open_whole(self) -> DeltaTable | None:
        """Open it; of a local table look whether its data files are there and whole at both ends. None: there is none.

        Raises:
            StoreError: it is damaged; the message says which file and the way out.
        """
        table = self.open()
        written = {} if table is None or self.location.local_path is None else sizes(table)
        with self._access():
            wrong = any(
                damage.unreadable(self.path / name, {"size": size}, thorough=False) for name, size in written.items()
            )
        if wrong:
            self._raise_if_damaged(thorough=False)
        return table

    def log(self) -> Log:
        """Return what its log says, as far as it can be read.

        Raises:
            StoreError: a file of it is there and cannot be read.
        """
        with self._access():
            return delta_log.read_log(self.path, published_version(self.location))

    def examine(self, *, thorough: bool = True) -> list[Damage]:
        """Return what is wrong with it; see log.examine().

        Raises:
            StoreError: a file of it is there and cannot be read.
        """
        with self._access():
            return delta_log.examine(self.path, published_version(self.location), thorough=thorough)

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
            if (created := self._open()) is None:  # of several that create it at once, delta-rs lets some fail
                self._raise(error)
            return created

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
            opened: the table, if it was opened just now; after a write conflict it is opened anew.

        Raises:
            CommitFailedError: write conflicts persisted for 60 s.
            StoreError: the table is damaged, or cannot be written.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            check_space(self.location, rows.nbytes)
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
                return Upserted(done["num_target_rows_inserted"], done["num_target_rows_updated"], table.version())
            except CommitFailedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter

    @contextmanager
    def read(self) -> Iterator[None]:
        """Name the file of the table that is damaged or gone where reading its files fails in the block.

        Raises:
            StoreError: one of them is.
        """
        try:
            yield
        except duckdb.Error as error:
            self._raise_if_damaged(error)
            raise

    @contextmanager
    def write(self) -> Iterator[None]:
        """Write in the block, beside other writers; the errors of delta-rs are translated.

        Raises:
            StoreError: the table is damaged, or cannot be written.
        """
        try:
            with writing(self.location):
                yield
        except CommitFailedError:
            raise
        except DeltaError as error:
            self._raise(error)

    def _raise_if_damaged(self, error: BaseException | None = None, *, thorough: bool = True) -> None:
        """Look for damage where the table's files are on this machine.

        Raises:
            StoreError: there is some; the message says which file and the way out.
        """
        found = None if self.location.local_path is None else damage.first_of(self.examine(thorough=thorough))
        if found is not None:
            raise is_damaged(found, self.location.folder) from error

    def _raise(self, error: BaseException | None) -> NoReturn:
        """Say in plain words why the table cannot be used.

        Raises:
            StoreError: always.
        """
        refused = is_refused(self.location, error)
        if refused is None:
            self._raise_if_damaged(error)
        raise (refused or cannot_be_used(self.location, error)) from error


@contextmanager
def opened_once() -> Iterator[None]:
    """Open each table once in the block, in this thread, and anew only where somebody has written since.

    To open one takes as long as to read it. What is damaged meanwhile, but for the newest commit, is found next time.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _is_of_delta(error: BaseException) -> bool:
    """Say whether an error comes from delta-rs: also where it panics over a damaged file, which is no Exception."""
    return isinstance(error, DeltaError | OSError) or type(error).__name__ == "PanicException"
