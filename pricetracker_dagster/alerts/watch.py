"""What the sensors run: look at what is new, record what it means, then send what is due.

Here belongs the order of these steps, so that a crash between any two of them loses nothing and doubles nothing. What
is new is found in detect.py and ``incidents/missed.py``; facts are made of it in ``lifecycle/`` and ``incidents/``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.detect import changed_minutes, judge_changed
from pricetracker_dagster.alerts.future_records import correct_future_records
from pricetracker_dagster.alerts.incidents.missed import review_missed
from pricetracker_dagster.alerts.lifecycle import review as lifecycle
from pricetracker_dagster.alerts.lifecycle.alert import LONGEST, RESOLVED
from pricetracker_dagster.alerts.lifecycle.context import Judged, ReviewContext
from pricetracker_dagster.alerts.messages.events import ALERT, INCIDENT
from pricetracker_dagster.alerts.messages.recording import record, record_ends_of_silences
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, locked
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.delta import opened_once
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import Store, open_store

PATIENCE = 20.0
"""Seconds to wait for another sensor that is at work."""

PUBLISH_PATIENCE = 5.0
"""Seconds to wait for another process that publishes: that one does it as well, and others wait for this look."""


def watch_prices(settings: Settings, now: datetime, cursor: str | None) -> SensorOutcome:
    """Judge what was stored or corrected since the cursor, record the alerts this makes, send what is due.

    Without a cursor nothing is judged: what is stored already is the past. Minutes older than ``collect.heal_days`` are
    never judged, so that importing years of history does not make years of alerts; that is what backtest() is for.
    ``cursor`` is what the last look returned.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    watched = SensorOutcome()
    with _look(settings, now, watched) as (store, operators):
        records, table = store.records, store.prices.open()
        version = -1 if table is None else table.version()
        watched.cursor = str(version)
        changed: dict[str, MinuteRange] = {}
        if table is not None and cursor is not None and int(cursor) != version:
            with store.prices.read():
                changed = changed_minutes(table, int(cursor), settings, now)
        try:
            recorded = _recorded_near(records, now, changed)
            judged = judge_changed(store, settings, now, changed, recorded, watched) if changed else Judged()
            rows = _reviewed(store, settings, now, judged, recorded, watched)
            watched.alerts = record(settings, records, ALERT, recorded, rows, now, operators)
        finally:
            with watched.catching("the message at the end of a silence is not recorded yet"):
                record_ends_of_silences(settings, records, now, operators)
    return watched


def watch_minutes(settings: Settings, now: datetime) -> SensorOutcome:
    """Find the minutes that should be stored and are not, record the incidents they make, send what is due.

    A minute should be stored when it is closed, its metric tracked since it began, and ``alerts.missed_grace_minutes``
    have passed; sooner where a tick has noted that it could not store it. It is looked for over the last 24 hours.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    watched = SensorOutcome()
    with _look(settings, now, watched) as (store, operators):
        recent, rows = review_missed(settings, store, now, watched)
        watched.incidents = record(settings, store.records, INCIDENT, recent, rows, now, operators)
    return watched


@contextmanager
def alerts_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock of those who record and send.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    with locked(settings.state / StateFile.ALERTS_LOCK, Deadline.after(PATIENCE)), opened_once():
        yield


def publish_what_changed(settings: Settings, now: datetime, outcome: SensorOutcome) -> None:
    """Let people read what was recorded."""
    if outcome.alerts or outcome.incidents or outcome.attempts:
        publish(open_store(settings), [str(metric) for metric in settings.tracked], now=now, patience=PUBLISH_PATIENCE)


@contextmanager
def _look(settings: Settings, now: datetime, watched: SensorOutcome) -> Iterator[tuple[Store, OperatorState]]:
    """Send what is due after the block, also where it fails: what is recorded does not wait for what is new."""
    with alerts_lock(settings):
        store = open_store(settings)
        try:
            with watched.catching("records of a clock that was ahead are not corrected yet"):
                correct_future_records(store.records, now)
            operators = OperatorState.read(store.records, now)
            watched.troubles += operators.troubles  # a table that cannot be read
            yield store, operators
        except Exception:
            with watched.catching("messages that are due were not sent"):
                notify.deliver(settings, store.records, now)
            raise
        watched.attempts = notify.deliver(settings, store.records, now)
        with watched.catching("what was recorded is not published yet"):  # the next tick publishes it
            publish_what_changed(settings, now, watched)


def _recorded_near(records: Records, now: datetime, changed: Mapping[str, MinuteRange]) -> list[Row]:
    """Return the alerts that are open, and those near the minutes that changed."""
    near = min((span.first for span in changed.values()), default=now) - DAY
    return records.alerts.rows(
        near - LONGEST, "state <> $resolved OR last_minute >= $near", resolved=RESOLVED, near=near
    )


def _reviewed(
    store: Store,
    settings: Settings,
    now: datetime,
    judged: Judged,
    recorded: Sequence[Row],
    watched: SensorOutcome,
) -> list[Row]:
    """Return the alerts that are new or changed; where that fails, of each metric on its own."""
    if not (judged.above or judged.whole or any(row["state"] != RESOLVED for row in recorded)):
        return []
    tracked = [str(metric) for metric in settings.tracked]
    stored = store.prices.newest(tracked, now - DAY, newest_closed_minute(now))
    context = ReviewContext(now, tracked, stored, settings.alerts.max_age_minutes * MINUTE, judged)
    rules = {rule.name: rule for rule in settings.rules}
    rows: list[Row] = []
    try:
        return lifecycle.review(judged.above, recorded, rules, context)
    except MemoryError:
        raise
    except Exception:
        for metric in sorted({verdict.metric for verdict in judged.above} | {row["metric"] for row in recorded}):
            with watched.catching(f"what is above of {metric} could not be made an alert"):
                own = [verdict for verdict in judged.above if verdict.metric == metric]
                rows += lifecycle.review(own, [row for row in recorded if row["metric"] == metric], rules, context)
    return rows
