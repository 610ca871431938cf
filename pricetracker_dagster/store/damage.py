"""What is wrong with a Delta table on disk: commits, checkpoints, the files they name. Found by reading alone.

A file that this user may not read, or that the disk does not give, is not damaged for that: it is an OSError, and
nothing is known of the table.

The log is read here without delta-rs, which says that something is damaged but not which file, and takes a commit that
was cut between two of its lines for a whole one. How it is mended is in repair.py.

The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb

from pricetracker_dagster import sql

LOG = "_delta_log"
LAST_CHECKPOINT = "_last_checkpoint"

REBUILD = "_rebuild"
"""Folder of a table in which a repair makes ready what it puts in."""

Action = dict[str, Any]
"""What a commit says of one file, as the log has it."""

_SQL = Path(__file__).parent / "sql"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet|(\d{20})\.checkpoint\.parquet")
_MAGIC = b"PAR1"

_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What is raised where there is no file to read. Any other OSError tells nothing of what is in it."""

_COUNTS = (  # of files added and removed, as delta-rs calls them: merge, optimize, delete
    ("num_target_files_added", "num_target_files_removed"),
    ("numFilesAdded", "numFilesRemoved"),
    ("num_added_files", "num_removed_files"),
)


class Kind(Enum):
    """Which part of a table is damaged, since each is mended in its own way."""

    LOG = "log"
    CHECKPOINT = "checkpoint"
    DATA = "data"


@dataclass(frozen=True)
class Damage:
    """One file of a table that is damaged or gone.

    Attributes:
        table: name of the table.
        kind: which part of it.
        file: the file, relative to the table's folder.
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


@dataclass
class Log:
    """The log of a table, as far as it can be read.

    Attributes:
        folder: the table's folder.
        commits: the commits that are there, by version.
        checkpoints: the checkpoints that are there, by version.
        live: by path, what was said of each file that belongs to the table.
        removed: paths of files that were replaced.
        published: the newest version that was ever published, -1 where none is known.
        damages: what is wrong with the log itself.
    """

    folder: Path
    commits: dict[int, Path] = field(default_factory=dict)
    checkpoints: dict[int, list[Path]] = field(default_factory=dict)
    live: dict[str, Action] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    published: int = -1
    damages: list[Damage] = field(default_factory=list)

    @property
    def newest(self) -> int:
        """The newest version that is known, -1 of no log."""
        return max([*self.commits, *self.checkpoints], default=-1)


def examine(folder: Path, published: int = -1, *, thorough: bool = True) -> list[Damage]:
    """Return what is wrong with the table in a folder; nothing where there is no table.

    Args:
        folder: the table's folder.
        published: the newest version that is known to have been published, -1 where none is.
        thorough: read each data file to its end; else look only at its size and its ends.

    Raises:
        OSError: a file that is there cannot be read.
    """
    log = read_log(folder, published)
    return [*log.damages, *_of_data(log, thorough=thorough)]


def read_log(folder: Path, published: int = -1) -> Log:
    """Read a table's log as far as it can be read, and note what is wrong with it.

    Args:
        folder: the table's folder.
        published: the newest version that is known to have been published; it is asked for before the log is read,
            which only grows.

    Raises:
        OSError: a file of it that is there cannot be read.
    """
    log = Log(folder, published=published)
    for file in _files_in(folder / LOG):
        if commit := _COMMIT.fullmatch(file.name):
            log.commits[int(commit[1])] = file
        elif checkpoint := _CHECKPOINT.fullmatch(file.name):
            log.checkpoints.setdefault(int(checkpoint[1] or checkpoint[2]), []).append(file)
    if is_no_folder(folder):
        what = "is gone: where the table's folder was is a file, or a link that leads nowhere"
        log.damages.append(_damage(log, Kind.LOG, LOG, what))
        return log
    if log.newest < 0:
        if log.published >= 0 or any(data_files(folder)):
            log.damages.append(_damage(log, Kind.LOG, LOG, "is gone or empty, and with it which rows count"))
        return log
    base = _apply_checkpoint(log)
    _check_hint(log)
    for version in range(base + 1, max(log.commits, default=base) + 1):
        if version not in log.commits:
            name = f"{LOG}/{version:020}.json"
            log.damages.append(_damage(log, Kind.LOG, name, "is gone, and with it what was stored then"))
            continue
        actions, problem = read_commit(log.commits[version])
        _apply(log, actions)
        if problem:
            log.damages.append(_damage(log, Kind.LOG, f"{LOG}/{version:020}.json", problem))
    if log.newest < log.published:
        what = f"is gone, and with it what was stored then: version {log.published} was published"
        log.damages.append(_damage(log, Kind.LOG, f"{LOG}/{log.newest + 1:020}.json", what))
    return log


def read_commit(file: Path) -> tuple[list[Action], str | None]:
    """Return the actions of a commit, as far as they can be read, and what is wrong with it, in plain words.

    Raises:
        OSError: it is there and cannot be read.
    """
    lost = "and with it what was stored then"
    try:
        with _named(file):
            content = file.read_bytes()
    except _NO_FILE:
        return [], f"is gone or no file, {lost}"
    if not content.strip():
        return [], f"is empty, {lost}"
    actions: list[Action] = []
    for line in content.splitlines():
        try:
            action = json.loads(line)
        except ValueError:  # UnicodeDecodeError is one
            return actions, f"is damaged or cut short after {len(actions)} lines, {lost}"
        if not isinstance(action, dict):
            return actions, f"is damaged: a line of it is no action, {lost}"
        actions.append(action)
    promised = _promised(actions)
    if promised is not None:
        added, removed = (sum(kind in action for action in actions) for kind in ("add", "remove"))
        if (added, removed) != promised:
            return actions, (
                f"is cut short: it names {added} files added and {removed} replaced instead of "
                f"{promised[0]} and {promised[1]}, {lost}"
            )
    return actions, None


def _promised(actions: Iterable[Action]) -> tuple[int, int] | None:
    """Return how many files a commit says it has added and removed; None where it does not say."""
    for action in actions:
        info = action.get("commitInfo")
        metrics: Any = info.get("operationMetrics") if isinstance(info, dict) else None
        for added, removed in _COUNTS:
            with suppress(KeyError, TypeError, ValueError):
                return int(metrics[added]), int(metrics[removed])
    return None


def _apply_checkpoint(log: Log) -> int:
    """Begin with the newest checkpoint that can be read; return its version, -1 where there is none."""
    base = -1
    for version, files in sorted(log.checkpoints.items(), reverse=True):
        try:
            rows = _rows_of_checkpoint(files)
        except duckdb.Error as error:
            for file in files:
                _check_access(file, error)
            name = f"{LOG}/{files[0].name}"
            what = "is damaged, and with it a summary of the log up to then"
            log.damages.append(_damage(log, Kind.CHECKPOINT, name, what))
            continue
        if base < 0:
            base = version
            _apply(log, rows)
    if log.damages and (base < 0 and 0 not in log.commits):
        what = "is incomplete: what was before that checkpoint stands nowhere else"
        log.damages.append(_damage(log, Kind.LOG, LOG, what))
    return base


def _rows_of_checkpoint(files: list[Path]) -> list[Action]:
    connection = sql.connect()
    rows = connection.execute(
        sql.load(_SQL / "checkpoint.sql"), {"files": [sql.only(file) for file in files]}
    ).fetchall()
    named = ("add", "remove", "metaData", "protocol")
    actions = [{name: value for name, value in zip(named, row, strict=True) if value is not None} for row in rows]
    if not any("metaData" in action for action in actions):
        raise duckdb.InvalidInputException("no metadata in it")
    return actions


def _check_hint(log: Log) -> None:
    """Look at the file that says which checkpoint is the newest: delta-rs believes it."""
    file = log.folder / LOG / LAST_CHECKPOINT
    if not file.exists():
        return
    name, version = f"{LOG}/{LAST_CHECKPOINT}", None
    with suppress(*_NO_FILE, ValueError, TypeError, KeyError), _named(file):
        version = int(json.loads(file.read_bytes())["version"])
    if version is None:
        log.damages.append(_damage(log, Kind.CHECKPOINT, name, "is empty or damaged; nothing is lost by that"))
    elif version not in log.checkpoints:
        what = f"names the checkpoint of version {version}, which is gone; nothing is lost while its commits are there"
        log.damages.append(_damage(log, Kind.CHECKPOINT, name, what))
        if 0 not in log.commits and not any(older <= version for older in log.checkpoints):
            log.damages.append(_damage(log, Kind.LOG, LOG, "is incomplete without that checkpoint"))


def _apply(log: Log, actions: Iterable[Action]) -> None:
    for action in actions:
        added, removed = action.get("add"), action.get("remove")
        if isinstance(removed, dict) and isinstance(removed.get("path"), str):
            path = unquote(removed["path"])
            log.removed.add(path)
            log.live.pop(path, None)
        if isinstance(added, dict) and isinstance(added.get("path"), str):
            path = unquote(added["path"])
            log.live[path] = added
            log.removed.discard(path)


def _of_data(log: Log, *, thorough: bool) -> Iterator[Damage]:
    for path, action in sorted(log.live.items()):
        problem = unreadable(log.folder / path, action, thorough=thorough)
        if problem:
            rows = rows_in(action)
            lost = "what was in it" if rows is None else f"{rows:,} row{'' if rows == 1 else 's'}"
            yield _damage(log, Kind.DATA, path, f"{problem}, and with it {lost}", action)


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
        file: the file.
        action: what the log says of it, where it is to be the file that was written.
        thorough: read it to its end; else look only at its size and its ends.

    Raises:
        OSError: it is there and cannot be read.
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
        with _named(file), file.open("rb") as content:
            begin = content.read(4)
            content.seek(-min(4, found), 2)
            if found < 12 or {begin, content.read(4)} != {_MAGIC}:
                return "is damaged"
        if thorough and not _read_through(file, action or {}):
            return "holds other rows than were written"
    except _NO_FILE:
        return "is gone"
    except duckdb.Error:
        return "is damaged"
    return None


def _read_through(file: Path, action: Action) -> bool:
    """Look at every value of a Parquet file; say whether it holds what the log says of it.

    Raises:
        duckdb.Error: one cannot be decoded.
        OSError: the file cannot be read.
    """
    values = {"file": sql.only(file)}
    rows, minutes = rows_in(action), bounds(action)
    try:
        [(found, *_)] = sql.connect().execute(sql.load(_SQL / "read_through.sql"), values).fetchall()
        if rows is not None and found != rows:
            return False
        if minutes is None:
            return True
        within = sql.connect().execute(sql.load(_SQL / "minutes_in.sql"), values).fetchone()
        return within is not None and all(
            at is not None and abs(at - moment.timestamp()) < 1  # the log keeps milliseconds
            for at, moment in zip(within, minutes, strict=True)
        )
    except duckdb.Error as error:
        _check_access(file, error)
        raise


def _check_access(file: Path, error: duckdb.Error) -> None:
    """Look whether it is the content of a file that DuckDB could not read, or the file.

    Raises:
        OSError: it is there and cannot be read, or there is no memory to read it.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(file)) from error
    with suppress(*_NO_FILE), _named(file), file.open("rb") as content:
        while content.read(1 << 20):
            pass


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file in an error of reading it: Python names it in one of opening it alone."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


def data_files(folder: Path) -> Iterator[Path]:
    """Return the Parquet files in a table's folder, whether its log names them or not.

    Raises:
        OSError: a folder of it cannot be read.
    """
    for file in _files_in(folder):
        if file.name.startswith(("_", ".")):
            continue
        if file.is_dir():
            yield from data_files(file)
        elif file.suffix == ".parquet" and file.is_file():
            yield file


def is_no_folder(place: Path) -> bool:
    """Say whether something else stands where a folder belongs."""
    return os.path.lexists(place) and not place.is_dir()


def _files_in(folder: Path) -> list[Path]:
    """Return what is in a folder, in the order of names; nothing where there is none.

    Not by glob(), which finds nothing where this user may not look.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except _NO_FILE:
        return []


def first_of(damages: Iterable[Damage]) -> Damage | None:
    """Return the damage to tell of where only one can be: what keeps the table from being opened at all."""
    order: Mapping[Kind, int] = {Kind.LOG: 0, Kind.CHECKPOINT: 1, Kind.DATA: 2}
    return min(damages, key=lambda damage: order[damage.kind], default=None)


def _damage(log: Log, kind: Kind, file: str, what: str, action: Action | None = None) -> Damage:
    return Damage(log.folder.name, kind, file, what, action)
