"""Parquet files of the prices that are written here and not by delta-rs, and how they become part of the table.

A file is written beside the others first and belongs to the table once the log names it: whoever is killed in between
leaves a file that nobody reads and that maintenance deletes after a week. delta-rs takes such a commit for an append to
which nothing can be contrary; so it is refused here where anybody has written since the table was opened, until it is
certain that what was read then still holds.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from pricetracker_dagster.candles.minutes import utc
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.live_files import PARTITION, sizes
from pricetracker_dagster.store.writing import COUNTED, ROW_GROUP, STEADY

_PATIENCE = 60.0
"""Seconds in which a commit is tried again while others write."""

_BUFFER = 1 << 16
"""Bytes of a file that are written at once."""

_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": [*COUNTED],
    "column_encoding": dict.fromkeys(STEADY, "DELTA_BINARY_PACKED"),
    "store_schema": False,
}

_INDEXED: dict[str, Any] = {"data_page_size": 1 << 16, "write_page_index": True}
"""Pages of 8,000 prices, and where each lies: those of other metrics are not even unpacked for one."""


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a UTC day that is written and belongs to no table yet.

    Attributes:
        path: relative to the table's folder.
        size: bytes.
        first: its oldest minute, Unix seconds; ``last`` its newest.
        metrics: its first and its last metric by name.
    """

    path: str
    day: date
    size: int
    rows: int
    first: int
    last: int
    metrics: tuple[str, str]

    def added(self, *, changes: bool) -> AddAction:
        """Return the action that adds it; ``changes`` says whether it brings rows that the table did not have."""
        minutes = [f"{utc(unix).isoformat()[:19]}.000Z" for unix in (self.first, self.last)]
        statistics = {
            "numRecords": self.rows,
            "minValues": {"metric": self.metrics[0], "minute": minutes[0]},
            "maxValues": {"metric": self.metrics[1], "minute": minutes[1]},
            "nullCount": {"metric": 0, "minute": 0},
        }
        return AddAction(
            self.path,
            self.size,
            {PARTITION: self.day.isoformat()},
            int(time.time() * 1000),
            changes,
            json.dumps(statistics),
        )


def write_file(
    prices: Delta,
    schema: pa.Schema,
    day: date,
    parts: Iterable[pa.Table],
    level: int,
    mark: str = "00000",
    *,
    indexed: bool = False,
) -> DataFile:
    """Write candles of a UTC day into a new file in the folder of a table that is on this machine.

    Args:
        prices: the table.
        schema: as file_schema() returns it.
        day: the day of all rows.
        parts: the rows, columns of SCHEMA, of all parts together in the order of metric and minute, at least one.
        level: of compression, 1 to 22.
        mark: part of the file's name, by which marked_with() knows it.
        indexed: whether it says where each page lies, for who looks up one of many metrics.
    """
    path = f"{PARTITION}={day.isoformat()}/part-{mark}-{uuid4()}-c000.zstd.parquet"
    file = prices.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    rows, first, last = 0, 2**62, -(2**62)
    metrics: list[str] = []
    options = _OPTIONS | (_INDEXED if indexed else {})
    try:
        # through a buffer: a small file is one write, where each page would be one, and its name is not looked up twice
        with (
            pa.OSFile(str(file), "wb") as plain,
            pa.BufferedOutputStream(plain, _BUFFER) as sink,
            pq.ParquetWriter(sink, schema, **options, compression_level=level) as writer,
        ):
            for part in parts:
                if part.num_rows:
                    same = part.schema.equals(schema)
                    writer.write_table(part if same else part.cast(schema), row_group_size=ROW_GROUP)
                    rows += part.num_rows
        written = writer.writer.metadata
        for group in range(written.num_row_groups):
            of_metric, of_minute = (written.row_group(group).column(column).statistics for column in (0, 1))
            metrics += [of_metric.min_raw.decode(), of_metric.max_raw.decode()]
            first = min(first, of_minute.min_raw // 1_000_000)
            last = max(last, of_minute.max_raw // 1_000_000)
    except BaseException:
        discard(prices, [path])
        raise
    return DataFile(path, day, file.stat().st_size, rows, first, last, (min(metrics), max(metrics)))


def mark_of(rows: pa.Table, filled: "np.ndarray[Any, np.dtype[np.bool_]]") -> str:
    """Return a digest of what rows of one metric say, but for when they were obtained, and of which were filled in.

    It stands in the names of files that earlier versions wrote, so it stays as it is.
    """
    digest = hashlib.blake2b(str(rows.column("metric")[0].as_py()).encode(), digest_size=16)
    for name in rows.column_names:
        if name not in ("metric", "fetched_at"):
            for cells in rows.column(name).chunks:  # of eight bytes each, whatever the column
                digest.update(cells.buffers()[1].slice(8 * cells.offset, 8 * len(cells)))
    digest.update(np.packbits(filled).data)
    return digest.hexdigest()


def marked_with(path: str, mark: str) -> bool:
    """Say whether a file was written with a mark."""
    return path.rpartition("/")[2].startswith(f"part-{mark}-")


def file_schema(table: DeltaTable) -> pa.Schema:
    """Return the columns of the files of a table of prices: SCHEMA, NULL where the table allows it."""
    nullable = {field.name: field.nullable for field in table.schema().fields}
    return pa.schema([pa.field(field.name, field.type, nullable.get(field.name, True)) for field in SCHEMA])


def discard(prices: Delta, paths: Iterable[str]) -> None:
    """Delete files that belong to no table."""
    for path in paths:
        with suppress(OSError):
            (prices.path / path).unlink()


def commit(
    prices: Delta,
    table: DeltaTable,
    added: Iterable[DataFile],
    replaced: Mapping[str, str],
    holds: Callable[[DeltaTable], bool],
    *,
    changes: bool,
) -> int | None:
    """Add files to a table, and take those that they replace out of it: all of it or nothing.

    Args:
        prices: the table.
        table: the same, opened; what is committed follows from what it was then.
        added: files that write_file() has written.
        replaced: path and UTC day of the files that are taken out.
        holds: says of the table as it is now, where others have written since, whether what was read still holds.
        changes: False: the rows are the same as before.

    Returns:
        The version that has them; None: it does not hold any more, and nothing was committed.

    Raises:
        CommitFailedError: others were faster for 60 s.
    """
    files = list(added)
    actions: list[Any] = [file.added(changes=changes) for file in files]
    now = int(time.time() * 1000)
    actions += [RemoveAction(path, changes, now, None, {PARTITION: day}) for path, day in replaced.items()]
    counts = {"num_added_files": len(actions) - len(replaced), "num_removed_files": len(replaced)}
    # the counts are how a commit that was cut short is known, see log.py
    told = CommitProperties(custom_metadata={"operationMetrics": counts}, max_commit_retries=0)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            table.create_write_transaction(actions, "append", table.schema(), [PARTITION], commit_properties=told)
        except CommitFailedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.0, 0.02))  # noqa: S311 - jitter
            table = prices.load()
            if {file.path for file in files} & sizes(table).keys():  # it was committed, and its answer was lost
                return table.version()
            if not holds(table):
                return None
        else:
            return table.version() + 1
