"""Publishes the DuckDB file for readers: when one is built, by which process, and what is left out of it.

The file is built beside the old one, replaces it as a whole, and is never written again: a session that has it open
keeps what it has, and the next one gets the new file. What is in it is published_content.py; how it lies on the disk
is published_file.py.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, minutes_of_day, newest_closed_minute
from pricetracker_dagster.files.data_folder import DataFolder, StateFile
from pricetracker_dagster.files.folders import is_same_folder
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.store import live_files
from pricetracker_dagster.store.errors import StoreError, way_out
from pricetracker_dagster.store.prices import counts, files_of, rows_of
from pricetracker_dagster.store.published_access import moved_from
from pricetracker_dagster.store.published_content import build
from pricetracker_dagster.store.published_file import Published, current_file, mode_for, remove_orphans, swap_in
from pricetracker_dagster.store.records import RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.versions import note_published
from pricetracker_dagster.store.writing import held

_STORAGE_VERSION = "v1.2.0"
"""The oldest DuckDB that shall open the file. DuckDB 2.0's own format is unreadable to 1.x."""

PATIENCE = 30.0
"""Seconds to wait for another process that publishes, which takes one second; the watchdog of a tick allows for it."""

_NOTHING_STORED = -1
"""Stands for the version of a Delta table that is not there yet."""

_DAMAGED = -2
"""Stands for the version of a small table that is damaged: the file is published without it."""


def publish(
    store: Store,
    metrics: Sequence[str] | None,
    *,
    now: datetime,
    minute: datetime | None = None,
    patience: float = PATIENCE,
) -> Published:
    """Build ``pricetracker.duckdb`` from what is stored and swap it in.

    Args:
        store: what to publish.
        metrics: the tracked metrics, whose missed minutes are listed; None: every metric with a row in the last 24
            hours.
        now: the current time, UTC, for ``snapshot.published_at``.
        minute: a closed minute that the file must cover even if nothing of it could be stored.
        patience: seconds to wait for another process that publishes.

    Of processes that publish at once, one builds and the others use its file. A small table that is damaged is left out
    and reported.

    Raises:
        StoreError: the prices cannot be read, the folder cannot be written, or another process publishes all the time.
    """
    left_out: dict[str, str] = {}
    store.folder.path.mkdir(parents=True, exist_ok=True)
    with _alone(store.folder, patience):
        remove_orphans(store.folder.published)
        while True:
            try:
                with store.prices.delta.read():
                    return _publish(store, metrics, now, minute, left_out)
            except duckdb.Error as error:
                if re.search(r"No space left|Disk quota|disk is full", str(error)):
                    message = f"the disk of {store.folder.path} is full: nothing was published; free some space"
                    raise StoreError(message, "") from error
                if not _leave_out_what_is_damaged(store, left_out):
                    raise


def _publish(
    store: Store, metrics: Sequence[str] | None, now: datetime, minute: datetime | None, left_out: dict[str, str]
) -> Published:
    began = time.monotonic()
    table = store.prices.open()
    latest = newest_closed_minute(now)
    tracked = None if metrics is None else sorted(metrics)
    recorded = {each.name: _whole(each, left_out) for each in store.records}
    versions = [
        _DAMAGED if name in left_out else _NOTHING_STORED if each is None else each.version()
        for name, each in (("", table), *recorded.items())
    ]
    troubles = tuple(left_out.values())
    current = current_file(store.folder.published)
    covered = None if current is None else current.published.as_of  # a later file never covers less
    # what a clock that was ahead wrote lies in the future and is no minute that anybody has seen
    ahead = covered is not None and covered > latest
    here = current is not None and is_same_folder(current.folder, store.folder.path)
    if current is not None and here and not ahead and current.says_the_same(versions, tracked, minute):
        return replace(current.published, troubles=troubles)
    rows = 0 if table is None else rows_of(table)
    newest = None if table is None else _newest(table, latest)
    if ahead:
        covered = None
    known = [moment for moment in (newest, minute, covered) if moment is not None]
    if (causes := recorded[store.records.causes.name]) is not None:
        # a tick that could store nothing of its minute has noted that: the file covers this minute, too
        known += _noted_after(causes, max(known, default=latest - DAY), latest)
    as_of = max(known, default=None)
    beside = store.folder.published.with_name(f".{store.folder.published.name}.{os.getpid()}.new")
    try:
        with sql.attached(beside, f"STORAGE_VERSION '{_STORAGE_VERSION}'") as connection:
            with _one_commit(connection):
                named = build(connection, store, table, recorded, tracked, as_of=as_of, now=now, rows=rows)
                connection.execute(
                    "INSERT INTO sources VALUES ($versions::BIGINT[], $tracked::VARCHAR[], $folder)",
                    {"versions": versions, "tracked": tracked, "folder": str(store.folder.path)},
                )
            [(present, values)] = connection.execute(
                "SELECT metrics, (SELECT coalesce(sum(observations), 0)::BIGINT FROM available_metrics) FROM snapshot"
            ).fetchall()
        swap_in(beside, store.folder.published, mode_for(beside, named))
        note_published(store.folder, dict(zip((store.prices.delta.name, *recorded), versions, strict=True)))
    finally:
        beside.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    return Published(store.folder.published, as_of, rows, present, values, True, seconds, troubles)


def _whole(table: RecordTable, left_out: dict[str, str]) -> DeltaTable | None:
    """Open a small table whose files are there: a view of what is gone would fail in the hands of readers.

    Where it is damaged, that is noted and None returned: no price waits for that.
    """
    if table.name in left_out:
        return None
    try:
        return table.open_whole()
    except StoreError as error:
        left_out[table.name] = f"published without the rows of {table.name}: {error}"
        return None


def _leave_out_what_is_damaged(store: Store, left_out: dict[str, str]) -> bool:
    """Read the small tables through and note those that are damaged; return whether any of them was not known."""
    news = {
        each.name: f"published without the rows of {each.name}: {said}"
        for each in store.records
        if each.name not in left_out and (said := _damage_of(each))
    }
    left_out |= news
    return bool(news)


def _damage_of(table: RecordTable) -> str | None:
    """Read a small table through; return what is wrong with it, None where nothing is."""
    try:
        found = table.examine()
    except StoreError as error:
        return str(error)
    return way_out(found[0], table.location.folder) if found else None


def publish_if_moved(store: Store, metrics: Sequence[str] | None, *, now: datetime) -> bool:
    """Publish again where the data folder was moved or copied since: the views read the files of its old place.

    Raises:
        StoreError: the prices cannot be read, or the folder cannot be written.
    """
    moved = moved_from(store.folder.published) is not None
    if moved:
        publish(store, metrics, now=now)
    return moved


def _newest(table: DeltaTable, latest: datetime) -> datetime | None:
    """Return the newest stored minute that is not after ``latest``, UTC."""
    last = latest.astimezone(UTC).date()
    for day in sorted({day for day, _ in counts(table) if day <= last}, reverse=True):
        files = live_files.patterns(files_of(table, *minutes_of_day(day)))
        [(unix,)] = (
            sql.connect().execute(sql.load("store/sql/newest.sql"), {"files": files, "latest": latest}).fetchall()
        )
        if unix is not None:
            return datetime.fromtimestamp(unix, UTC)
    return None


def _noted_after(causes: DeltaTable, known: datetime, latest: datetime) -> list[datetime]:
    """Return the newest minute after ``known`` and up to ``latest`` that is noted as missing, UTC, if there is one."""
    files = live_files.files_of(causes, [("minute", ">", known)])  # mostly none: then nothing is read
    if not files:
        return []
    values = {"files": live_files.patterns(files), "latest": latest}
    [(unix,)] = sql.connect().execute(sql.load("store/sql/newest.sql"), values).fetchall()
    return [] if unix is None else [datetime.fromtimestamp(unix, UTC)]


@contextmanager
def _one_commit(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Write to the disk once, not with each of forty statements."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _alone(folder: DataFolder, patience: float) -> AbstractContextManager[None]:
    lock = folder.state / StateFile.PUBLISH_LOCK
    busy = (
        f"not published: another process has held {lock} for more than {patience:.0f} seconds; where it is stopped, "
        f"end it (`fuser {lock}` names it)"
    )
    return held(lock, Deadline.after(patience), busy)


def sweep(store: Store) -> None:
    """Remove what a publisher that was killed left half-written; the next publication would do it too."""
    with _alone(store.folder, PATIENCE):
        remove_orphans(store.folder.published)
