"""What Dagster leaves behind when a run is deleted, and what it never deletes: rows of its tables, files, folders.

The tables are the same on SQLite and Postgres. On SQLite each run has a file of its own besides, and deleting a run
deletes neither that nor its tags.
"""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import dagster as dg
import sqlalchemy as db
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._serdes import deserialize_value

_AT_MOST = 20_000
"""Rows or files that are deleted at once."""

_OF_A_PARTITION = ("dagster/partition_row_count",)
"""Metadata that a past partition goes on showing; the rest is of the run that is deleted."""

_LOGS_OF_EVALUATIONS = "__repository__"
"""The folder in which sensors and schedules leave what they log."""

_EVENTS = SqlEventLogStorageTable.c
_MATERIALIZED = _EVENTS.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value


def only_said_by(instance: dg.DagsterInstance, runs: Sequence[str]) -> Iterator[dg.AssetMaterialization]:
    """Yield what would look never materialized without these runs: of each asset and partition the newest event."""
    events = instance.event_log_storage
    if not isinstance(events, SqlEventLogStorage):
        return
    newest = (
        db.select(_EVENTS.asset_key, _EVENTS.partition, db.func.max(_EVENTS.id))
        .where(_MATERIALIZED, _EVENTS.run_id.in_(runs))
        .group_by(_EVENTS.asset_key, _EVENTS.partition)
    )
    entries = []
    with events.index_connection() as connection:
        for asset, partition, event in connection.execute(newest).fetchall():
            same = (_MATERIALIZED, _EVENTS.asset_key == asset, _EVENTS.partition.is_not_distinct_from(partition))
            other = db.select(_EVENTS.id).where(*same, _EVENTS.run_id.not_in(runs)).limit(1)
            if connection.execute(other).first() is None:
                entries.append(connection.execute(db.select(_EVENTS.event).where(_EVENTS.id == event)).scalar_one())
    for text in entries:
        entry = deserialize_value(text, EventLogEntry)
        said = entry.dagster_event and entry.dagster_event.step_materialization_data.materialization
        if said and said.partition:
            shown = {name: value for name, value in said.metadata.items() if name in _OF_A_PARTITION}
            yield dg.AssetMaterialization(said.asset_key, "its run is forgotten", shown, said.partition)
        elif said:
            yield said


def forget_tags(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    """Delete the tags of deleted runs, which stay behind on SQLite."""
    storage = instance.run_storage
    if isinstance(storage, SqlRunStorage):
        with storage.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(runs)))


def forget_rows(instance: dg.DagsterInstance, checks_before: datetime, events_before: datetime) -> int:
    """Delete old results of checks, old events that belong to no run, and tags without a run; return how many rows.

    The newest word of each check stays, and of each asset and partition the newest event of each kind.
    """
    events, runs = instance.event_log_storage, instance.run_storage
    rows = 0
    if isinstance(events, SqlEventLogStorage):
        checks = AssetCheckExecutionsTable.c
        newest = db.select(db.func.max(checks.id)).group_by(checks.asset_key, checks.check_name)
        old = db.select(checks.id).where(checks.create_timestamp < _utc(checks_before), checks.id.not_in(newest))
        with events.index_connection() as connection:
            rows += _delete(connection, AssetCheckExecutionsTable, checks.id, _some(connection, old))
            rows += _forget_runless(connection, events_before)
        if isinstance(events, SqliteEventLogStorage):  # a second copy
            with events.run_connection(RUNLESS_RUN_ID) as connection:
                _forget_runless(connection, events_before)
    if isinstance(runs, SqlRunStorage):
        tags = RunTagsTable.c
        stray = db.select(tags.id).where(tags.run_id.not_in(db.select(RunsTable.c.run_id)))
        with runs.connect() as connection:
            rows += _delete(connection, RunTagsTable, tags.id, _some(connection, stray))
    return rows


def _forget_runless(connection: db.Connection, before: datetime) -> int:
    of_none = _EVENTS.run_id == RUNLESS_RUN_ID
    kinds = (_EVENTS.asset_key, _EVENTS.dagster_event_type, _EVENTS.partition)
    newest = db.select(db.func.max(_EVENTS.id)).where(of_none).group_by(*kinds)
    old = db.select(_EVENTS.id).where(of_none, _EVENTS.timestamp < _utc(before), _EVENTS.id.not_in(newest))
    ids = _some(connection, old)
    _delete(connection, AssetEventTagsTable, AssetEventTagsTable.c.event_id, ids)
    return _delete(connection, SqlEventLogStorageTable, _EVENTS.id, ids)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)  # the databases' own time


def _some(connection: db.Connection, ids: db.Select[tuple[int]]) -> list[int]:
    return [*connection.execute(ids.limit(_AT_MOST)).scalars()]


def _delete(connection: db.Connection, table: db.Table, column: db.Column[int], ids: Sequence[int]) -> int:
    deleted = 0
    for begin in range(0, len(ids), 500):  # a statement takes so many parameters, and some more
        deleted += connection.execute(table.delete().where(column.in_(ids[begin : begin + 500]))).rowcount
    return deleted


def remove_files(instance: dg.DagsterInstance, run: str) -> None:
    """Remove what is left on disk of a deleted run: its own SQLite file and its folder of logs."""
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        database = Path(events.path_for_shard(run))
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(Path(instance.storage_directory()) / run, ignore_errors=True)


def remove_stray_files(instance: dg.DagsterInstance, before: datetime) -> int:
    """Remove what was last written before a moment, and is of no run or evaluation any more; return how many.

    Runs that a person deletes leave the same behind; what sensors log nobody removes.
    """
    folder = Path(instance.storage_directory())
    stray = [each for each in _runs_on_disk(instance, folder) if _written(each) < before.timestamp()]
    known = {*instance.get_run_ids()} if stray else set()
    gone = {each.name.partition(".")[0] for each in stray} - known
    for run in sorted(gone)[:_AT_MOST]:
        remove_files(instance, run)
    logs = [file for file in (folder / _LOGS_OF_EVALUATIONS).glob("**/*") if file.is_file()]
    old = [file for file in logs if _written(file) < before.timestamp()][:_AT_MOST]
    for file in old:
        file.unlink(missing_ok=True)
    return min(len(gone), _AT_MOST) + len(old)


def _runs_on_disk(instance: dg.DagsterInstance, folder: Path) -> Iterator[Path]:
    events = instance.event_log_storage
    places = [folder]
    if isinstance(events, SqliteEventLogStorage):
        places.append(Path(events.path_for_shard("any")).parent)
    for place in places:
        for each in place.iterdir() if place.is_dir() else ():
            if _is_run(each.name.partition(".")[0]):
                yield each


def _is_run(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # somebody else has removed it
        return float("inf")
