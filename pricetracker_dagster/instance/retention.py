"""How long Dagster remembers runs. It forgets nothing by itself: 200 KB a tick would be 100 GB a year.

Here belongs which runs go, and that what they materialized stays shown. What deleting a run leaves behind is in
leftovers.py. It is the same on SQLite and on Postgres.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from pricetracker_dagster.instance import leftovers

KEPT = "kept"
"""Value that an earlier version gave the tag of a run that was to stay, for what it had materialized."""

FAILED_KEPT = timedelta(days=30)
"""How long failed runs are kept."""

FAILED_AT_MOST = 500
"""So many failed runs are kept beyond the time of good ones, the newest: an outage may fail 1,440 a day."""

STRAY_KEPT = timedelta(days=5)
"""How long after good runs goes what is of no run any more: files of runs that are gone, what sensors have logged."""

_BATCH = 100

_GOOD = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
_FAILED = [dg.DagsterRunStatus.FAILURE]


@dataclass(frozen=True)
class Limits:
    """How much is deleted at once of what may have piled up; the next time goes on.

    Attributes:
        runs: so many at most.
        seconds: after so many no further batch is begun.
    """

    runs: int = 3000
    seconds: float = 300.0


@dataclass(frozen=True)
class Forgotten:
    """How many runs were deleted, and what else: rows of Dagster's tables, files and folders.

    ``left`` is whether there was no time for all of it.
    """

    runs: int
    rows: int
    files: int
    left: bool = False


def forget(
    instance: dg.DagsterInstance,
    tags: Sequence[str],
    older_than: datetime,
    *,
    limits: Limits | None = None,
    before_each: Callable[[], object] = lambda: None,
) -> Forgotten:
    """Delete old runs, and what they and events outside of runs leave behind, in bounded steps.

    Args:
        instance: of SQLite or Postgres.
        tags: runs that have one of them as ``"true"`` are ours to delete; others a person has started.
        older_than: runs created before go, failed ones FAILED_KEPT after that.
        limits: how much of it.
        before_each: called before each step, e.g. to let a tick go first.
    """
    limits = limits or Limits()
    end = time.monotonic() + limits.seconds
    deleted = 0
    while time.monotonic() < end and deleted < limits.runs:
        before_each()
        batch = _old_runs(instance, tags, older_than, min(_BATCH, limits.runs - deleted))
        _delete(instance, batch)
        deleted += len(batch)
        if not batch:
            break
    left = bool(_old_runs(instance, tags, older_than, 1))
    before_each()
    rows = leftovers.forget_rows(instance, older_than, older_than - FAILED_KEPT)
    before_each()
    files = leftovers.remove_stray_files(instance, older_than - STRAY_KEPT)
    return Forgotten(deleted, rows, files, left)


def _old_runs(instance: dg.DagsterInstance, tags: Sequence[str], older_than: datetime, most: int) -> list[str]:
    """Return the oldest runs that go, at most so many."""
    found: dict[str, None] = {}
    for tag in tags:
        ours = {tag: ["true", KEPT]}

        def oldest(statuses: list[dg.DagsterRunStatus], before: datetime, limit: int) -> None:
            filters = dg.RunsFilter(tags=ours, statuses=statuses, created_before=before)  # noqa: B023 - called below
            records = instance.get_run_records(filters, limit=limit, ascending=True)
            found.update(dict.fromkeys(record.dagster_run.run_id for record in records))

        oldest(_GOOD, older_than, most)
        oldest(_FAILED, older_than - FAILED_KEPT, most)
        failed = instance.get_runs_count(dg.RunsFilter(tags=ours, statuses=_FAILED, created_before=older_than))
        if failed > FAILED_AT_MOST:
            oldest(_FAILED, older_than, min(most, failed - FAILED_AT_MOST))
    return [*found][:most]


def _delete(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    """Delete runs and all that is left of them, but for the fact that they materialized something.

    What no other event says any more is said anew without a run, before any run goes: killed in between, nothing is
    shown as never materialized, and nothing is said twice.
    """
    for materialization in leftovers.only_said_by(instance, runs):
        instance.report_runless_asset_event(materialization)
    for run in runs:
        instance.delete_run(run)
        leftovers.remove_files(instance, run)
    leftovers.forget_tags(instance, runs)
