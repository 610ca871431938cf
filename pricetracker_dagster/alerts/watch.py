"""What the sensors run: look at what is new, record what it means, then send what is due.

Here belongs the order of these steps, so that a crash between any two of them loses nothing and doubles nothing. What
is new is found in detect.py and ``incidents/missed.py``; facts are made of it in ``lifecycle/`` and ``incidents/``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from pricetracker_dagster.alerts.delivery import notify
from pricetracker_dagster.alerts.detect import Judged, changed_minutes, judge_changed
from pricetracker_dagster.alerts.future_records import correct_future_records
from pricetracker_dagster.alerts.incidents.missed import review_missed
from pricetracker_dagster.alerts.lifecycle import review as lifecycle
from pricetracker_dagster.alerts.lifecycle.alert import LONGEST, RESOLVED
from pricetracker_dagster.alerts.lifecycle.context import ReviewContext
from pricetracker_dagster.alerts.messages.events import ALERT, INCIDENT
from pricetracker_dagster.alerts.messages.recording import record, record_ends_of_silences
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange, newest_closed_minute
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import Deadline, locked
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.delta import opened_once
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import Store, open_store

PATIENCE = 20.0
"""Seconds to wait for another sensor that is at work."""

PUBLISH_PATIENCE = 5.0
"""Seconds to wait for another process that publishes: that one does it as well, and others wait for this look."""

_NOT_CORRECTED = "records of a clock that was ahead are not corrected yet"


def watch_prices(settings: Settings, now: datetime, cursor: str | None) -> SensorOutcome:
    """Judge what was stored or corrected since the cursor, record the alerts this makes, send what is due.

    Without a cursor nothing is judged: what is stored already is the past. Minutes older than ``collect.heal_days`` are
    never judged, so that importing years of history does not make years of alerts; that is what backtest() is for.

    Args:
        settings: the rules, channels and routes.
        now: the current time, UTC.
        cursor: what the last look returned.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    with alerts_lock(settings):
        store = open_store(settings)
        records = store.records
        table = store.prices.open()
        version = -1 if table is None else table.version()
        since = None if cursor is None else int(cursor)
        watched = SensorOutcome(cursor=str(version))
        changed: dict[str, MinuteRange] = {}
        with _sending_what_is_due(settings, records, now, watched):
            with watched.catching(_NOT_CORRECTED):
                correct_future_records(records, now)
            if table is not None and since is not None and since != version:
                with store.prices.read():
                    changed = changed_minutes(table, since, settings, now)
            operators = _operators(records, now, watched)
            try:
                recorded = _recorded_near(records, now, changed)
                judged = judge_changed(store, settings, now, changed, recorded, watched) if changed else Judged()
                watched.alerts = _record(store, settings, now, judged, recorded, operators, watched)
            finally:
                with watched.catching("the message at the end of a silence is not recorded yet"):
                    record_ends_of_silences(settings, records, now, operators)
        _publish_if(store, settings, now, watched)
        return watched


def watch_minutes(settings: Settings, now: datetime) -> SensorOutcome:
    """Find the minutes that should be stored and are not, record the incidents they make, send what is due.

    A minute should be stored when it is closed, its metric tracked since it began, and ``alerts.missed_grace_minutes``
    have passed; sooner where a tick has noted that it could not store it. It is looked for over the last 24 hours.

    Args:
        settings: what is tracked, channels and routes.
        now: the current time, UTC.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    with alerts_lock(settings):
        store = open_store(settings)
        records = store.records
        watched = SensorOutcome()
        with _sending_what_is_due(settings, records, now, watched):
            with watched.catching(_NOT_CORRECTED):
                correct_future_records(records, now)
            recent, rows = review_missed(settings, store, records, now, watched.catching)
            watched.incidents = record(
                settings, records, INCIDENT, recent, rows, now, _operators(records, now, watched)
            )
        _publish_if(store, settings, now, watched)
        return watched


@contextmanager
def alerts_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock of those who record and send.

    Raises:
        DeadlineExceeded: another look kept the lock.
    """
    with locked(settings.state / StateFile.ALERTS_LOCK, Deadline.after(PATIENCE)), opened_once():
        yield


@contextmanager
def _sending_what_is_due(settings: Settings, records: Records, now: datetime, watched: SensorOutcome) -> Iterator[None]:
    """Send what is due after the block, also where it fails: what is recorded does not wait for what is new."""
    try:
        yield
    except Exception:
        with watched.catching("messages that are due were not sent"):
            watched.attempts = notify.deliver(settings, records, now)
        raise
    watched.attempts = notify.deliver(settings, records, now)


def _operators(records: Records, now: datetime, watched: SensorOutcome) -> OperatorState:
    """Return silences and acknowledgements; a table that cannot be read is a trouble."""
    operators = OperatorState.read(records, now)
    watched.troubles += operators.troubles
    return operators


def _recorded_near(records: Records, now: datetime, changed: Mapping[str, MinuteRange]) -> list[Row]:
    """Return the alerts that are open, and those near the minutes that changed."""
    near = min((span.first for span in changed.values()), default=now) - DAY
    return records.alerts.rows(
        min(near, now) - LONGEST,
        "state <> $resolved OR last_minute >= $near",
        resolved=RESOLVED,
        near=near,
    )


def _record(
    store: Store,
    settings: Settings,
    now: datetime,
    judged: Judged,
    recorded: Sequence[Row],
    operators: OperatorState,
    watched: SensorOutcome,
) -> list[Row]:
    """Bring the table alerts and the messages about them up to date."""
    rows: list[Row] = []
    if judged.above or judged.whole or any(row["state"] != RESOLVED for row in recorded):
        rows = _reviewed(store, settings, now, judged, recorded, watched)
    return record(settings, store.records, ALERT, recorded, rows, now, operators)


def _reviewed(
    store: Store,
    settings: Settings,
    now: datetime,
    judged: Judged,
    recorded: Sequence[Row],
    watched: SensorOutcome,
) -> list[Row]:
    """Return the alerts that are new or changed; where that fails, of each metric on its own."""
    tracked = [str(metric) for metric in settings.tracked]
    context = ReviewContext(
        now=now,
        newest_closed=newest_closed_minute(now),
        tracked=tracked,
        stored=store.prices.newest(tracked, now - DAY, newest_closed_minute(now)),
        max_age=settings.alerts.max_age_minutes * MINUTE,
        below=judged.below,
        judged_from=judged.since,
        judged_to=judged.until,
        whole=judged.whole,
    )
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


def _publish_if(store: Store, settings: Settings, now: datetime, watched: SensorOutcome) -> None:
    """Let people read what has changed."""
    if watched.alerts or watched.incidents or watched.attempts:
        with watched.catching("what was recorded is not published yet"):  # the next tick publishes it
            publish(store, [str(metric) for metric in settings.tracked], now=now, patience=PUBLISH_PATIENCE)
