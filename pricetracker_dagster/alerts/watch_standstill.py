"""One look at whether anything stands still: see, judge, record, send.

Here belongs the order of these steps and what is seen of store, disk and clock, without Dagster: what that says of
itself is handed in. What standing still means is in standstill.py.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pricetracker_dagster.alerts import notify, unrecorded
from pricetracker_dagster.alerts.recording import record
from pricetracker_dagster.alerts.standstill import (
    CAUSES,
    EVALUATION,
    STILL,
    STORAGE,
    Seen,
    Sign,
    Verdict,
    ended,
    judge,
    review,
)
from pricetracker_dagster.alerts.transitions import INCIDENT
from pricetracker_dagster.alerts.watch import PUBLISH_PATIENCE, one_at_a_time
from pricetracker_dagster.alerts.yet_to_come import put_right
from pricetracker_dagster.candles import DAY, MINUTE, newest_closed_minute
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store import reading
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.delta import StoreError
from pricetracker_dagster.store.prices import Store
from pricetracker_dagster.store.publish import publish, publish_if_moved
from pricetracker_dagster.store.records import NOT_RUN, Records, Row

_TELLING = ("incidents", "messages", "deliveries")
"""The tables without which nothing can be told as usual."""


@dataclass(frozen=True)
class Look:
    """What one look found and did.

    Attributes:
        seen: what it saw.
        verdicts: of each kind.
        changed: rows of the table incidents that are new or changed.
        attempts: rows of the table deliveries that were added.
        troubles: what could not be seen, recorded or sent, in plain words.
    """

    seen: Seen
    verdicts: Mapping[str, Verdict]
    changed: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    troubles: Sequence[str] = field(default_factory=list)

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
) -> Look:
    """Look once, record the incidents this makes, send what is due.

    Recorded first, under an id that stays: a crash between recording and sending loses nothing and doubles nothing.

    Args:
        settings: the limits, and whom to tell.
        now: the current time, UTC.
        signs: returns the signs of life of Dagster's parts, and the newest time in the future that it has stored.
        since: from when on the watch looks without a break; None: it looks once.
    """
    troubles: list[str] = []
    seen = _seen(settings, now, signs, since, troubles)
    verdicts = judge(seen, settings.watch)
    changed: list[Row] = []
    attempts: list[Row] = []
    try:
        with one_at_a_time(settings):
            attempts = _record_and_send(settings, now, verdicts, changed)
            if seen.damaged is not None and not seen.damaged:
                troubles += unrecorded.tell_end(settings, now)
    except StoreError as error:  # the tables of alarms are damaged themselves: nobody else would tell it
        troubles.append(f"it could not be recorded or sent: {error}")
        if error.damage is not None and error.table in _TELLING:
            troubles += unrecorded.tell(settings, now, str(error))
    except Exception as error:  # a full disk, another look that is at work: still to be said
        troubles.append(f"it could not be recorded or sent: {first_line(error)}")
    tracked = [str(metric) for metric in settings.tracked]
    try:
        if changed or attempts:
            publish(Store(settings.folder), tracked, now=now, patience=PUBLISH_PATIENCE)
        else:
            publish_if_moved(Store(settings.folder), tracked, now=now)
    except Exception as error:
        if not _is_of(seen.damaged, error):
            troubles.append(f"it could not be published: {first_line(error)}")
    return Look(seen, verdicts, changed, attempts, troubles)


def _record_and_send(
    settings: Settings, now: datetime, verdicts: Mapping[str, Verdict], changed: list[Row]
) -> list[Row]:
    """Record what the verdicts change, which is added to ``changed``; send what is due and return the attempts."""
    records = Records(settings.folder)
    table = records.incidents.open()
    if table is None and not any(verdict.state == STILL for verdict in verdicts.values()):
        return []
    with suppress(Exception):  # a table that is damaged keeps nothing from being told
        put_right(records, now)
    rows = [row for row in records.incidents.rows() if row["cause"] in CAUSES]
    news = review(verdicts, rows, now)
    changed += record(settings, records, INCIDENT, rows, news, now)
    told_lately = now - settings.alerts.max_age_minutes * MINUTE
    if news or any(row["state"] == "open" or row["resolved_at"] >= told_lately for row in rows):
        return notify.deliver(settings, records, now)
    return []


def _seen(
    settings: Settings,
    now: datetime,
    signs: Callable[[], tuple[Sequence[Sign], datetime | None]],
    since: datetime | None,
    troubles: list[str],
) -> Seen:
    """See what can be seen; what cannot is a trouble, and hides nothing else."""
    parts: Sequence[Sign] = ()
    ahead = newest = recovered = mended = free = damaged = None
    covered = False
    try:
        parts, ahead = signs()
    except Exception as error:  # SQLAlchemy's, Dagster's, the file system's
        troubles.append(f"Dagster's storage in {settings.folder / 'dagster'} cannot be read: {first_line(error)}")
    try:
        damaged = damages(settings.folder)
    except Exception as error:
        troubles.append(f"the tables in {settings.folder} cannot be looked at: {first_line(error)}")
    try:
        newest = newest_minute(settings, now)
        rows = Records(settings.folder).incidents.rows()
        covered = is_covered(rows, settings, now)
        recovered, mended = ended(EVALUATION, rows, now), ended(STORAGE, rows, now)
    except Exception as error:
        if not _is_of(damaged, error):
            troubles.append(f"the stored prices cannot be read: {first_line(error)}")
        covered = True  # nobody knows
    published, unpublished = _published(settings, newest, now)
    try:
        free = free_bytes(settings.folder)
    except OSError as error:
        troubles.append(f"{settings.folder}: {error.strerror}")
    clocks = clock_differences(settings.state, now)
    return Seen(
        now,
        parts,
        ahead,
        newest,
        covered=covered,
        recovered=recovered,
        published=published,
        unpublished=unpublished,
        damaged=damaged,
        mended=mended,
        free=free,
        clocks=clocks,
        since=since,
    )


def _published(settings: Settings, newest: datetime | None, now: datetime) -> tuple[datetime | None, str]:
    """Return what the published file covers; where that is behind for long, publish, and say why that fails."""
    store, as_of = Store(settings.folder), None
    with suppress(Exception):  # one that cannot be read is published anew
        as_of = reading.covered(store.published)
    limit = settings.watch.standstill_minutes * MINUTE
    if newest is None or (as_of is not None and newest - as_of <= limit):
        return as_of, ""
    try:
        published = publish(store, [str(metric) for metric in settings.tracked], now=now, patience=PUBLISH_PATIENCE)
    except Exception as error:
        return as_of, first_line(error)
    return published.as_of, ""


def _is_of(damaged: Sequence[str] | None, error: Exception) -> bool:
    """Say whether an error is one of the damages that are told already."""
    return str(error) in (damaged or ())


def damages(folder: Path) -> list[str]:
    """Say which tables are damaged and how, a line each with the way out.

    No data file is read through for that.
    """
    found = []
    for delta in (Store(folder).delta, *Records(folder)):
        try:
            delta.open_whole()
        except StoreError as error:
            if error.damage is None:
                raise
            found.append(str(error))
    return found


def newest_minute(settings: Settings, now: datetime) -> datetime | None:
    """Return the newest stored minute that is over by now, of whichever tracked metric, UTC; the last 24 hours."""
    metrics = [str(metric) for metric in settings.tracked]
    closed = newest_closed_minute(now)
    return max(Store(settings.folder).newest(metrics, now - DAY, closed).values(), default=None)


def is_covered(rows: Iterable[Row], settings: Settings, now: datetime) -> bool:
    """Say whether an open incident tells already why the newest minutes are not there: an exchange that is away."""
    recent = now - timedelta(minutes=settings.watch.standstill_minutes + 1)
    return any(
        row["state"] == "open"
        and row["cause"] not in CAUSES
        and row["cause"] != NOT_RUN
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
