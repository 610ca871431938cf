"""Which rows of a damaged table can still be read, from whichever of its files.

No row that can be read is lost, and none is doubled: of each key the row of a file that belongs to the table goes
before one of a file that was replaced, and the newest before older ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange, utc
from pricetracker_dagster.store.damage import Action, data_files, unreadable
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.log import Log
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


def rows_of(
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
        if name in astray or (partition_of(name) == partition and name not in bad and _readable(delta.path / name))
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
        "ours": _source(delta, ours),
        "former": _source(delta, [name for name in names if name not in ours]),
        "key": ", ".join(f'"{name}"' for name in kept.key),
        "newest_by": f'"{kept.newest_by}"' if kept.newest_by else "written",
        "minute": '"minute"' if delta.partition_by else "NULL::TIMESTAMPTZ",
    }
    day = partition.rpartition("=")[2] if delta.partition_by else None
    statement = sql.filled(_SQL / "recovered_rows.sql", parts)
    values: dict[str, Any] = {"files": files, "only_absent": only_absent, "latest": latest, "day": day}
    return sql.connect().sql(statement, params=values).to_arrow_table()


def changes(rows: pa.Table, live: Iterable[str]) -> bool:
    """Say whether a row is not in a file that belongs to the table already."""
    return not set(rows["_file"].unique().to_pylist()) <= set(live)


def astray_among(delta: Delta, bad: Iterable[str]) -> set[str]:
    """Return which of the files that are not what was written are whole ones of this table all the same.

    Whoever copied one over another has left its rows nowhere else, maybe.
    """
    named = {name for name in delta.schema.names if name not in delta.partition_by}
    return {name for name in bad if unreadable(delta.path / name) is None and _columns(delta.path / name) == named}


def _columns(file: Path) -> set[str]:
    found = sql.connect().execute(
        "FROM read_parquet($file, hive_partitioning = false) LIMIT 0", {"file": sql.only(file)}
    )
    return {column[0] for column in found.description or ()}


def minutes_from(delta: Delta, rows: pa.Table, files: Iterable[str]) -> list[tuple[str, MinuteRange]]:
    """Return of which metrics and minutes the rows are that come from some files."""
    if not delta.partition_by:
        return []
    connection = sql.connect()
    connection.register("rows", rows)
    found = connection.execute(sql.load(_SQL / "recovered_minutes.sql"), {"files": list(files)}).fetchall()
    return [(metric, MinuteRange(utc(first), utc(last))) for metric, first, last in found]


def _source(delta: Delta, names: Sequence[str]) -> str:
    """Return a selection of the table's columns, and ``filename``, from some of its data files."""
    types = {field.name: _type(field.type) for field in delta.schema}
    # a column that a file does not have is NULL; Delta keeps the partition in the path: the UTC day of the minute
    nothing = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items() if name not in delta.partition_by)
    source = f"(SELECT {nothing}, NULL::VARCHAR AS filename WHERE false)"
    if names:
        paths = ", ".join(sql.literal(sql.only(delta.path / name)) for name in names)
        read = f"read_parquet([{paths}], filename = true, union_by_name = true, hive_partitioning = false)"
        source = f"(FROM {source} UNION ALL BY NAME FROM {read})"
    of = {name: "minute" if name in delta.partition_by else name for name in types}
    columns = ", ".join(f'"{of[name]}"::{kind} AS "{name}"' for name, kind in types.items())
    return f"(SELECT {columns}, filename FROM {source})"  # noqa: S608 - our own columns and paths


def _type(kind: pa.DataType) -> str:
    return "DATE" if kind == pa.date32() else SQL_TYPES[kind]


def _readable(file: Path) -> bool:
    return unreadable(file) is None


def partition_of(name: str) -> str:
    """Return the folder of a data file in its table's folder, which names its partition; empty where it has none."""
    return name.rpartition("/")[0]


def _written(file: Path, action: Action | None) -> int:
    """Return when a file was written, Unix milliseconds."""
    if action is not None and isinstance(action.get("modificationTime"), int):
        return int(action["modificationTime"])
    return file.stat().st_mtime_ns // 1_000_000
