"""A damaged Delta table made whole again, from whatever of it can still be read.

Here belongs how one table is mended. No row that can be read is lost, and none is doubled: of each key the row of a
file that belongs to the table goes before one of a file that was replaced, and the newest before older ones. The change
appears at once or not at all: as one commit, or as a log that is put in the place of the damaged one. Data files are
never touched.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store.damage import (
    LAST_CHECKPOINT,
    LOG,
    REBUILD,
    Action,
    Damage,
    Kind,
    Log,
    bounds,
    data_files,
    is_no_folder,
    read_log,
    rows_in,
    unreadable,
)
from pricetracker_dagster.store.delta import CONFIGURATION, PROPERTIES, Delta, utc
from pricetracker_dagster.store.schema import SQL_TYPES

_SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Kept:
    """What tells the rows of a table apart.

    Attributes:
        key: the columns of which no two rows have the same values.
        newest_by: the column by which the newest of several is known; None: the newest file.
    """

    key: tuple[str, ...]
    newest_by: str | None = None


@dataclass
class Mended:
    """What was done to a table.

    Attributes:
        said: a line a step, in plain words.
        recovered: how many rows were put back that the table had no more.
        returned: metric and minutes of the rows put back from files that had been replaced; empty of a table without
            minutes. What was corrected since may have been in the lost file alone.
        lost: minutes of which rows may be lost; empty of a table that has none.
        unknown: whether rows of other minutes may be lost, too, since nothing says which were there.
    """

    said: list[str] = field(default_factory=list)
    recovered: int = 0
    returned: list[tuple[str, MinuteRange]] = field(default_factory=list)
    lost: list[MinuteRange] = field(default_factory=list)
    unknown: bool = False


def mend(delta: Delta, kept: Kept, aside: Path, latest: datetime) -> Mended | None:
    """Make a table whole again; None where nothing is wrong with it. Nobody else may write into it meanwhile.

    Args:
        delta: the table.
        kept: what tells its rows apart.
        aside: where what is taken out of use is moved.
        latest: the newest closed minute, UTC; rows after it are not put back.
    """
    shutil.rmtree(delta.path / REBUILD, ignore_errors=True)  # of a repair that was killed
    damages = delta.examine()
    if not damages:
        return None
    log = delta.log()
    mended = Mended()
    for damage in damages:
        minutes = damage.action and bounds(damage.action)
        if minutes:
            mended.lost.append(MinuteRange(*minutes))
        elif damage.kind != Kind.CHECKPOINT:
            mended.unknown = True
    if any(damage.kind == Kind.LOG for damage in damages):
        _rebuild(delta, kept, log, aside, latest, mended)
    else:
        _renew_checkpoints(delta, log, damages, aside, mended)
        of_data = [damage for damage in damages if damage.kind == Kind.DATA]
        if of_data:
            _replace(delta, kept, log, of_data, aside, latest, mended)
    shutil.rmtree(delta.path / REBUILD, ignore_errors=True)
    return mended


def _renew_checkpoints(delta: Delta, log: Log, damages: Iterable[Damage], aside: Path, mended: Mended) -> None:
    """Set damaged checkpoints aside and write a new one: the commits say the same."""
    files = [delta.path / damage.file for damage in damages if damage.kind == Kind.CHECKPOINT]
    if not files:
        return
    parts = [part for parts in log.checkpoints.values() for part in parts if set(parts) & set(files)]
    for file in dict.fromkeys([*files, *parts, delta.path / LOG / LAST_CHECKPOINT]):
        move(file, aside / LOG / file.name)
    DeltaTable(delta.path).create_checkpoint()
    mended.said.append("damaged checkpoints were set aside and a new one was written")


def _replace(
    delta: Delta,
    kept: Kept,
    log: Log,
    damages: Sequence[Damage],
    aside: Path,
    latest: datetime,
    mended: Mended,
) -> None:
    """Take damaged data files out of the log and put in what replaced files say of their rows, in one commit."""
    bad = {damage.file for damage in damages}
    astray = _astray(delta, bad)
    scratch = _Scratch(delta, kept)
    for partition in sorted({_partition(file) for file in bad}):
        rows = _rows(delta, kept, log, partition, bad, astray, latest, only_absent=True)
        mended.returned += _of_files(delta, rows, set(rows["_file"].to_pylist()))
        scratch.write(rows)
    added = scratch.take_over()
    now = int(datetime.now(UTC).timestamp() * 1000)
    actions: list[AddAction | RemoveAction] = [_add(action) for action in added]
    for damage in damages:
        action: Action = damage.action or {}
        # as the log has it, which names files as URLs do
        actions.append(RemoveAction(action["path"], True, now, action.get("size"), action.get("partitionValues")))
    table = DeltaTable(delta.path)
    table.create_write_transaction(actions, "append", table.schema(), list(delta.partition_by))
    for file in bad:
        if (delta.path / file).exists():
            move(delta.path / file, aside / file)
    mended.recovered = sum(rows_in(action) or 0 for action in added)
    mended.said.append(
        f"{len(bad)} data {'file' if len(bad) == 1 else 'files'}, gone or damaged, taken out of the log; "
        f"{mended.recovered:,} rows put back from files that had been replaced"
    )


def _rebuild(delta: Delta, kept: Kept, log: Log, aside: Path, latest: datetime, mended: Mended) -> None:
    """Write a new log over what can be read, beside the damaged one, and put it in its place."""
    if is_no_folder(delta.path):
        move(delta.path, aside / delta.name)
    files = {file.relative_to(delta.path).as_posix(): file for file in data_files(delta.path)}
    bad = {name for name, file in files.items() if unreadable(file, log.live.get(name))}
    astray = _astray(delta, bad)
    scratch = _Scratch(delta, kept)
    stay: list[Action] = []
    before = after = 0
    for partition in sorted({_partition(name) for name in files}):
        live = [name for name in log.live if _partition(name) == partition and name in files and name not in bad]
        rows = _rows(delta, kept, log, partition, bad, astray, latest, only_absent=False)
        counts = [rows_in(log.live[name]) for name in live]
        counted = sum(count or 0 for count in counts)
        before += counted
        after += rows.num_rows
        if None not in counts and rows.num_rows == counted and not _changes(rows, live):
            stay += [log.live[name] for name in live]
        else:
            mended.returned += _of_files(delta, rows, log.removed | astray)
            scratch.write(rows)
    scratch.take_over()
    new = scratch.log_with(stay, max(log.newest, log.published) + 1)
    if (delta.path / LOG).exists():
        move(delta.path / LOG, aside / LOG)
    new.rename(delta.path / LOG)
    sync(delta.path)
    for name in bad:
        move(delta.path / name, aside / name)
    mended.recovered = max(0, after - before)
    mended.said.append(f"its log was set aside and a new one written over the {after:,} rows that can be read")


def _changes(rows: pa.Table, live: Sequence[str]) -> bool:
    """Say whether a row is not in a file that belongs to the table already."""
    connection = sql.connect()
    connection.register("rows", rows)
    [(count,)] = connection.execute(sql.load(_SQL / "rebuild_changes.sql"), {"live": list(live)}).fetchall()
    return bool(count)


def _astray(delta: Delta, bad: Iterable[str]) -> set[str]:
    """Return which of the files that are not what was written are whole ones of this table all the same.

    Whoever copied one over another has left its rows nowhere else, maybe.
    """
    named = {name for name in delta.schema.names if name not in delta.partition_by}
    return {name for name in bad if unreadable(delta.path / name) is None and _columns(delta.path / name) == named}


def _columns(file: Path) -> set[str]:
    found = sql.connect().execute(sql.load(_SQL / "columns.sql"), {"file": sql.only(file)})
    return {column[0] for column in found.description or ()}


def _of_files(delta: Delta, rows: pa.Table, files: Iterable[str]) -> list[tuple[str, MinuteRange]]:
    """Return of which metrics and minutes the rows are that come from some files."""
    if not delta.partition_by:
        return []
    connection = sql.connect()
    connection.register("rows", rows)
    found = connection.execute(sql.load(_SQL / "rebuild_returned.sql"), {"files": list(files)}).fetchall()
    return [(metric, MinuteRange(utc(first), utc(last))) for metric, first, last in found]


def _rows(
    delta: Delta,
    kept: Kept,
    log: Log,
    partition: str,
    bad: set[str],
    astray: set[str],
    latest: datetime,
    *,
    only_absent: bool,
) -> pa.Table:
    """Return the rows of a partition, one a key, with the file that each is from in the column ``_file``.

    With ``only_absent`` those alone of which the files that belong to the table have none. Files that went astray
    belong to no partition, so each gets what is its own.
    """
    names = [file.relative_to(delta.path).as_posix() for file in data_files(delta.path)]
    names = [
        name
        for name in names
        if name in astray or (_partition(name) == partition and name not in bad and _readable(delta.path / name))
    ]
    # where the log can be trusted, what it does not name was never committed: it speaks only where nothing else does
    live = log.live.keys() - astray
    former = set(names if only_absent else log.removed)
    ours = [name for name in names if name in live or name not in former]
    files = [
        {
            "filename": str(delta.path / name),
            "name": name,
            "live": name in live,
            "written": _written(delta.path / name, log.live.get(name)),
        }
        for name in names
    ]
    # names of our own columns and paths, which no parameter can stand for
    parts = {
        "$ours": _source(delta, ours),
        "$former": _source(delta, [name for name in names if name not in ours]),
        "$key": ", ".join(f'"{name}"' for name in kept.key),
        "$newest_by": f'"{kept.newest_by}"' if kept.newest_by else "written",
        "$minute": '"minute"' if delta.partition_by else "NULL::TIMESTAMPTZ",
    }
    day = partition.rpartition("=")[2] if delta.partition_by else None
    statement = sql.load(_SQL / "rebuild_rows.sql")
    for name, text in parts.items():
        statement = statement.replace(name, text)
    values: dict[str, Any] = {"files": files, "only_absent": only_absent, "latest": latest, "day": day}
    return sql.connect().sql(statement, params=values).to_arrow_table()


def _source(delta: Delta, names: Sequence[str]) -> str:
    """Return a selection of the table's columns, and ``filename``, from some of its data files."""
    types = {field.name: _type(field.type) for field in delta.schema}
    if not names:
        empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items())
        return f"(SELECT {empty}, NULL::VARCHAR AS filename WHERE false)"
    paths = ", ".join("'" + sql.only(delta.path / name).replace("'", "''") + "'" for name in names)
    source = f"read_parquet([{paths}], filename = true, union_by_name = true, hive_partitioning = false)"
    there = {name for (name, *_) in sql.connect().execute(f"DESCRIBE FROM {source}").fetchall()}
    columns = [
        f'"{name}"::{kind} AS "{name}"'
        if name in there
        else f'"minute"::{kind} AS "{name}"'  # Delta keeps the partition in the path: the UTC day
        if name in delta.partition_by
        else f'NULL::{kind} AS "{name}"'
        for name, kind in types.items()
    ]
    return f"(SELECT {', '.join(columns)}, filename FROM {source})"  # noqa: S608 - our own columns and paths


def _type(kind: pa.DataType) -> str:
    return "DATE" if kind == pa.date32() else SQL_TYPES[kind]


def _readable(file: Path) -> bool:
    return unreadable(file) is None


def _partition(name: str) -> str:
    return name.rpartition("/")[0]


def _written(file: Path, action: Action | None) -> int:
    """Return when a file was written, Unix milliseconds."""
    if action is not None and isinstance(action.get("modificationTime"), int):
        return int(action["modificationTime"])
    return file.stat().st_mtime_ns // 1_000_000


def _add(action: Action) -> AddAction:
    return AddAction(
        action["path"],
        int(action["size"]),
        dict(action.get("partitionValues") or {}),
        int(action.get("modificationTime") or 0),
        True,
        action.get("stats") or "{}",
    )


class _Scratch:
    """A table beside the damaged one, in its folder, in which what is to be put in is made ready.

    Args:
        delta: the damaged one.
        kept: what tells its rows apart.
    """

    def __init__(self, delta: Delta, kept: Kept) -> None:
        self._delta = delta
        self._key = kept.key
        self._folder = delta.path / REBUILD
        DeltaTable.create(
            self._folder,
            schema=delta.schema,
            partition_by=list(delta.partition_by),
            name=delta.name,
            description=delta.description,
            configuration=CONFIGURATION,
        )

    def write(self, rows: pa.Table) -> None:
        """Write rows as a file."""
        if rows.num_rows:
            rows = rows.select(self._delta.schema.names).cast(self._delta.schema)
            # not write_deltalake(), which panics over a "[" in the path; no two rows have the same key
            same_key = " AND ".join(f"t.{name} = s.{name}" for name in self._key)
            merger = DeltaTable(self._folder).merge(
                rows, predicate=same_key, source_alias="s", target_alias="t", writer_properties=PROPERTIES
            )
            merger.when_not_matched_insert_all().execute()

    def take_over(self) -> list[Action]:
        """Move the files that were written into the table's folder, where no log names them yet; return the actions."""
        actions = read_log(self._folder).live
        for name in actions:
            to = self._delta.path / name
            to.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / name).rename(to)
            sync(to)
            sync(to.parent)
        return list(actions.values())

    def log_with(self, stay: Sequence[Action], version: int) -> Path:
        """Return a folder with a log that names the files written and those that stay, and nothing before a version.

        Versions go on where the old log ended: who has remembered one takes no other state for it.
        """
        table = DeltaTable(self._folder)
        table.create_write_transaction(
            [_add(action) for action in stay], "append", table.schema(), list(self._delta.partition_by)
        )
        table = DeltaTable(self._folder)
        table.create_checkpoint()
        old, new = self._folder / LOG, self._folder / "new_log"
        new.mkdir()
        for end in (".json", ".checkpoint.parquet"):
            (old / f"{table.version():020}{end}").rename(new / f"{version:020}{end}")
        hint = json.loads((old / LAST_CHECKPOINT).read_text(encoding="utf-8"))
        (new / LAST_CHECKPOINT).write_text(json.dumps(hint | {"version": version}), encoding="utf-8")
        for file in (*new.iterdir(), new):
            sync(file)
        return new


def move(file: Path, to: Path) -> None:
    """Move a file or folder out of the way; where it is gone there is nothing to move."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        shutil.move(file, to)
