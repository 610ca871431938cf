"""Delta tables whatever they hold: opened, created where absent, merged into beside other writers.

What is in them belongs to prices.py and records.py; what is said where they cannot be used, to errors.py.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pricetracker_dagster import sql
from pricetracker_dagster.files.data_folder import TableLocation
from pricetracker_dagster.store import log as delta_log
from pricetracker_dagster.store.damage import Damage, unreadable
from pricetracker_dagster.store.errors import access, cannot_be_used, is_damaged, is_refused
from pricetracker_dagster.store.live_files import patterns, sizes
from pricetracker_dagster.store.log import Log, published_version
from pricetracker_dagster.store.upgrading import is_of_before, upgrade
from pricetracker_dagster.store.writing import CONFIGURATION, PROPERTIES, check_space, wait_for_repair, writing

_PATIENCE = 60.0
"""Seconds in which a commit is tried again after a write conflict."""

_TRIES = 3

_kept: ContextVar[dict[TableLocation, DeltaTable | None] | None] = ContextVar("tables opened once", default=None)


@dataclass(frozen=True)
class Upserted:
    """How many rows an upsert inserted and updated, and the version of the Delta table that has them all."""

    inserted: int
    updated: int
    version: int


@dataclass(frozen=True)
class Delta:
    """One Delta table. It is made by the first write, and any number of processes may write at once.

    Where it is damaged, or cannot be read or written, whatever is asked of it raises StoreError: the message says which
    file it is and the way out.

    Attributes:
        location: where it is.
        schema: its columns.
        description: what it holds, for people.
        key: the columns that tell a row from the others.
        partition_by: its partition columns.
    """

    location: TableLocation
    schema: pa.Schema
    description: str
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.location.name

    @property
    def path(self) -> Path:
        """Its folder on this machine, as of TableLocation.path."""
        return self.location.path

    def load(self) -> DeltaTable:
        """Open it; the errors of delta-rs are not translated."""
        return DeltaTable(self.location.url, storage_options=self.location.storage_options)

    def open(self) -> DeltaTable | None:
        """Open it to read; None where nothing was ever stored."""
        if (kept := _kept.get()) is None:
            return self._open()
        if self.location not in kept or not self._is_newest(kept[self.location]):
            kept[self.location] = self._open()
        return kept[self.location]

    def _is_newest(self, table: DeltaTable | None) -> bool:
        """Say whether nobody has written since; to ask that of one elsewhere takes as long as to open it."""
        local = self.location.local_path
        return local is not None and delta_log.ends_with(local, -1 if table is None else table.version())

    def _open(self, tries: int = _TRIES) -> DeltaTable | None:
        local = self.location.local_path
        why: BaseException | None = None
        try:
            table = self.load()
            whole = local is None or delta_log.is_whole(local, table.version())
            if whole and table.version() >= published_version(self.location):
                return table
            if not self.log().damages:  # a checkpoint says the same, or others have written since
                return table
        except TableNotFoundError as error:
            if local is None or not self.log().damages:
                return None
            why = error
        except BaseException as error:
            if not _is_of_delta(error):
                raise
            why = error
        if tries == 1:
            self._raise(why)
        wait_for_repair(self.location.folder)  # it may be replacing the log just now
        return self._open(tries - 1)

    def open_whole(self) -> DeltaTable | None:
        """Open it; of a local table look whether its data files are there and whole at both ends. None as of open()."""
        table = self.open()
        local = self.location.local_path
        if table is not None and local is not None:
            with self._access():
                written = sizes(table).items()
                wrong = any(unreadable(local / name, {"size": size}, thorough=False) for name, size in written)
            if wrong:
                self.check(thorough=False)
        return table

    def check(self, error: BaseException | None = None, *, thorough: bool = True) -> None:
        """Raise a StoreError where there is damage (see log.examine()), if its files are on this machine."""
        found = self.location.local_path and self.examine(thorough=thorough)
        if found:
            raise is_damaged(found[0], self.location.folder) from error

    def log(self) -> Log:
        """Return what its log says, as far as it can be read."""
        with self._access():
            return delta_log.read_log(self.path, published_version(self.location))

    def examine(self, *, thorough: bool = True) -> list[Damage]:
        """Return what is wrong with it; see log.examine()."""
        with self._access():
            return delta_log.examine(self.path, published_version(self.location), thorough=thorough)

    def _access(self) -> AbstractContextManager[None]:
        return access(self.location.folder.path, self.name)

    def open_or_create(self) -> DeltaTable:
        """Open it to write; create it where it is not there yet."""
        table = self.open()
        if table is not None:
            return self._upgraded(table)
        local = self.location.local_path
        try:
            if local is not None:
                local.mkdir(parents=True, exist_ok=True)
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

    def _upgraded(self, table: DeltaTable) -> DeltaTable:
        """Return a table that an earlier version may have made, with the columns of now; else CommitFailedError."""
        deadline = time.monotonic() + _PATIENCE
        while is_of_before(table, self.schema):
            with self.write():
                try:
                    upgrade(table, self.schema)
                except CommitFailedError as error:  # another process may have done the same just now
                    _pause(error, deadline)
                    table = self.load()
        return table

    @property
    def same_key(self) -> str:
        """When a stored row ``t`` and a new one ``s`` have the same key."""
        return " AND ".join(f"t.{name} = s.{name}" for name in (*self.partition_by, *self.key))

    def merge(
        self,
        rows: pa.Table,
        *,
        within: str,
        compared: Iterable[str] = (),
        or_where: str = "",
        opened: DeltaTable | None = None,
    ) -> Upserted:
        """Insert the rows whose key is not there, and update those that differ. Atomic.

        Args:
            rows: columns of ``schema``, no two of one key.
            within: what is true of all stored rows ``t`` of these keys: other files are not read.
            compared: the columns in which a row has to differ to be replaced; none: it stays.
            or_where: what else has it replaced, of the stored row ``t`` and the new one ``s``.
            opened: the table, if it was opened just now; after a write conflict it is opened anew.

        Raises:
            CommitFailedError: write conflicts persisted for 60 s.
        """
        differ = (*(f"t.{name} IS DISTINCT FROM s.{name}" for name in compared), or_where)
        differs = " OR ".join(f"({each})" for each in differ if each)
        deadline = time.monotonic() + _PATIENCE
        while True:
            check_space(self.location, rows.nbytes)
            try:
                with self.write():
                    given, opened = opened, None
                    table = self.open_or_create() if given is None else self._upgraded(given)
                    merger = table.merge(
                        rows,
                        predicate=f"{self.same_key} AND {within}",
                        source_alias="s",
                        target_alias="t",
                        writer_properties=PROPERTIES,
                    )
                    if differs:
                        merger = merger.when_matched_update_all(predicate=differs)
                    done = merger.when_not_matched_insert_all().execute()
                return Upserted(done["num_target_rows_inserted"], done["num_target_rows_updated"], table.version())
            except CommitFailedError as error:
                _pause(error, deadline)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Name the file of the table that is damaged or gone where reading its files fails in the block."""
        try:
            yield
        except duckdb.Error as error:
            self.check(error)
            raise

    def ask(
        self, statement: str, files: Sequence[str], connection: duckdb.DuckDBPyConnection | None = None, **values: Any
    ) -> duckdb.DuckDBPyRelation:
        """Answer a statement of sql/ from some files of the table, its parameter ``files``; held in memory."""
        connection = connection or sql.connect()
        with self.read():
            asked = connection.sql(sql.load(f"store/sql/{statement}"), params={"files": patterns(files), **values})
            return asked.materialize()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Write in the block, beside other writers; the errors of delta-rs are translated."""
        try:
            with writing(self.location):
                yield
        except CommitFailedError:
            raise
        except DeltaError as error:
            self._raise(error)

    def _raise(self, error: BaseException | None) -> NoReturn:
        """Raise a StoreError that says in plain words why the table cannot be used."""
        if refused := is_refused(self.location, error):
            raise refused from error
        self.check(error)
        raise cannot_be_used(self.location, error) from error


@contextmanager
def opened_once() -> Iterator[None]:
    """Open each table once in the block, in this thread, and anew only where somebody else has written since.

    To open one takes as long as to read it. What is damaged meanwhile, but for the newest commit, is found next time.
    Blocks within the block share what it has opened.
    """
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _pause(conflict: CommitFailedError, deadline: float) -> None:
    """Wait a moment, or raise the conflict if the deadline is over."""
    if time.monotonic() > deadline:
        raise conflict
    time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter


def _is_of_delta(error: BaseException) -> bool:
    """Say whether an error comes from delta-rs: also where it panics over a damaged file, which is no Exception."""
    return isinstance(error, DeltaError | OSError) or type(error).__name__ == "PanicException"
