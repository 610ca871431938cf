"""What is wrong with a data folder: its tables, rows of the future, the published file, Dagster's files, stray files.

Nothing is changed here. What is wrong with one table is found in damage.py and log.py.
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableName
from pricetracker_dagster.files.locks import said_by_holder
from pricetracker_dagster.files.replacing import left_over
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.damage import Kind
from pricetracker_dagster.store.errors import StoreError, access
from pricetracker_dagster.store.publishing.access import moved_from
from pricetracker_dagster.store.repairing.databases import damaged_databases
from pricetracker_dagster.store.repairing.rebuild import FOLDER
from pricetracker_dagster.store.store import Store

_STILL_WRITTEN = 600.0
"""Seconds after which no writer is at work on its temporary file any more."""

_LEFT_BY_A_WRITER = re.compile(r".+(\.tmp|\.cut|#\d+)")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in plain words.

    Attributes:
        part: the table, or what else it belongs to.
        file: which file, relative to the data folder; empty where it is about rows.
        what: what is wrong and what is lost by it.
        remedy: what a repair does about it.
    """

    part: str
    file: str
    what: str
    remedy: str


def look(store: Store, now: datetime) -> list[Finding]:
    """Return what is wrong with a data folder at a time, UTC. Nothing is changed.

    Raises:
        StoreError: a file cannot be read, because of its owner or a failing disk: then nothing is known of it.
    """
    found = []
    folder = store.folder.path
    now = time_of_exchanges(store, now)
    for delta in store.tables:
        damages = delta.examine()
        log_too = any(damage.kind == Kind.LOG for damage in damages)
        for damage in damages:
            remedy = {
                Kind.LOG: "a new log is written over all rows that can be read",
                Kind.CHECKPOINT: "it is set aside and written anew from the commits",
                Kind.DATA: "it is taken out; what files that it replaced say of its rows is put back",
            }[Kind.LOG if log_too else damage.kind]
            found.append(Finding(damage.table, f"{damage.table}/{damage.file}", damage.what, remedy))
    found += _future(store, now)
    found += _published(store.folder)
    found += _databases(store.folder)
    found += [
        Finding("temporary files", str(file.relative_to(folder)), "was left by a process that was killed", "set aside")
        for file in stray_files(store)
    ]
    return found


def _future(store: Store, now: datetime) -> Iterator[Finding]:
    try:
        rows = store.prices.future_rows(now)
    except StoreError:  # its damage is found already
        return
    if rows:
        first = min(row.minute for row in rows if row.minute)
        yield Finding(
            TableName.MINUTE_PRICES,
            "",
            f"{len(rows):,} rows are of minutes that are not closed, from {first:%Y-%m-%d %H:%M} on",
            "they are set aside as Parquet and removed",
        )


def _published(folder: DataFolder) -> Iterator[Finding]:
    published = folder.published
    if not published.exists():
        return
    problem = None
    try:
        with sql.attached(published):
            pass
    except duckdb.Error:
        with access(folder.path, ""), published.open("rb"):
            problem = "cannot be read; nothing is lost by that"
    if old := moved_from(published):
        problem = f"reads the files of {old} still, from where the data folder was moved or copied"
    if problem:
        yield Finding("published file", published.name, problem, "it is published anew")


def _databases(folder: DataFolder) -> Iterator[Finding]:
    runs = said_by_holder(folder.state / StateFile.UP_LOCK)
    for file, problem in damaged_databases(folder.dagster_home):
        remedy = "it is set aside and Dagster makes a new one; prices are untouched"
        if runs:
            remedy = f"stop `pricetracker up` first ({runs}); then {remedy}"
        yield Finding("Dagster", str(file.relative_to(folder.path)), problem, remedy)


def stray_files(store: Store) -> list[Path]:
    """Return temporary files of processes that are no more."""
    folder = store.folder
    found = [file for place in (folder.path, folder.state, folder.dagster_home) for file in left_over(place)]
    for delta in store.tables:
        temporary = (file for file in delta.path.rglob("*") if _LEFT_BY_A_WRITER.fullmatch(file.name))
        found += [file for file in temporary if file.is_file() and _is_old(file)]
        if (delta.path / FOLDER).exists():
            found.append(delta.path / FOLDER)
    return sorted(found)


def _is_old(file: Path) -> bool:
    """Say whether no writer can be at work on a file any more: each is done within a minute or two."""
    with suppress(OSError):
        return time.time() - file.stat().st_mtime > _STILL_WRITTEN
    return False


def time_of_exchanges(store: Store, now: datetime) -> datetime:
    """Return the time by the exchange whose clock is the farthest ahead of this machine's, as a tick measured it last.

    A minute that is over there is none of the future, although it has yet to come by a clock that is behind.
    """
    behind = [-seconds for seconds in clock_differences(store.folder.state, now).values()]
    return now + timedelta(seconds=max([0.0, *behind]))
