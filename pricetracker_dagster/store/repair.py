"""``pricetracker repair``: what is wrong with a data folder, and mending it without losing a row that can be read.

Here belongs what is looked for and the order in which it is mended. What is wrong with one table is found in damage.py,
how a table is made whole again is in rebuild.py. Nothing is deleted: what is taken out of use is moved to
``set-aside/<time>/``. A repair that is killed has lost nothing and can be done again.
"""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableName
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked, said_by_holder
from pricetracker_dagster.files.replacing import left_over
from pricetracker_dagster.store import rebuild
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.damage import REBUILD, Kind, is_no_folder
from pricetracker_dagster.store.delta import Delta, StoreError, access, literal, patterns, writing
from pricetracker_dagster.store.prices import PARTITION, files_of
from pricetracker_dagster.store.reading import moved_from
from pricetracker_dagster.store.rebuild import Kept
from pricetracker_dagster.store.store import Store

_PATIENCE = 180.0
"""Seconds to wait for a tick, a sensor, an import that is at work."""

_LOOK_BACK = 7 * DAY
"""How far back missing minutes are listed where nothing says which were lost."""

_STILL_WRITTEN = 600.0
"""Seconds after which no writer is at work on its temporary file any more."""

_SQL = Path(__file__).parent / "sql"
_LEFT_BY_A_WRITER = re.compile(r".+(\.tmp|\.cut|#\d+)")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        part: the table, or what else it belongs to.
        file: which file, relative to the data folder; empty where it is about rows.
        what: what is wrong and what is lost by it, in plain words.
        remedy: what a repair does about it.
    """

    part: str
    file: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Again:
    """Minutes to fetch again.

    Attributes:
        metric: of which metric.
        first: the oldest, UTC.
        last: the newest, UTC.
        why: MISSING, RETURNED or FILLED.
    """

    metric: str
    first: datetime
    last: datetime
    why: str


MISSING = "missing"
RETURNED = "put back from replaced files, so a correction since may be lost"
FILLED = "without trades, and the exchange can still be asked"


@dataclass
class Repair:
    """What was found and done.

    Attributes:
        found: what is wrong.
        done: what was done about it, a line a step.
        left: what is wrong still; nothing was mended where it equals ``found``.
        set_aside: the folder that holds what was taken out of use; None where nothing was.
        again: minutes to fetch again.
    """

    found: list[Finding] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)
    set_aside: Path | None = None
    again: list[Again] = field(default_factory=list)


def tables_of(store: Store) -> list[tuple[Delta, Kept]]:
    """Return every Delta table of a data folder, and what tells its rows apart."""
    return [
        (store.prices.delta, Kept(("metric", "minute"), "fetched_at")),
        *((each, Kept(each.key)) for each in store.records),
    ]


def look(store: Store, now: datetime) -> list[Finding]:
    """Return what is wrong with a data folder. Nothing is changed.

    Args:
        store: what the data folder holds.
        now: the current time, UTC.

    Raises:
        StoreError: a file that is there cannot be read, as it is another user's or the disk fails: so nothing is known.
    """
    found = []
    folder = store.folder.path
    now = _by_the_exchanges(store, now)
    for delta, _ in tables_of(store):
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


def repair(store: Store, now: datetime, metrics: Sequence[str], publish: Callable[[], object]) -> Repair:
    """Mend what is wrong with a data folder. Ticks and sensors wait meanwhile.

    Args:
        store: what the data folder holds.
        now: the current time, UTC.
        metrics: the tracked metrics, whose missing minutes are listed.
        publish: publishes anew, once all is mended.

    Raises:
        StoreError: others were at work all the time, or the folder cannot be read or written.
    """
    done = Repair(found=look(store, now))
    if not done.found:
        return done
    folder = store.folder.path
    store.prices.delta.check_space(0)
    latest = newest_closed_minute(_by_the_exchanges(store, now))
    aside = _aside(store.folder, now)
    spans: list[tuple[MinuteRange, bool]] = []
    returned: list[Again] = []
    with _alone(store.folder.state), writing(store.prices.delta.location, alone=True):
        for delta, kept in tables_of(store):
            mended = rebuild.mend(delta, kept, aside / delta.name, latest)
            if mended is None:
                continue
            done.done += [f"{delta.name}: {said}" for said in mended.said]
            if delta is store.prices.delta:
                spans += [(lost, False) for lost in mended.lost]
                # where no row is left, no first one says since when minutes are expected
                look_back = MinuteRange(latest - _LOOK_BACK, latest), store.prices.rows() > 0
                spans += [look_back] if mended.unknown else []
                returned += [Again(metric, *span, RETURNED) for metric, span in mended.returned if metric in metrics]
        done.done += _remove_future(store, latest, aside)
        for file in stray_files(store):
            _set_aside(file, folder, aside)
            done.done.append(f"{file.relative_to(folder)} was set aside")
        done.done += _renew_databases(store.folder, aside)
    publish()
    done.done.append("published anew")
    done.again = _missing(store, metrics, spans, latest) + returned
    done.left = look(store, now)
    done.set_aside = aside if aside.exists() else None
    return done


def filled(store: Store, since: dict[str, datetime], latest: datetime) -> list[Again]:
    """Return the minutes without trades that are stored of metrics since a time, UTC, each.

    Whether an exchange has said so or nobody knew better cannot be told from a row: it can still be asked.
    """
    if not since:
        return []
    files = store.prices.files(min(since.values()), latest)
    if not files:
        return []
    values = {
        "files": patterns(files),
        "since": [{"metric": metric, "first": first} for metric, first in since.items()],
        "last": latest,
    }
    with store.prices.delta.read():
        rows = sql.connect().execute(sql.load(_SQL / "filled.sql"), values).fetchall()
    return [
        Again(metric, datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC), FILLED)
        for metric, first, last in rows
    ]


def stray_files(store: Store) -> list[Path]:
    """Return temporary files of processes that are no more."""
    folder = store.folder
    found = [file for place in (folder.path, folder.state, folder.dagster_home) for file in left_over(place)]
    for delta, _ in tables_of(store):
        temporary = (file for file in delta.path.rglob("*") if _LEFT_BY_A_WRITER.fullmatch(file.name))
        found += [file for file in temporary if file.is_file() and _is_old(file)]
        if (delta.path / REBUILD).exists():
            found.append(delta.path / REBUILD)
    return sorted(found)


def _is_old(file: Path) -> bool:
    """Say whether no writer can be at work on a file any more: each is done within a minute or two."""
    with suppress(OSError):
        return time.time() - file.stat().st_mtime > _STILL_WRITTEN
    return False


def _by_the_exchanges(store: Store, now: datetime) -> datetime:
    """Return the time by the exchange whose clock is the farthest ahead of this machine's, as a tick measured it last.

    A minute that is over there is none of the future, although it has yet to come by a clock that is behind.
    """
    behind = [-seconds for seconds in clock_differences(store.folder.state, now).values()]
    return now + timedelta(seconds=max([0.0, *behind]))


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


def _remove_future(store: Store, latest: datetime, aside: Path) -> list[str]:
    """Remove the rows of minutes that are not closed, by a commit, once they are kept elsewhere."""
    table = store.prices.open()
    files = [] if table is None else files_of(table, latest + MINUTE)
    if table is None or not files:
        return []
    connection = sql.connect()
    rows = connection.sql(sql.load(_SQL / "future.sql"), params={"files": patterns(files), "latest": latest})
    count = len(rows)
    if not count:
        return []
    keep = aside / TableName.MINUTE_PRICES / "rows_of_the_future.parquet"
    keep.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(str(keep))
    day = f"{PARTITION} >= DATE '{latest:%Y-%m-%d}'"
    table.delete(f"{day} AND minute > {literal(int(latest.timestamp()))}")
    return [f"minute_prices: {count:,} rows of minutes that are not closed were removed"]


def _published(folder: DataFolder) -> Iterator[Finding]:
    published = folder.published
    if not published.exists():
        return
    problem = None
    try:
        sql.connect_to(published).close()
    except duckdb.Error:
        with access(folder.path, ""), published.open("rb"):
            problem = "cannot be read; nothing is lost by that"
    if old := moved_from(published):
        problem = f"reads the files of {old} still, from where the data folder was moved or copied"
    if problem:
        yield Finding("published file", published.name, problem, "it is published anew")


def _databases(folder: DataFolder) -> Iterator[Finding]:
    """Look at Dagster's own SQLite files: what it remembers of runs, events, schedules. No price is in them."""
    runs = said_by_holder(folder.state / StateFile.UP_LOCK)
    for file, problem in damaged_databases(folder.dagster_home):
        remedy = "it is set aside and Dagster makes a new one; prices are untouched"
        if runs:
            remedy = f"stop `pricetracker up` first ({runs}); then {remedy}"
        yield Finding("Dagster", str(file.relative_to(folder.path)), problem, remedy)


def damaged_databases(home: Path) -> Iterator[tuple[Path, str]]:
    """Return Dagster's SQLite files that are damaged, and what is wrong with each, as it goes on after its name."""
    for place in (home, *(home / name for name in ("history", "history/runs", "schedules"))):
        if is_no_folder(place):
            yield place, "is no folder, and with it what Dagster remembers there"
    for file in sorted(home.rglob("*.db")):
        if problem := _damage_of_database(file):
            yield file, problem


def _damage_of_database(file: Path) -> str | None:
    """Say what is wrong with an SQLite file; None where nothing is, or others are at it."""
    lost = "and with it what Dagster remembers there"
    if not file.is_file():
        return f"is no file, {lost}"
    if not file.stat().st_size:
        return f"is empty, {lost}"
    wal = file.with_name(f"{file.name}-wal").exists()
    address = f"{file.absolute().as_uri()}?mode=ro{'' if wal or os.access(file.parent, os.W_OK) else '&immutable=1'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            [(said, *_), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError:  # locked, a full or a read-only disk: that tells nothing of the file
        return None
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error}), {lost}"
    return None if said == "ok" else f"is damaged ({said}), {lost}"


def _renew_databases(folder: DataFolder, aside: Path) -> list[str]:
    if said_by_holder(folder.state / StateFile.UP_LOCK):
        return []
    done = []
    for file, _ in list(damaged_databases(folder.dagster_home)):
        for end in ("", "-wal", "-shm"):  # with SQLite's files beside it
            _set_aside(file.with_name(f"{file.name}{end}"), folder.path, aside)
        done.append(f"{file.relative_to(folder.path)} was set aside: Dagster makes a new one")
    return done


def _missing(
    store: Store, metrics: Sequence[str], spans: Sequence[tuple[MinuteRange, bool]], latest: datetime
) -> list[Again]:
    """Return which minutes of some spans are not stored."""
    found: set[tuple[str, datetime, datetime]] = set()
    for span, since_first_row in spans:
        since = dict.fromkeys(metrics, None if since_first_row else span.first)
        gaps = missing(store.prices, since, span.first, min(span.last, latest))
        found |= {(metric, gap.first, gap.last) for metric, of_metric in gaps.items() for gap in of_metric}
    return [Again(*each, MISSING) for each in sorted(found)]


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the locks of ticks, of those who record and send, and of publishers, in the order in which they are taken.

    Raises:
        StoreError: others hold them all the time, or they cannot be made.
    """
    deadline = Deadline.after(_PATIENCE)
    with ExitStack() as locks:
        for name in (StateFile.TICK_LOCK, StateFile.ALERTS_LOCK, StateFile.PUBLISH_LOCK):
            file = state / name
            try:
                locks.enter_context(locked(file, deadline))
            except OSError as error:
                raise StoreError(f"{error.filename}: {error.strerror}", "") from error
            except DeadlineExceeded:
                raise StoreError(f"{file} is held by another process all the time: try again", "") from None
        yield


def _aside(folder: DataFolder, now: datetime) -> Path:
    """Name a folder for what this repair sets aside, that no other has used."""
    name = f"{now:%Y-%m-%dT%H%M%SZ}"
    places = (folder.set_aside / (name if not i else f"{name}-{i}") for i in range(1_000_000))
    return next(place for place in places if not place.exists())


def _set_aside(file: Path, folder: Path, aside: Path) -> None:
    rebuild.move(file, aside / file.relative_to(folder))
