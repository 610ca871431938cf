"""What is wrong with one file of a Delta table, found by reading alone: data files at their ends and through.

A file that this user may not read, or that the disk does not give, is not damaged for that: it is an OSError, and
nothing is known of the table. How a table's log is read is in log.py, how a table is mended in repairing/.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import duckdb

from pricetracker_dagster import sql

LOG = "_delta_log"

Action = dict[str, Any]
"""What a commit says of one file, as the log has it."""

_READ_THROUGH = "SELECT count(*), bit_xor(hash(COLUMNS(*))) FROM read_parquet($file, hive_partitioning = false)"
"""Looks at every value of a Parquet file: what cannot be decoded is an error."""

_MINUTES = "SELECT epoch(min(minute)), epoch(max(minute)) FROM read_parquet($file, hive_partitioning = false)"

_MAGIC = b"PAR1"

NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What is raised where there is no file to read. Any other OSError tells nothing of what is in it."""


class Kind(IntEnum):
    """Which part of a table is damaged, the worst first: without its log a table cannot be opened at all."""

    LOG = 1
    CHECKPOINT = 2
    DATA = 3


@dataclass(frozen=True)
class Damage:
    """One file of a table that is damaged or gone.

    Attributes:
        file: relative to the table's folder.
        what: what is wrong with it, in plain words, as it goes on after its name.
        action: what the log says of a data file.
    """

    table: str
    kind: Kind
    file: str
    what: str
    action: Action | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Say which file of which table it is, what is wrong and what is lost by it."""
        return f"the table {self.table} is damaged: {self.file} {self.what}"


def rows_in(action: Action) -> int | None:
    """Return how many rows a data file has by the log's statistics; None where it has none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return int(json.loads(action["stats"])["numRecords"])
    return None


def bounds(action: Action) -> tuple[datetime, datetime] | None:
    """Return the first and the last minute of a data file by the log's statistics, UTC; None where it has none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        stats = json.loads(action["stats"])
        low, high = stats["minValues"]["minute"], stats["maxValues"]["minute"]
        return datetime.fromisoformat(low).astimezone(UTC), datetime.fromisoformat(high).astimezone(UTC)
    return None


def unreadable(file: Path, action: Action | None = None, *, thorough: bool = True) -> str | None:
    """Say what is wrong with a Parquet file, as it goes on after its name; None where it can be read.

    Args:
        file: which file.
        action: what the log says of the file that was written, where it is to be that one.
        thorough: read it to its end; else look only at its size and its ends.
    """
    size = (action or {}).get("size")
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        found = status.st_size
        if not found:
            return "is empty"
        if size is not None and found < size:
            return f"is cut short ({found:,} of {size:,} bytes are there)"
        if size is not None and found > size:
            return f"is another file than was written ({found:,} instead of {size:,} bytes)"
        with named(file), file.open("rb") as content:
            begin = content.read(4)
            content.seek(-min(4, found), 2)
            if found < 12 or {begin, content.read(4)} != {_MAGIC}:
                return "is damaged"
        if thorough and not _read_through(file, action or {}):
            return "holds other rows than were written"
    except NO_FILE:
        return "is gone"
    except duckdb.Error:
        return "is damaged"
    return None


def _read_through(file: Path, action: Action) -> bool:
    """Look at every value of a Parquet file; say whether it holds what the log says of it."""
    values = {"file": sql.only(file)}
    rows, minutes = rows_in(action), bounds(action)
    try:
        [(found, *_)] = sql.connect().execute(_READ_THROUGH, values).fetchall()
        if rows is not None and found != rows:
            return False
        if minutes is None:
            return True
        within = sql.connect().execute(_MINUTES, values).fetchone()
        return within is not None and all(
            at is not None and abs(at - moment.timestamp()) < 1  # the log keeps milliseconds
            for at, moment in zip(within, minutes, strict=True)
        )
    except duckdb.Error as error:
        check_access(file, error)
        raise


def check_access(file: Path, error: duckdb.Error) -> None:
    """Find out whether DuckDB could not read the file itself; else its content is what is damaged.

    Raises:
        OSError: it is there and cannot be read, or there is no memory to read it.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(file)) from error
    with suppress(*NO_FILE), named(file), file.open("rb") as content:
        while content.read(1 << 20):
            pass


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Add the file's name to an error of reading it: Python adds it to errors of opening only."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


def data_files(folder: Path) -> Iterator[Path]:
    """Return the Parquet files in a table's folder, whether its log names them or not."""
    for file in files_in(folder):
        if file.name.startswith(("_", ".")):
            continue
        if file.is_dir():
            yield from data_files(file)
        elif file.suffix == ".parquet" and file.is_file():
            yield file


def is_no_folder(place: Path) -> bool:
    """Say whether there is something else where a folder belongs."""
    return os.path.lexists(place) and not place.is_dir()


def files_in(folder: Path) -> list[Path]:
    """Return what is in a folder, in the order of names; nothing where there is none.

    Not by glob(), which finds nothing where this user may not look.
    """
    try:
        return sorted(folder.iterdir())
    except NO_FILE:
        return []
