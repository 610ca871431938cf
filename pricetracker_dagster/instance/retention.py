"""How long Dagster remembers runs. It forgets nothing by itself: 200 KB a tick would be 100 GB a year."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

KEPT = "kept"
"""Value of the tag on a run that stays for good."""

_AT_MOST = 500
"""Runs deleted at once, so that the hourly maintenance stays short."""

_PARTITION = "dagster/partition"

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def delete_old_runs(instance: dg.DagsterInstance, tags: Sequence[str], older_than: datetime) -> int:
    """Delete finished runs with a tag ``"true"`` and created before ``older_than``, and the files they leave.

    The newest successful run of each job and partition stays, its tag's value set to KEPT: deleting it would make
    Dagster show what it materialized as never materialized. What checks said in deleted runs is deleted too.

    Returns:
        How many runs were deleted.
    """
    deleted = 0
    newest: dict[tuple[str, str | None], str | None] = {}  # by job and partition
    for tag in tags:
        old = instance.get_run_records(
            dg.RunsFilter(tags={tag: "true"}, statuses=_FINISHED, created_before=older_than),
            limit=_AT_MOST,
            ascending=True,
        )
        for record in old:
            run = record.dagster_run
            job, partition = run.job_name, run.tags.get(_PARTITION)
            if (job, partition) not in newest:
                newest[job, partition] = _newest_success(instance, tag, job, partition)
            if run.run_id == newest[job, partition]:
                instance.add_run_tags(run.run_id, {tag: KEPT})
            else:
                instance.delete_run(run.run_id)
                _remove_files(instance, run.run_id)
                deleted += 1
    _forget_checks(instance, older_than)
    return deleted


def _newest_success(instance: dg.DagsterInstance, tag: str, job: str, partition: str | None) -> str | None:
    tags = {tag: "true", **({_PARTITION: partition} if partition else {})}
    success = dg.RunsFilter(job_name=job, tags=tags, statuses=[dg.DagsterRunStatus.SUCCESS])
    runs = instance.get_run_records(success, limit=1)
    return runs[0].dagster_run.run_id if runs else None


def _remove_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove what delete_run() leaves on disk: the run's own SQLite file and its folder of logs."""
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        database = Path(events.path_for_shard(run_id))
        for file in database.parent.glob(f"{database.name}*"):  # with SQLite's -wal and -shm
            file.unlink(missing_ok=True)
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)


def _forget_checks(instance: dg.DagsterInstance, older_than: datetime) -> None:
    """Delete what checks said before a moment, which delete_run() leaves; the newest word of each check stays."""
    events = instance.event_log_storage
    if not isinstance(events, SqlEventLogStorage):
        return
    checks = AssetCheckExecutionsTable.c
    newest = db.select(db.func.max(checks.id)).group_by(checks.asset_key, checks.check_name)
    old = checks.create_timestamp < older_than.astimezone(UTC).replace(tzinfo=None)  # the database's own time is UTC
    with events.index_connection() as connection:
        connection.execute(AssetCheckExecutionsTable.delete().where(old, checks.id.not_in(newest)))
