"""The published DuckDB file: built beside the old one, swapped in whole, never written again.

Whoever has it open keeps what they have; whoever opens it next gets the new one. It holds small tables and views over
the explicit list of live Parquet files, which stay on disk for a week after they were replaced.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, minutes_of_day, newest_closed_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.folders import is_same_folder
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store import delta, schema
from pricetracker_dagster.store.coverage import missing_of_day
from pricetracker_dagster.store.delta import StoreError
from pricetracker_dagster.store.prices import counts, files_of, rows_of
from pricetracker_dagster.store.reading import moved_from
from pricetracker_dagster.store.records import NOT_RUN, RecordTable
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import tracked_since
from pricetracker_dagster.store.versions import note_published

SCHEMA_VERSION = 1
"""Version of the tables that users read. A change that could break a query raises it."""

_STORAGE_VERSION = "v1.2.0"
"""The oldest DuckDB that shall open the file. DuckDB 2.0's own format is unreadable to 1.x."""

PATIENCE = 30.0
"""Seconds to wait for another process that publishes, which takes one: the watchdog of a tick lets it wait as long."""

_NOTHING_STORED = -1
"""Stands for the version of a Delta table that is not there yet."""

_DAMAGED = -2
"""Stands for the version of a small table that is damaged: the file is published without it."""

_SQL = Path(__file__).parent / "sql"
_CANDLE = schema.sql_types(SCHEMA)


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        path: the file.
        as_of: the newest closed minute it covers, UTC; None while nothing is stored.
        rows: how many minutes are stored in all.
        metrics: how many metrics have a value in the 24 hours up to ``as_of``.
        values: how many values these have: the rows of history_24h.
        built: False where another process had just published the same.
        seconds: what building and swapping took.
        troubles: what is wrong with small tables, without whose rows it was published, in plain words.
    """

    path: Path
    as_of: datetime | None
    rows: int
    metrics: int
    values: int
    built: bool
    seconds: float
    troubles: tuple[str, ...] = ()


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

    Of processes that publish at once, one builds and the others take its file. A small table that is damaged is left
    out, and that is told.

    Raises:
        StoreError: the prices cannot be read, the folder cannot be written, or another process publishes all the time.
    """
    left_out: dict[str, str] = {}
    store.folder.path.mkdir(parents=True, exist_ok=True)
    with _alone(store.folder.state / StateFile.PUBLISH_LOCK, patience):
        _sweep(store.folder.published)
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
    standing = _standing(store.folder.published)
    covered = None if standing is None else standing.published.as_of  # a later file never covers less
    # what a clock that was ahead wrote lies in the future and is no minute that anybody has seen
    ahead = covered is not None and covered > latest
    here = standing is not None and is_same_folder(standing.folder, store.folder.path)
    if standing is not None and here and not ahead and standing.says_the_same(versions, tracked, minute):
        return replace(standing.published, troubles=troubles)
    rows = 0 if table is None else rows_of(table)
    newest = None if table is None else _newest(table, latest)
    if ahead:
        covered = None
    as_of = max((moment for moment in (newest, minute, covered) if moment is not None), default=None)
    beside = store.folder.published.with_name(f".{store.folder.published.name}.{os.getpid()}.new")
    try:
        with sql.attached(beside, f"STORAGE_VERSION '{_STORAGE_VERSION}'") as connection:
            with _one_commit(connection):
                named = _build(connection, store, table, recorded, tracked, as_of=as_of, now=now, rows=rows)
                connection.execute(
                    sql.load(_SQL / "sources.sql"),
                    {"versions": versions, "tracked": tracked, "folder": str(store.folder.path)},
                )
            [(present, values)] = connection.execute(sql.load(_SQL / "present.sql")).fetchall()
        _swap(beside, store.folder.published, _readable_by(beside, named))
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
    """Read the small tables through, note those that are damaged, and say whether that is news."""
    news = {
        each.name: f"published without the rows of {each.name}: {said}"
        for each in store.records
        if each.name not in left_out and (said := _said_of(each))
    }
    left_out |= news
    return bool(news)


def _said_of(table: RecordTable) -> str | None:
    """Read a small table through; say what is wrong with it, None where nothing is."""
    try:
        found = table.examine()
    except StoreError as error:
        return str(error)
    return delta.way_out(found[0], table.location.folder) if found else None


def _build(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    table: DeltaTable | None,
    recorded: Mapping[str, DeltaTable | None],
    tracked: list[str] | None,
    *,
    as_of: datetime | None,
    now: datetime,
    rows: int,
) -> list[str]:
    """Fill the new database, which is the connection's current one. Return the Parquet files that its views name."""
    first = None if as_of is None else as_of - DAY + MINUTE
    files = [] if table is None else files_of(table)
    recent = [] if table is None or as_of is None else files_of(table, first, as_of)
    connection.execute(schema.create_tables())
    # A view's text cannot take parameters: the paths of live files are quoted into it here, and nowhere else.
    sources = {"all_files": _source(files, _CANDLE), "recent_files": _source(recent, _CANDLE)}
    records, named = store.records, [*files]
    for each in records:
        of_it = recorded[each.name]
        own = [] if of_it is None else delta.files_of(of_it)
        sources[each.name] = _source_by_name(own, schema.sql_types(each.schema))
        named += own
    connection.execute(sql.filled(_SQL / "published_views.sql", sources))
    connection.execute(
        sql.load(_SQL / "snapshot.sql"),
        {"as_of": as_of, "published_at": now, "rows": rows, "schema_version": SCHEMA_VERSION},
    )
    if first is not None and as_of is not None:
        connection.execute(sql.filled(_SQL / "measured.sql", sources))
        connection.execute(sql.load(_SQL / "ranked.sql"))
        # mostly nobody lacks anything, and the minutes need not be read a second time
        connection.execute(sql.load(_SQL / "incomplete.sql"), {"tracked": tracked, "minutes": DAY // MINUTE})
        lacking = [metric for (metric,) in connection.fetchall()]
        missed = [
            {"metric": metric, "first": gap.first, "last": gap.last}
            for metric, gaps in missing_of_day(store.prices, tracked_since(store.folder.state, lacking), as_of).items()
            for gap in gaps
        ]
        connection.execute(
            sql.filled(_SQL / "missed.sql", sources), {"missed": missed, "first": first, "not_run": NOT_RUN}
        )
    connection.execute(schema.comment_on_all())
    return named


@dataclass(frozen=True)
class _CurrentFile:
    """The file that stands there, and of what it was made."""

    published: Published
    versions: list[int]
    tracked: list[str] | None
    folder: str

    def says_the_same(self, versions: list[int], tracked: list[str] | None, minute: datetime | None) -> bool:
        """Say whether a new file would differ in nothing but its time."""
        covers = minute is None or (self.published.as_of is not None and self.published.as_of >= minute)
        return covers and (self.versions, self.tracked) == (versions, tracked)


def _standing(published: Path) -> _CurrentFile | None:
    """Read the file that stands there; None where it is of no use."""
    if not published.exists():
        return None
    try:
        with sql.attached(published) as connection:
            row = connection.execute(sql.load(_SQL / "standing.sql")).fetchone()
    except duckdb.Error:  # damaged, or of another version of this project
        return None
    if row is None:
        return None
    as_of, rows, metrics, values, schema_version, versions, tracked, folder = row
    if schema_version != SCHEMA_VERSION:
        return None
    as_of = None if as_of is None else datetime.fromtimestamp(as_of, UTC)
    found = Published(published, as_of, rows, metrics, values, built=False, seconds=0.0)
    return _CurrentFile(found, versions, tracked, folder)


def publish_if_moved(store: Store, metrics: Sequence[str] | None, *, now: datetime) -> bool:
    """Publish anew where the data folder was moved or copied since: the views read the files of its old place.

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
        files = delta.patterns(files_of(table, *minutes_of_day(day)))
        [(unix,)] = sql.connect().execute(sql.load(_SQL / "newest.sql"), {"files": files, "latest": latest}).fetchall()
        if unix is not None:
            return datetime.fromtimestamp(unix, UTC)
    return None


def _source(files: list[str], columns: Mapping[str, str]) -> str:
    """Return what a view selects from: the files, or no rows of the same columns (name to type)."""
    if not files:
        empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
        return f"(SELECT {empty} WHERE false)"
    return f"read_parquet([{', '.join(map(sql.literal, delta.patterns(files)))}], hive_partitioning = false)"


def _source_by_name(files: list[str], columns: Mapping[str, str]) -> str:
    """Return the same where some files are of an earlier version, which did not know every column: NULL there."""
    none = _source([], columns)
    if not files:
        return none
    named = ", ".join(map(sql.literal, delta.patterns(files)))
    read = f"read_parquet([{named}], hive_partitioning = false, union_by_name = true)"
    return f"(FROM {none} UNION ALL BY NAME FROM {read})"


@contextmanager
def _one_commit(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Write once what would otherwise be written with each statement, of which there are forty."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _alone(lock: Path, patience: float) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(locked(lock, Deadline.after(patience)))
        except DeadlineExceeded:
            raise StoreError(
                f"not published: another process has held {lock} for more than {patience:.0f} seconds; where it is "
                f"stopped, end it (`fuser {lock}` names it)",
                "",
            ) from None
        yield


def sweep(store: Store) -> None:
    """Remove what a publisher that was killed left half-written; the next publication would do it too."""
    with _alone(store.folder.state / StateFile.PUBLISH_LOCK, PATIENCE):
        _sweep(store.folder.published)


def _sweep(published: Path) -> None:
    """Remove what a killed process left behind. Called by the only process that publishes."""
    for orphan in published.parent.glob(f".{published.name}.*"):
        orphan.unlink(missing_ok=True)
    # A user's read-write session leaves one; with it, the next file would be read as damaged.
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)


def _readable_by(new: Path, named: Sequence[str]) -> int:
    """Return the mode of the published file: whoever may read it may read all that its views name, or none of it.

    The umask decides of both; where files were written under different ones, the strictest does.
    """
    mode = new.stat().st_mode
    for path in map(Path, named):
        with suppress(OSError):  # one that is gone is not for this to tell
            mode &= path.stat().st_mode
    for folder in {path.parent for path in map(Path, named)}:
        with suppress(OSError):
            mode &= folder.stat().st_mode << 2  # whoever may enter it
    return mode & 0o444 | 0o400


def _swap(new: Path, published: Path, mode: int) -> None:
    """Put the new file in the old one's place, writable for none."""
    new.chmod(mode)
    sync(new)
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)
    new.replace(published)
    sync(published.parent)
