"""Publishes the DuckDB file for readers: when one is built, by which process, and what is left out of it.

The file is built beside the old one, replaces it as a whole, and is never written again: a session that has it open
keeps what it has, and the next one gets the new file. What is in it and how it lies on the disk is file.py's.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache

import duckdb
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, newest_closed_minute, utc
from pricetracker_dagster.files.data_folder import DataFolder, StateFile
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import LiveFile, files_of, live_files, patterns
from pricetracker_dagster.store.log import note_published
from pricetracker_dagster.store.market_names import MarketNames
from pricetracker_dagster.store.publishing.access import moved_from
from pricetracker_dagster.store.publishing.file import (
    CurrentFile,
    Published,
    before,
    build,
    mode_for,
    remove_orphans,
    swap_in,
)
from pricetracker_dagster.store.publishing.kept_parts import Unusable
from pricetracker_dagster.store.records import RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import held

_OPTIONS = "STORAGE_VERSION 'v1.2.0', RECOVERY_MODE 'no_wal_writes'"
"""How the new file is written. The version is the oldest DuckDB that shall open it: 2.0's own format is unreadable to
1.x. There is no log beside it: until it is swapped in, it is thrown away where anything fails."""

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
    in_full: bool = False,
) -> Published:
    """Build ``pricetracker.duckdb`` from what is stored and swap it in.

    Args:
        store: what to publish.
        metrics: the tracked metrics, whose missed minutes are listed; None: every metric with a row in the last 24
            hours.
        now: the current time, UTC, for ``snapshot.published_at``.
        minute: a closed minute that the file must cover even if nothing of it could be stored.
        patience: seconds to wait for another process that publishes.
        in_full: build it even if nothing has changed, and take nothing over from the file that was published before.

    Of processes that publish at once, one builds and the others use its file. A small table that is damaged is left out
    and reported.

    Raises:
        StoreError: the prices cannot be read, the folder cannot be written, or another process publishes all the time.
    """
    left_out: dict[str, str] = {}
    keeps = not in_full
    store.folder.path.mkdir(parents=True, exist_ok=True)
    with _alone(store.folder, patience):
        remove_orphans(store.folder.published)
        while True:
            known = len(left_out)
            try:
                with store.prices.read(), before(store.folder.published) as current:
                    return _publish(store, metrics, now, minute, left_out, current, keeps=keeps)
            except Unusable:
                if not keeps:
                    raise
                keeps = False
            except duckdb.Error as error:
                if re.search(r"No space left|Disk quota|disk is full", str(error)):
                    message = f"the disk of {store.folder.path} is full: nothing was published; free some space"
                    raise StoreError(message, "") from error
                if keeps:  # it may be what was kept that cannot be read
                    keeps = False
                    continue
                for each in store.records:
                    if each.name not in left_out:
                        with _without(each, left_out):
                            each.check()
                if len(left_out) == known:
                    raise


def _publish(
    store: Store,
    metrics: Sequence[str] | None,
    now: datetime,
    minute: datetime | None,
    left_out: dict[str, str],
    current: CurrentFile | None,
    *,
    keeps: bool,
) -> Published:
    began = time.monotonic()
    table = store.prices.open()
    recorded: dict[str, DeltaTable | None] = {each.name: None for each in store.records}
    for each in store.records:
        if each.name not in left_out:
            with _without(each, left_out):  # a view of files that are gone would fail in the hands of readers
                recorded[each.name] = each.open_whole()
    versions = [
        _DAMAGED if name in left_out else _NOTHING_STORED if opened is None else opened.version()
        for name, opened in (("", table), *recorded.items())
    ]
    troubles = tuple(left_out.values())
    latest = newest_closed_minute(now)
    tracked = None if metrics is None else sorted(metrics)
    names = MarketNames.known_in(store)
    covered = None if current is None else current.published.as_of  # a later file never covers less
    # what a clock that was ahead wrote lies in the future and is no minute that anybody has seen
    ahead = covered is not None and covered > latest
    here = current is not None and current.is_of(store.folder)
    if (
        current is not None
        and here
        and not ahead
        and keeps
        and current.says_the_same(versions, tracked, names.digest, minute)
    ):
        return replace(current.published, troubles=troubles)
    live = [] if table is None else live_files(table)
    newest = _newest(live, latest)
    known = [moment for moment in (newest, minute, None if ahead else covered) if moment is not None]
    if (causes := recorded[store.records.causes.name]) is not None:
        # a tick that could store nothing of its minute has noted that: the file covers this minute, too
        noted = files_of(causes, [("minute", ">", max(known, default=latest - DAY))])  # mostly none
        known += [moment for moment in [_newest_in(noted, latest)] if moment is not None]
    as_of = max(known, default=None)
    recent = [file for file in live if as_of is not None and file.last > as_of - DAY]
    previous = here and keeps and _all_there(store, recent)
    beside = store.folder.published.with_name(f".{store.folder.published.name}.{os.getpid()}.new")
    try:
        _settle()
        with sql.attached(beside, _OPTIONS) as connection, _one_commit(connection):
            built = build(connection, store, live, recorded, tracked, names, as_of=as_of, now=now, previous=previous)
            connection.execute(
                "INSERT INTO sources VALUES ($versions::BIGINT[], $tracked::VARCHAR[], $folder, $markets)",
                {
                    "versions": versions,
                    "tracked": tracked,
                    "folder": str(store.folder.path),
                    "markets": names.digest,
                },
            )
        swap_in(beside, store.folder.published, mode_for(beside, built.named))
        note_published(store.folder, dict(zip((store.prices.name, *recorded), versions, strict=True)))
    finally:
        beside.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    rows = sum(file.rows for file in live)
    return Published(store.folder.published, as_of, rows, built.metrics, built.values, True, seconds, troubles)


@cache
def _settle() -> None:
    """Say once a process how its engine writes, and when it gives memory back."""
    connection = sql.connect()
    connection.execute("SET GLOBAL fsync_mode = 'NONE'")  # swap_in() flushes it, once
    # 150 MB of what is read and written whole for 10,000 metrics would stay with the process
    connection.execute("SET GLOBAL allocator_flush_threshold = '8MB'")
    connection.execute("SET GLOBAL allocator_bulk_deallocation_flush_threshold = '8MB'")


@contextmanager
def _without(table: RecordTable, left_out: dict[str, str]) -> Iterator[None]:
    """Note where a small table is damaged, and go on: no price waits for that."""
    try:
        yield
    except StoreError as error:
        left_out[table.name] = f"published without the rows of {table.name}: {error}"


def publish_if_moved(store: Store, metrics: Sequence[str] | None, *, now: datetime) -> bool:
    """Publish again where the data folder was moved or copied since: the views read the files of its old place."""
    moved = moved_from(store.folder.published) is not None
    if moved:
        publish(store, metrics, now=now)
    return moved


def _all_there(store: Store, live: Sequence[LiveFile]) -> bool:
    """Say whether the files of the prices are as they were written: else all are read, and what is wrong is found."""
    if store.prices.location.local_path is None:
        return True
    try:
        return all(os.stat(file.path).st_size == file.size for file in live)  # noqa: PTH116 - ten times quicker
    except OSError:
        return False


def _newest(live: Sequence[LiveFile], latest: datetime) -> datetime | None:
    """Return the newest minute stored that is not after ``latest``, UTC."""
    newest = max((file.last for file in live if file.exact and file.last <= latest), default=None)
    if newest == latest:
        return newest
    # a file that goes beyond may hold a newer one, and so may one of which nothing is known
    others = [file.path for file in live if file.first <= latest and (file.last > latest or not file.exact)]
    moments = [newest, _newest_in(others, latest)]
    return max((moment for moment in moments if moment is not None), default=None)


def _newest_in(files: Sequence[str], latest: datetime) -> datetime | None:
    """Return the newest minute in some files that is not after ``latest``, UTC."""
    if not files:
        return None
    values = {"files": patterns(files), "latest": latest}
    [(unix,)] = sql.connect().execute(sql.load("store/publishing/sql/newest.sql"), values).fetchall()
    return None if unix is None else utc(unix)


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
