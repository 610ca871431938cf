"""Many runs in a Dagster instance without running them: copies of one that ran, at other moments.

``record_ticks`` fills a month in minutes, on SQLite as on Postgres; ``rows`` and ``size`` say what an instance holds.
"""

import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

_OF_RUNS = (RunsTable, RunTagsTable)
_OF_EVENTS = (SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable)


def record_ticks(
    instance: dg.DagsterInstance, template: str, moments: Iterable[datetime], *, failed: bool = False
) -> list[str]:
    """Record a run for each moment (UTC), as if the run ``template`` had been then; return their ids.

    Partition, tags, events, results of checks and, on SQLite, the run's own file are those of the template, under
    another id, day and time. With ``failed`` they count as failed.
    """
    runs, events = instance.run_storage, instance.event_log_storage
    assert isinstance(runs, SqlRunStorage)
    assert isinstance(events, SqlEventLogStorage)
    with runs.connect() as connection:
        of_runs = {table.name: _rows(connection, table, template) for table in _OF_RUNS}
    with events.index_connection() as connection:
        of_events = {
            table.name: _rows(connection, table, template)
            for table in (SqlEventLogStorageTable, AssetCheckExecutionsTable)
        }
    day = str(next(tag["value"] for tag in of_runs["run_tags"] if tag["key"] == "dagster/partition"))
    made = []
    for moment in moments:
        run = str(uuid4())
        words = {template: run, day: f"{moment:%Y-%m-%d}"}
        with runs.connect() as connection:
            for table in _OF_RUNS:
                _insert(connection, table, of_runs[table.name], words, moment, failed=failed)
        with events.index_connection() as connection:
            for table in (SqlEventLogStorageTable, AssetCheckExecutionsTable):
                _insert(connection, table, of_events[table.name], words, moment)
        if isinstance(events, SqliteEventLogStorage):
            _copy_shard(Path(events.path_for_shard(template)), Path(events.path_for_shard(run)), words)
        made.append(run)
    return made


def _rows(connection: db.Connection, table: db.Table, run: str) -> list[Mapping[str, Any]]:
    found = connection.execute(table.select().where(table.c.run_id == run).order_by(table.c.id)).mappings()
    return [{name: value for name, value in row.items() if name != "id"} for row in found]


def _insert(
    connection: db.Connection,
    table: db.Table,
    rows: Iterable[Mapping[str, Any]],
    words: Mapping[str, str],
    moment: datetime,
    *,
    failed: bool = False,
) -> None:
    values = []
    for row in rows:
        new = {name: _with(value, words, moment) for name, value in row.items()}
        if failed and "status" in new:
            new["status"] = "FAILURE"
            new["run_body"] = str(new["run_body"]).replace('"SUCCESS"', '"FAILURE"')
        values.append(new)
    if values:
        connection.execute(table.insert(), values)


def _with(value: object, words: Mapping[str, str], moment: datetime) -> object:
    if isinstance(value, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, str):
        for word, other in words.items():
            value = value.replace(word, other)
    return value


def _copy_shard(template: Path, copy: Path, words: Mapping[str, str]) -> None:
    with sqlite3.connect(template) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    shutil.copyfile(template, copy)
    with sqlite3.connect(copy) as database:
        for word, other in words.items():
            database.execute(
                "UPDATE event_logs SET run_id = replace(run_id, ?, ?), event = replace(event, ?, ?)",
                (word, other, word, other),
            )
    database.close()


def rows(instance: dg.DagsterInstance) -> dict[str, int]:
    """Return how many rows there are in each table that grows with runs, and how many files of runs."""
    runs, events = instance.run_storage, instance.event_log_storage
    assert isinstance(runs, SqlRunStorage)
    assert isinstance(events, SqlEventLogStorage)
    counts = {}
    with runs.connect() as connection:
        for table in _OF_RUNS:
            counts[table.name] = int(connection.execute(db.select(db.func.count()).select_from(table)).scalar_one())
    with events.index_connection() as connection:
        for table in _OF_EVENTS:
            counts[table.name] = int(connection.execute(db.select(db.func.count()).select_from(table)).scalar_one())
    if isinstance(events, SqliteEventLogStorage):
        counts["files"] = sum(1 for _ in Path(events.path_for_shard("any")).parent.iterdir())
    return counts


def size(instance: dg.DagsterInstance) -> int:
    """Return how many bytes an instance has on disk: of its database on Postgres, else of its folder."""
    runs = instance.run_storage
    assert isinstance(runs, SqlRunStorage)
    with runs.connect() as connection:
        if connection.dialect.name == "postgresql":
            return int(connection.execute(db.text("SELECT pg_database_size(current_database())")).scalar_one())
    home = Path(instance.root_directory)
    return sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
