"""How long Dagster remembers ticks. It forgets nothing by itself: 147 KB a tick would be 77 GB a year."""

import shutil
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

KEPT = "kept"
"""Value of the tag on a run that stays for good."""

_AT_MOST = 500
"""Runs deleted at once, so that the hourly upkeep stays short."""

_PARTITION = "dagster/partition"

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def delete_old_runs(instance: dg.DagsterInstance, tag: str, older_than: datetime) -> int:
    """Delete finished runs tagged ``tag: "true"`` and created before ``older_than``, and the files they leave.

    The newest successful run of each partition stays, its tag's value set to KEPT: deleting it would make Dagster show
    the partition as never materialized.

    Returns:
        How many runs were deleted.
    """
    old = instance.get_run_records(
        dg.RunsFilter(tags={tag: "true"}, statuses=_FINISHED, created_before=older_than),
        limit=_AT_MOST,
        ascending=True,
    )
    deleted = 0
    newest: dict[str | None, str | None] = {}
    for record in old:
        run = record.dagster_run
        partition = run.tags.get(_PARTITION)
        if partition not in newest:
            newest[partition] = _newest_success(instance, tag, partition)
        if run.run_id == newest[partition]:
            instance.add_run_tags(run.run_id, {tag: KEPT})
        else:
            instance.delete_run(run.run_id)
            _remove_files(instance, run.run_id)
            deleted += 1
    return deleted


def _newest_success(instance: dg.DagsterInstance, tag: str, partition: str | None) -> str | None:
    if partition is None:
        return None
    runs = instance.get_run_records(
        dg.RunsFilter(tags={tag: "true", _PARTITION: partition}, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1
    )
    return runs[0].dagster_run.run_id if runs else None


def _remove_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove what delete_run() leaves on disk: the run's own SQLite file and its folder of logs."""
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        database = Path(events.path_for_shard(run_id))
        for file in database.parent.glob(f"{database.name}*"):  # with SQLite's -wal and -shm beside it
            file.unlink(missing_ok=True)
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
