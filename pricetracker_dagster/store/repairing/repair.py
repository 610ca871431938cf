"""``pricetracker repair``: mending a data folder without losing a row that can be read.

Here belongs the order in which it is mended. What is wrong is found in findings.py, how a table is made whole again is
in rebuild.py. Nothing is deleted: what is taken out of use is moved to ``set-aside/<time>/``. A repair that is killed
has lost nothing and can be done again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute, utc
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, TableName
from pricetracker_dagster.files.locks import Deadline, said_by_holder
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.live_files import PARTITION, files_of_minutes, patterns
from pricetracker_dagster.store.repairing import rebuild
from pricetracker_dagster.store.repairing.databases import damaged_databases
from pricetracker_dagster.store.repairing.findings import Finding, look, stray_files, time_of_exchanges
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.writing import check_space, held, literal, writing

_PATIENCE = 180.0
"""Seconds to wait for a tick, a sensor, an import that is at work."""

_LOOK_BACK = 7 * DAY
"""How far back missing minutes are listed where nothing says which were lost."""

_NOT_CLOSED = """
FROM read_parquet($files, hive_partitioning = false) WHERE minute > $latest::TIMESTAMPTZ ORDER BY metric, minute
"""


@dataclass(frozen=True)
class Again:
    """Minutes of a metric to fetch again, from ``first`` to ``last``, UTC; ``why`` is MISSING, RETURNED or FILLED."""

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


def repair(store: Store, now: datetime, metrics: Sequence[str], publish: Callable[[], object]) -> Repair:
    """Mend what is wrong with a data folder. Ticks and sensors wait meanwhile.

    Args:
        store: what the data folder holds.
        now: the current time, UTC.
        metrics: the tracked metrics, whose missing minutes are listed.
        publish: publishes anew, once all is mended.

    Raises:
        StoreError: other processes hold the locks until the deadline, or the folder cannot be read or written.
    """
    done = Repair(found=look(store, now))
    if not done.found:
        return done
    folder = store.folder.path
    check_space(store.prices.location, 0)
    latest = newest_closed_minute(time_of_exchanges(store, now))
    aside = _aside(store.folder, now)
    spans: list[tuple[MinuteRange, bool]] = []
    returned: list[Again] = []
    with _alone(store.folder.state), writing(store.prices.location, alone=True):
        for delta in store.tables:
            mended = rebuild.mend(delta, aside / delta.name, latest)
            if mended is None:
                continue
            done.done += [f"{delta.name}: {step}" for step in mended.steps]
            if delta is store.prices:
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

    A row does not tell whether the exchange stated it or it was filled in: the exchange can still be asked.
    """
    if not since:
        return []
    files = store.prices.files(min(since.values()), latest)
    if not files:
        return []
    begun = [{"metric": metric, "first": first} for metric, first in since.items()]
    rows = store.prices.ask("without_trades.sql", files, since=begun, last=latest).fetchall()
    return [Again(metric, utc(first), utc(last), FILLED) for metric, first, last in rows]


def _remove_future(store: Store, latest: datetime, aside: Path) -> list[str]:
    """Remove the rows of minutes that are not closed, by a commit, once they are kept elsewhere."""
    table = store.prices.open()
    files = [] if table is None else files_of_minutes(table, latest + MINUTE)
    if table is None or not files:
        return []
    connection = sql.connect()
    rows = connection.sql(_NOT_CLOSED, params={"files": patterns(files), "latest": latest})
    count = len(rows)
    if not count:
        return []
    keep = aside / TableName.MINUTE_PRICES / "rows_of_the_future.parquet"
    keep.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(str(keep))
    day = f"{PARTITION} >= DATE '{latest:%Y-%m-%d}'"
    table.delete(f"{day} AND minute > {literal(int(latest.timestamp()))}")
    return [f"minute_prices: {count:,} rows of minutes that are not closed were removed"]


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
    """Hold the locks of ticks, of those who record and send, and of publishers, in the order they are taken."""
    deadline = Deadline.after(_PATIENCE)
    with ExitStack() as locks:
        for file in (state / StateFile.TICK_LOCK, state / StateFile.ALERTS_LOCK, state / StateFile.PUBLISH_LOCK):
            locks.enter_context(held(file, deadline, f"{file} is held by another process all the time: try again"))
        yield


def _aside(folder: DataFolder, now: datetime) -> Path:
    """Name a folder for what this repair sets aside, that no other has used."""
    name = f"{now:%Y-%m-%dT%H%M%SZ}"
    places = (folder.set_aside / (name if not i else f"{name}-{i}") for i in range(1_000_000))
    return next(place for place in places if not place.exists())


def _set_aside(file: Path, folder: Path, aside: Path) -> None:
    rebuild.move(file, aside / file.relative_to(folder))
