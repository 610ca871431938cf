"""The log of a Delta table, read without delta-rs: its commits, its checkpoints, the files that belong to the table.

delta-rs says that something is damaged but not which file, and takes a commit that was cut between two of its lines for
a whole one. What is wrong with a data file is found in damage.py. A file that is there and cannot be read is an error,
OSError: nothing is known of the table then.

Which version of each table was published last is noted in a small file of the data folder by who publishes. The log
itself cannot tell that it has lost its newest commits, since whoever writes next gives the same numbers again.

The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableLocation
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.store.damage import (
    LOG,
    NO_FILE,
    Action,
    Damage,
    Kind,
    check_access,
    data_files,
    files_in,
    is_no_folder,
    named,
    rows_in,
    unreadable,
)

LAST_CHECKPOINT = "_last_checkpoint"

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet|(\d{20})\.checkpoint\.parquet")

_CHECKPOINTED = """
SELECT add, remove, metaData, protocol FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
"""

_COUNTS = (  # of files added and removed, as delta-rs calls them: merge, optimize, delete
    ("num_target_files_added", "num_target_files_removed"),
    ("numFilesAdded", "numFilesRemoved"),
    ("num_added_files", "num_removed_files"),
)


@dataclass
class Log:
    """The log of the table in a folder, as far as it can be read.

    Attributes:
        commits: the commits that are there, by version.
        checkpoints: the files of each checkpoint that is there, by version.
        live: by path, the action that added each file that belongs to the table.
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

    def note(self, kind: Kind, file: str, what: str, action: Action | None = None) -> None:
        """Note what is wrong with a file, relative to the table's folder."""
        self.damages.append(Damage(self.folder.name, kind, file, what, action))


def examine(folder: Path, published: int = -1, *, thorough: bool = True) -> list[Damage]:
    """Return what is wrong with the table in a folder, the worst first; nothing where there is no table.

    Args:
        folder: the table's folder.
        published: the newest version that is known to have been published, -1 where none is.
        thorough: read each data file to its end, as unreadable() does.
    """
    log = read_log(folder, published)
    for path, action in sorted(log.live.items()):
        problem = unreadable(log.folder / path, action, thorough=thorough)
        if problem:
            rows = rows_in(action)
            lost = "what was in it" if rows is None else f"{rows:,} row{'' if rows == 1 else 's'}"
            log.note(Kind.DATA, path, f"{problem}, and with it {lost}", action)
    return sorted(log.damages, key=lambda damage: damage.kind)


def read_log(folder: Path, published: int = -1) -> Log:
    """Read a table's log as far as it can be read, and note what is wrong with it.

    The newest version that is known to have been published is asked for before the log is read, which only grows.
    """
    log = Log(folder, published=published)
    for file in files_in(folder / LOG):
        if commit := _COMMIT.fullmatch(file.name):
            log.commits[int(commit[1])] = file
        elif checkpoint := _CHECKPOINT.fullmatch(file.name):
            log.checkpoints.setdefault(int(checkpoint[1] or checkpoint[2]), []).append(file)
    if is_no_folder(folder):
        log.note(Kind.LOG, LOG, "is gone: where the table's folder was is a file, or a link that leads nowhere")
        return log
    if log.newest < 0:
        if log.published >= 0 or any(data_files(folder)):
            log.note(Kind.LOG, LOG, "is gone or empty, and with it which rows count")
        return log
    base = _apply_checkpoint(log)
    _check_hint(log)
    for version in range(base + 1, max(log.commits, default=base) + 1):
        if version not in log.commits:
            log.note(Kind.LOG, f"{LOG}/{version:020}.json", "is gone, and with it what was stored then")
            continue
        actions, problem = read_commit(log.commits[version])
        _apply(log, actions)
        if problem:
            log.note(Kind.LOG, f"{LOG}/{version:020}.json", problem)
    if log.newest < log.published:
        what = f"is gone, and with it what was stored then: version {log.published} was published"
        log.note(Kind.LOG, f"{LOG}/{log.newest + 1:020}.json", what)
    return log


def read_commit(file: Path) -> tuple[list[Action], str | None]:
    """Return the actions of a commit, as far as they can be read, and what is wrong with it, in plain words."""
    lost = "and with it what was stored then"
    try:
        with named(file):
            content = file.read_bytes()
    except NO_FILE:
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


def is_whole(folder: Path, version: int) -> bool:
    """Say whether the commit of a version is whole, or not there: delta-rs takes one that was cut for a whole one."""
    commit = _commit(folder, version)
    return not commit.exists() or read_commit(commit)[1] is None


def ends_with(folder: Path, version: int) -> bool:
    """Say whether the log of a table ends with a version, -1 where there is no log."""
    if version < 0:
        return not (folder / LOG).exists()
    return _commit(folder, version).exists() and not _commit(folder, version + 1).exists()


def _commit(folder: Path, version: int) -> Path:
    return folder / LOG / f"{version:020}.json"


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
                check_access(file, error)
            name = f"{LOG}/{files[0].name}"
            log.note(Kind.CHECKPOINT, name, "is damaged, and with it a summary of the log up to then")
            continue
        if base < 0:
            base = version
            _apply(log, rows)
    if log.damages and (base < 0 and 0 not in log.commits):
        log.note(Kind.LOG, LOG, "is incomplete: what was before that checkpoint is recorded nowhere else")
    return base


def _rows_of_checkpoint(files: list[Path]) -> list[Action]:
    rows = sql.connect().execute(_CHECKPOINTED, {"files": [sql.only(file) for file in files]}).fetchall()
    kinds = ("add", "remove", "metaData", "protocol")
    actions = [{name: value for name, value in zip(kinds, row, strict=True) if value is not None} for row in rows]
    if not any("metaData" in action for action in actions):
        raise duckdb.InvalidInputException("no metadata in it")
    return actions


def _check_hint(log: Log) -> None:
    """Look at the file that says which checkpoint is the newest: delta-rs believes it."""
    file = log.folder / LOG / LAST_CHECKPOINT
    if not file.exists():
        return
    name, version = f"{LOG}/{LAST_CHECKPOINT}", None
    with suppress(*NO_FILE, ValueError, TypeError, KeyError), named(file):
        version = int(json.loads(file.read_bytes())["version"])
    if version is None:
        log.note(Kind.CHECKPOINT, name, "is empty or damaged; nothing is lost by that")
    elif version not in log.checkpoints:
        what = f"names the checkpoint of version {version}, which is gone; nothing is lost while its commits are there"
        log.note(Kind.CHECKPOINT, name, what)
        if 0 not in log.commits and not any(older <= version for older in log.checkpoints):
            log.note(Kind.LOG, LOG, "is incomplete without that checkpoint")


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


def published_version(table: TableLocation) -> int:
    """Return the newest version of a table that was published, -1 where none is known."""
    kept = kept_in(table.folder.state / StateFile.PUBLISHED_VERSIONS).get(table.name)
    return kept if isinstance(kept, int) and 0 <= kept < 2**53 else -1


def note_published(folder: DataFolder, versions: Mapping[str, int]) -> None:
    """Note by its name which version of each table was published; of a negative one (none) what is known stays."""
    known = {
        name: version if version >= 0 else published_version(folder.table(name)) for name, version in versions.items()
    }
    with suppress(OSError):  # what is published is published
        write_text(folder.state / StateFile.PUBLISHED_VERSIONS, json.dumps(known))
