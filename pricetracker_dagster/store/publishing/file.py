"""The published file: what is in it, what the current one says of itself, and how a new one takes its place.

It has tables of the last 24 hours, and views over the explicit list of live Parquet files; which columns they have is
said in store/schema.py. When a file is built is the business of publish.py.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, utc
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.files.data_folder import DataFolder, is_same_folder
from pricetracker_dagster.files.replacing import sync
from pricetracker_dagster.store import schema
from pricetracker_dagster.store.coverage import Gaps, expected
from pricetracker_dagster.store.live_files import LiveFile, files_of, rows_by_name, rows_in
from pricetracker_dagster.store.market_names import MarketNames
from pricetracker_dagster.store.publishing.kept import hours_of, keep, whole_of
from pricetracker_dagster.store.publishing.kept_files import KeptFiles
from pricetracker_dagster.store.publishing.kept_hours import ROWS, KeptHour, PastHours, presence
from pricetracker_dagster.store.publishing.kept_parts import PREVIOUS
from pricetracker_dagster.store.publishing.layout import lay_out
from pricetracker_dagster.store.publishing.markets import fill_markets
from pricetracker_dagster.store.publishing.partials import OF, Partials
from pricetracker_dagster.store.publishing.ranking import rank
from pricetracker_dagster.store.records import NOT_RUN
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.tracked import tracked_since

SCHEMA_VERSION = 1
"""Version of the tables that users read. A change that could break a query raises it."""

_CANDLE = schema.sql_types(SCHEMA)


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        as_of: the newest closed minute it covers, UTC; None while nothing is stored.
        rows: how many minutes are stored in all.
        metrics: how many metrics have a value in the 24 hours up to ``as_of``.
        values: how many values these have: the rows of history_24h.
        built: False where another process had just published the same.
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


@dataclass(frozen=True)
class CurrentFile:
    """The file that is published now, and from what it was built."""

    published: Published
    versions: list[int]
    tracked: list[str] | None
    folder: str
    markets: str

    def says_the_same(
        self, versions: list[int], tracked: list[str] | None, markets: str, minute: datetime | None
    ) -> bool:
        """Say whether a new file would differ in nothing but its time."""
        covers = minute is None or (self.published.as_of is not None and self.published.as_of >= minute)
        return covers and (self.versions, self.tracked, self.markets) == (versions, tracked, markets)

    def is_of(self, folder: DataFolder) -> bool:
        """Say whether it was built from this data folder: one that was copied reads the files of another."""
        return is_same_folder(self.folder, folder.path)


@contextmanager
def before(published: Path) -> Iterator[CurrentFile | None]:
    """Attach the published file as ``previous`` in the block; None where there is none, or none that can be used."""
    with ExitStack() as attached:
        found = None
        if published.exists():
            with suppress(duckdb.Error):  # damaged, or of another version of this project
                attached.enter_context(sql.beside(published, PREVIOUS))
                found = _said(published)
        yield found


def current_file(published: Path) -> CurrentFile | None:
    """Read what the published file says of itself; None where there is none, or none that can be used."""
    with before(published) as found:
        return found


def _said(published: Path) -> CurrentFile | None:
    row = sql.connect().execute(sql.load("store/publishing/sql/current_file.sql")).fetchone()
    if row is None:
        return None
    as_of, rows, metrics, values, schema_version, versions, tracked, folder, markets = row
    if schema_version != SCHEMA_VERSION:
        return None
    as_of = None if as_of is None else utc(as_of)
    found = Published(published, as_of, rows, metrics, values, built=False, seconds=0.0)
    return CurrentFile(found, versions, tracked, folder, markets)


class Built(NamedTuple):
    """What was built: the Parquet files that the views name, and how many metrics have how many values."""

    named: Sequence[str]
    metrics: int
    values: int


def build(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    live: Sequence[LiveFile],
    recorded: Mapping[str, DeltaTable | None],
    tracked: list[str] | None,
    names: MarketNames,
    *,
    as_of: datetime | None,
    now: datetime,
    previous: bool,
) -> Built:
    """Fill the connection's current database, which is new.

    Args:
        connection: its current database is new.
        store: what is published.
        live: the files of the prices.
        recorded: the small tables, opened.
        tracked: the tracked metrics; None: all.
        names: how their markets are told apart.
        as_of: the newest minute to be covered, UTC.
        now: the current time, UTC.
        previous: whether the file published before is attached as ``previous``, from which is taken what is the same.
    """
    window = None if as_of is None else MinuteRange(as_of - DAY + MINUTE, as_of)
    hours = [] if window is None else hours_of(live, window)
    files = sorted(file.path for file in live)
    # A view's text cannot take parameters: the paths of live files are quoted into it here, and nowhere else.
    sources = {"all_files": rows_in(files, _CANDLE), "other_hours": _other_hours(hours)}
    sources["in_window"] = "false" if window is None else _between(*window)
    sources["measures"] = ", ".join(f"({sql.literal(measure)})" for measure in MEASURES)
    named = [*files]
    for each in store.records:
        of_it = recorded[each.name]
        own = [] if of_it is None else files_of(of_it)
        sources[each.name] = rows_by_name(own, schema.sql_types(each.schema))
        named += own
    lay_out(connection, sources, previous=previous)
    past = PastHours(connection, KeptFiles(store.folder.kept_hours))
    if not previous:
        past.files.clear()
    kept = None if window is None else keep(connection, hours, window, past, previous=previous)
    merged = None if kept is None else kept.merged()
    metrics = 0 if merged is None else int((merged.counts[0] > 0).sum())
    connection.execute(
        sql.load("store/publishing/sql/snapshot.sql"),
        {
            "as_of": as_of,
            "published_at": now,
            "metrics": metrics,
            "rows": sum(file.rows for file in live),
            "schema_version": SCHEMA_VERSION,
        },
    )
    if window is not None and kept is not None:
        if merged is not None:
            rank(connection, merged, window.last)
            fill_markets(merged, names, tracked, hours, window, past)
        gaps = _gaps(connection, tracked, window, merged, lambda: presence(kept.edges, past.whole(whole_of(hours))))
        since = tracked_since(store.folder.state, gaps) if gaps else {}
        missing = expected(gaps, store.prices, since, window.first)
        missed = [{"metric": metric, **gap._asdict()} for metric, of_it in missing.items() for gap in of_it]
        if missed:
            values = {"missed": missed, "first": window.first, "not_run": NOT_RUN}
            connection.execute(sql.filled("store/publishing/sql/missed.sql", sources), values)
    return Built(named, metrics, 0 if merged is None else int(merged.counts[OF].sum()))


def _other_hours(hours: Sequence[KeptHour]) -> str:
    """Return what a view selects from for the hours that are not kept as rows."""
    others = [hour for hour in hours if hour.kind != ROWS]
    source = rows_in(sorted(frozenset().union(*(hour.files for hour in others))), _CANDLE)
    return f"{source} WHERE {_between(others[0].since, others[-1].last)}" if others else source


def _between(first: datetime, last: datetime) -> str:
    """Return the condition for minutes from ``first`` to ``last``, as a view has it, which takes no parameters."""
    return f"minute BETWEEN TIMESTAMPTZ '{first.isoformat()}' AND TIMESTAMPTZ '{last.isoformat()}'"


def _gaps(
    connection: duckdb.DuckDBPyConnection,
    tracked: list[str] | None,
    window: MinuteRange,
    merged: Partials | None,
    known: Callable[[], pa.Table],
) -> Gaps:
    """Return the minutes of the window without a row, of each metric that lacks any."""
    counts = {} if merged is None else dict(zip(merged.metrics.to_pylist(), merged.counts[0].tolist(), strict=True))
    wanted = [metric for metric, rows in counts.items() if rows] if tracked is None else tracked
    incomplete = sorted(metric for metric in wanted if counts.get(metric, 0) < DAY // MINUTE)
    gaps: Gaps = {}
    if incomplete:  # mostly none is
        connection.register("presence", known())
        values = {"metrics": incomplete, **window._asdict()}
        connection.execute(sql.load("store/publishing/sql/gaps_of_day.sql"), values)
        for metric, first, last in connection.fetchall():
            gaps.setdefault(metric, []).append(MinuteRange(utc(first), utc(last)))
        connection.unregister("presence")
    return gaps


def remove_orphans(published: Path) -> None:
    """Remove what a killed process left behind. Called by the only process that publishes."""
    for orphan in published.parent.glob(f".{published.name}.*"):
        orphan.unlink(missing_ok=True)
    # A user's read-write session leaves one; with it, the next file would be read as damaged.
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)


def mode_for(new: Path, named: Sequence[str]) -> int:
    """Return the mode of the published file: whoever may read it may read all that its views name, or none of it.

    The umask decides for both; where files were written under different ones, the strictest does.
    """
    mode = new.stat().st_mode
    for path in named:  # thousands after some years: not as Path, which takes ten times as long
        with suppress(OSError):  # one that is gone is reported elsewhere
            mode &= os.stat(path).st_mode  # noqa: PTH116
    for folder in {path.rpartition("/")[0] for path in named}:
        with suppress(OSError):
            mode &= os.stat(folder).st_mode << 2  # noqa: PTH116 - whoever may enter it
    return mode & 0o444 | 0o400


def swap_in(new: Path, published: Path, mode: int) -> None:
    """Replace the published file by the new one, which nobody may write."""
    new.chmod(mode)
    sync(new)
    published.with_name(f"{published.name}.wal").unlink(missing_ok=True)
    new.replace(published)
    sync(published.parent)
