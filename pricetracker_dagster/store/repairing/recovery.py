"""Which rows of a damaged table can still be read, from whichever of its files.

No row that can be read is lost, and none is doubled: of each key the row of a file that belongs to the table goes
before one of a file that was replaced, and the newest before older ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange, utc
from pricetracker_dagster.store.damage import Action, data_files, unreadable
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.live_files import rows_by_name
from pricetracker_dagster.store.log import Log
from pricetracker_dagster.store.schema import SQL_TYPES


@dataclass(frozen=True)
class Recovery:
    """What can still be read of a damaged table.

    Attributes:
        log: its log, as far as it can be read.
        bad: the data files that are damaged, or not what was written.
        latest: the newest closed minute, UTC; rows after it are not put back.
    """

    delta: Delta
    log: Log
    bad: set[str]
    latest: datetime

    @cached_property
    def astray(self) -> set[str]:
        """Which of the files that are not what was written are whole ones of this table all the same.

        Where one file was copied over another, its rows may be nowhere else.
        """
        named = {name for name in self.delta.schema.names if name not in self.delta.partition_by}
        paths = {name: self.delta.path / name for name in self.bad}
        return {name for name, path in paths.items() if unreadable(path) is None and _columns(path) == named}

    def rows(self, partition: str, *, only_absent: bool) -> pa.Table:
        """Return the rows of a partition, one a key, with the file that each is from in the column ``_file``.

        With ``only_absent`` those alone of which the files that belong to the table have none. Files that went astray
        belong to no partition, so each gets what is its own.
        """
        folder, log = self.delta.path, self.log
        names = [name for name in sorted(files_in_table(folder)) if name in self.astray or self._is_of(name, partition)]
        # where the log can be trusted, a file that it does not name was never committed: it counts only for absent rows
        live = log.live.keys() - self.astray
        former = set(names if only_absent else log.removed)
        ours = [name for name in names if name in live or name not in former]
        files = [
            {
                "filename": str(folder / name),
                "name": name,
                "live": name in live,
                "written": _written(folder / name, log.live.get(name)),
            }
            for name in names
        ]
        by_minute = bool(self.delta.partition_by)
        # names of our own columns and paths, which no parameter can stand for
        parts = {
            "ours": _source(self.delta, ours),
            "former": _source(self.delta, [name for name in names if name not in ours]),
            "key": ", ".join(f'"{name}"' for name in self.delta.key),
            "newest_by": "fetched_at" if by_minute else "written",
            "minute": '"minute"' if by_minute else "NULL::TIMESTAMPTZ",
        }
        values = {
            "files": files,
            "only_absent": only_absent,
            "latest": self.latest,
            "day": partition.rpartition("=")[2] if by_minute else None,
        }
        return (
            sql.connect()
            .sql(sql.filled("store/repairing/sql/recovered_rows.sql", parts), params=values)
            .to_arrow_table()
        )

    def minutes(self, rows: pa.Table, files: Iterable[str]) -> list[tuple[str, MinuteRange]]:
        """Return of which metrics and minutes those rows are that come from some files."""
        if not self.delta.partition_by:
            return []
        connection = sql.connect()
        connection.register("rows", rows)
        found = connection.execute(
            sql.load("store/repairing/sql/recovered_minutes.sql"), {"files": list(files)}
        ).fetchall()
        return [(metric, MinuteRange(utc(first), utc(last))) for metric, first, last in found]

    def _is_of(self, name: str, partition: str) -> bool:
        """Say whether a data file is one of a partition and can be read."""
        return partition_of(name) == partition and name not in self.bad and unreadable(self.delta.path / name) is None


def files_in_table(folder: Path) -> set[str]:
    """Return the data files in a table's folder, whether its log names them or not, by their paths in it."""
    return {file.relative_to(folder).as_posix() for file in data_files(folder)}


def _columns(file: Path) -> set[str]:
    found = sql.connect().execute(
        "FROM read_parquet($file, hive_partitioning = false) LIMIT 0", {"file": sql.only(file)}
    )
    return {column[0] for column in found.description or ()}


def _source(delta: Delta, names: Iterable[str]) -> str:
    """Return a selection of the table's columns, and ``filename``, from some of its data files."""
    types = {field.name: SQL_TYPES[field.type] for field in delta.schema}
    stored = {name: kind for name, kind in types.items() if name not in delta.partition_by}
    source = rows_by_name((str(delta.path / name) for name in names), stored, filename=True)
    # Delta keeps the partition in the path: it is the UTC day of the minute
    of = {name: name if name in stored else "minute" for name in types}
    columns = ", ".join(f'"{of[name]}"::{kind} AS "{name}"' for name, kind in types.items())
    return f"(SELECT {columns}, filename FROM {source})"  # noqa: S608 - our own columns and paths


def partition_of(name: str) -> str:
    """Return the folder of a data file in its table's folder, which names its partition; empty where it has none."""
    return name.rpartition("/")[0]


def _written(file: Path, action: Action | None) -> int:
    """Return when a file was written, Unix milliseconds."""
    if action is not None and isinstance(action.get("modificationTime"), int):
        return int(action["modificationTime"])
    return file.stat().st_mtime_ns // 1_000_000
