"""Delta tables whatever they hold: opened, made where absent, merged into beside other writers.

What is in them belongs to prices.py and records.py.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError, TableNotFoundError

_CONFIGURATION = {
    # Readers are given Parquet files by name and never read an old version of the log, so it need not be long:
    # listing it is part of every commit, and a tick commits 1,440 times a day.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "100",
}

_PATIENCE = 60.0
"""Seconds in which a commit that others overtook is tried again."""

PROPERTIES = WriterProperties(compression="ZSTD")


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
        path: its folder.
        schema: its columns.
        description: what it holds, for people.
        partition_by: its partition columns.
    """

    path: Path
    schema: pa.Schema
    description: str
    partition_by: tuple[str, ...] = ()

    def open(self) -> DeltaTable | None:
        """Open it; None where nothing was ever stored."""
        try:
            return DeltaTable(self.path)
        except TableNotFoundError:
            return None

    def open_or_create(self) -> DeltaTable:
        """Open it; create it where it is not there yet."""
        table = self.open()
        if table is not None:
            return table
        self.path.mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(
            self.path,
            schema=self.schema,
            mode="ignore",  # another process may have been faster
            partition_by=list(self.partition_by),
            name=self.path.name,
            description=self.description,
            configuration=_CONFIGURATION,
        )

    def merge(self, rows: pa.Table, *, same_key: str, differs: str | None) -> Upserted:
        """Insert the rows whose key is not there, and update those that differ. Atomic.

        Args:
            rows: columns of ``schema``, no two of one key.
            same_key: when a stored row ``t`` and a new one ``s`` have the same key.
            differs: when the stored one is replaced; None: never.

        Raises:
            CommitFailedError: others were faster for a whole minute.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            table = self.open_or_create()
            merger = table.merge(
                rows, predicate=same_key, source_alias="s", target_alias="t", writer_properties=PROPERTIES
            )
            if differs is not None:
                merger = merger.when_matched_update_all(predicate=differs)
            try:
                done = merger.when_not_matched_insert_all().execute()
            except CommitFailedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter
            else:
                return Upserted(done["num_target_rows_inserted"], done["num_target_rows_updated"], table.version())


def files_of(table: DeltaTable, bounds: Sequence[tuple[str, str, date | datetime]] = ()) -> list[str]:
    """Return the live Parquet files of one version of a table, as absolute paths.

    With bounds, e.g. ``("minute", ">=", moment)``, only those that may hold such rows, by the statistics in the log.
    """
    # delta-rs names them as URLs do, with %20 for a space
    return sorted(map(unquote, table.file_uris(file_pruning_predicate=list(bounds) or None)))


def literal(unix: int) -> str:
    """Write a moment, Unix seconds, as a predicate takes it."""
    return f"arrow_cast({unix * 1_000_000}, 'Timestamp(Microsecond, Some(\"UTC\"))')"


def utc(unix: float) -> datetime:
    """Return the moment of Unix seconds, UTC."""
    return datetime.fromtimestamp(unix, UTC)
