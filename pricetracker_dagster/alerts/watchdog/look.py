"""One look of the watchdog: observe, judge, report.

Here belongs what is read of store, disk and clock, without Dagster: its signs of life are handed in. What standing
still means is in judge.py, how it is recorded and sent in reporting.py.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pricetracker_dagster.alerts.incidents.standstill import (
    CAUSES,
    EVALUATION,
    PUBLICATION,
    SETTINGS,
    STILL,
    STORAGE,
    Verdict,
    ended,
    failing_sensors,
    kind_of,
)
from pricetracker_dagster.alerts.watch import PUBLISH_PATIENCE, publish_what_changed
from pricetracker_dagster.alerts.watchdog.judge import judge
from pricetracker_dagster.alerts.watchdog.observation import Observation, Sign
from pricetracker_dagster.alerts.watchdog.reporting import report
from pricetracker_dagster.candles.minutes import DAY, MINUTE, newest_closed_minute
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.publishing.access import covered
from pricetracker_dagster.store.publishing.publish import publish, publish_if_moved
from pricetracker_dagster.store.records import NOT_RUN, RUN_FAILED, Row
from pricetracker_dagster.store.store import Store, open_store

_OF_LATE = 10 * MINUTE


@dataclass(frozen=True)
class Look:
    """What one look saw, its verdict on each kind, and what it did.

    ``changed`` are rows of the table incidents that are new or changed, ``attempts`` the rows of the table deliveries
    that were added, ``troubles`` what could not be seen, recorded or sent, in plain words.
    """

    seen: Observation
    verdicts: Mapping[str, Verdict]
    changed: Sequence[Row]
    attempts: Sequence[Row]
    troubles: Sequence[str]

    @property
    def still(self) -> dict[str, Verdict]:
        """What stands still, by kind."""
        return {kind: verdict for kind, verdict in self.verdicts.items() if verdict.state == STILL}

    @property
    def well(self) -> bool:
        """Whether nothing stands still and everything could be seen."""
        return not self.still and not self.troubles


def watch_standstill(
    settings: Settings,
    now: datetime,
    signs: Callable[[], tuple[Sequence[Sign], datetime | None]],
    *,
    since: datetime | None = None,
    unreadable: str | None = None,
) -> Look:
    """Look once, record the incidents this makes, send what is due.

    Recorded first, under an id that stays: a crash between recording and sending loses nothing and doubles nothing.

    Args:
        settings: the limits, channels and routes.
        now: the current time, UTC.
        signs: returns the signs of life of Dagster's parts, and the newest time in the future that it has stored.
        since: from when on the watch looks without a break; None: it looks once.
        unreadable: why the settings cannot be read, where these are the last that could be; empty: they can; None:
            not known.
    """
    seen, troubles = Observation(now, since=since, unreadable=unreadable), list[str]()
    _observe(seen, settings, signs, troubles)
    verdicts = judge(seen, settings.watch)
    outcome = report(settings, now, verdicts, "watch", seen.damaged)
    troubles += outcome.troubles
    try:
        publish_what_changed(settings, now, outcome)
        publish_if_moved(open_store(settings), [str(metric) for metric in settings.tracked], now=now)
    except Exception as error:
        if not _is_of(seen.damaged, error) and first_line(error) != seen.unpublished:
            troubles.append(f"it could not be published: {first_line(error)}")
    return Look(seen, verdicts, outcome.incidents, outcome.attempts, troubles)


def _observe(
    seen: Observation,
    settings: Settings,
    signs: Callable[[], tuple[Sequence[Sign], datetime | None]],
    troubles: list[str],
) -> None:
    """Observe what can be read; what cannot be read is a trouble, and hides nothing else."""
    store, now = open_store(settings), seen.now
    try:
        seen.signs, seen.ahead = signs()
    except Exception as error:  # SQLAlchemy's, Dagster's, the file system's
        troubles.append(f"Dagster's storage in {settings.data_folder.dagster_home} cannot be read: {first_line(error)}")
    try:
        seen.damaged = damaged_tables(store)
    except Exception as error:
        troubles.append(f"the tables in {settings.folder} cannot be looked at: {first_line(error)}")
    try:
        seen.newest = newest_minute(settings, now)
        rows = store.records.incidents.rows()
        seen.covered = is_explained(rows, settings, now)
        seen.recovered = ended(EVALUATION, rows, now)
        mended = (ended(kind, rows, now) for kind in (STORAGE, SETTINGS))
        seen.mended = max((moment for moment in mended if moment is not None), default=None)
        opened = [row for row in rows if row["cause"] in CAUSES and row["state"] == "open"]
        seen.behind = any(kind_of(row) == PUBLICATION for row in opened)
        seen.failing = failing_sensors(opened)
    except Exception as error:
        if not _is_of(seen.damaged, error):
            troubles.append(f"the stored prices cannot be read: {first_line(error)}")
        seen.covered = True  # not known
    seen.published, seen.unpublished = publish_if_behind(settings, seen.newest, now, at_once=seen.behind)
    try:
        seen.free = free_bytes(settings.folder)
    except OSError as error:
        troubles.append(f"{settings.folder}: {error.strerror}")
    seen.clocks = clock_differences(settings.state, now)


def publish_if_behind(
    settings: Settings, newest: datetime | None, now: datetime, *, at_once: bool = False
) -> tuple[datetime | None, str]:
    """Return what the published file covers; where that is behind for long, publish, and say why that fails.

    ``newest`` is the newest stored minute, UTC; None: not known. ``at_once``: publish wherever it is behind at all.
    """
    store = open_store(settings)
    as_of = published_until(store)
    limit = timedelta() if at_once else settings.watch.standstill_minutes * MINUTE
    if newest is None or (as_of is not None and newest - as_of <= limit):
        return as_of, ""
    try:
        published = publish(store, [str(metric) for metric in settings.tracked], now=now, patience=PUBLISH_PATIENCE)
    except Exception as error:
        return as_of, first_line(error)
    return published.as_of, ""


def published_until(store: Store) -> datetime | None:
    """Return the newest minute that the published file covers, UTC; None where there is none, or it cannot be read."""
    with suppress(Exception):  # one that cannot be read is published anew
        return covered(store.folder.published)
    return None


def _is_of(damaged: Sequence[str] | None, error: Exception) -> bool:
    """Say whether an error is one of the damages that are reported already."""
    return str(error) in (damaged or ())


def damaged_tables(store: Store) -> list[str]:
    """Say which tables are damaged and how, a line each with the way out.

    No data file is read through for that.
    """
    found = []
    for delta in store.tables:
        try:
            delta.open_whole()
        except StoreError as error:
            if error.damage is None:
                raise
            found.append(str(error))
    return found


def newest_minute(settings: Settings, now: datetime) -> datetime | None:
    """Return the newest stored minute that is over by now, of whichever tracked metric, UTC; the last 24 hours."""
    metrics, prices = [str(metric) for metric in settings.tracked], open_store(settings).prices
    closed = newest_closed_minute(now)
    # as a rule it is one of the newest: a day of all metrics need not be read for it
    of_late = prices.newest(metrics, closed - _OF_LATE, closed) or prices.newest(metrics, now - DAY, closed)
    return max(of_late.values(), default=None)


def is_explained(rows: Iterable[Row], settings: Settings, now: datetime) -> bool:
    """Say whether an open incident explains why the newest minutes are not there: an exchange that is away."""
    recent = now - timedelta(minutes=settings.watch.standstill_minutes + 1)
    return any(
        row["state"] == "open"
        and row["cause"] not in {*CAUSES, NOT_RUN, RUN_FAILED}
        # one that lies in the future was recorded by a clock that was ahead
        and recent <= row["last"] <= now
        for row in rows
    )


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free where a folder lies, or will lie.

    Raises:
        OSError: it cannot be asked.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
