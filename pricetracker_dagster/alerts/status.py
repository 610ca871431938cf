"""How everything is, judged from the files alone: it answers while nothing runs, and makes nothing.

Each part is read on its own: what is damaged is named, and the others are shown. How a person sees it is in
``cli/status_screen.py``.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pricetracker_dagster.alerts.incidents.standstill import EVALUATION, PUBLICATION, STILL, STORAGE, ended
from pricetracker_dagster.alerts.messages.routing import Subject, urls
from pricetracker_dagster.alerts.operators.state import OperatorState, is_in_force
from pricetracker_dagster.alerts.watchdog.judge import judge
from pricetracker_dagster.alerts.watchdog.look import damaged_tables, free_bytes, is_explained, newest_minute
from pricetracker_dagster.alerts.watchdog.observation import Observation, Work
from pricetracker_dagster.candles.minutes import DAY, MINUTE, minutes_in, newest_closed_minute
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import said_by_holder
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.coverage import missing_of_day
from pricetracker_dagster.store.doubts import Waiting
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.publishing.access import covered, moved_from, moved_message
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import Store, open_store
from pricetracker_dagster.store.tracked import tracked_since

T = TypeVar("T")


class _Reader:
    """Reads each part on its own: what cannot be read is a trouble, and hides nothing else."""

    def __init__(self) -> None:
        self.troubles: list[str] = []

    def __call__(self, what: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except Exception as error:  # Delta's, DuckDB's, SQLAlchemy's, the file system's
            is_told = isinstance(error, StoreError)
            self.troubles.append(str(error) if is_told else f"{what} cannot be read: {first_line(error)}")
            return otherwise


def status(settings: Settings, now: datetime, work: Callable[[], Work]) -> dict[str, Any]:
    """Return how all is at ``now``, UTC, as plain values that JSON can hold but for times.

    Args:
        settings: whose data folder, metrics, limits and channels.
        now: the time of the judgement.
        work: reads what Dagster does.

    Returns:
        ``well``, ``troubles`` (a line each, empty where all is well) and what they are judged from.
    """
    found: dict[str, Any] = {"well": False, "now": now, "data": str(settings.folder)}
    if not settings.folder.exists():
        return {**found, "troubles": [f"{settings.folder} is not there: nothing has run yet; start `pricetracker up`"]}
    read, store = _Reader(), open_store(settings)
    found |= _published(store, now, read)
    nothing: list[dict[str, Any]] = []
    metrics = read("the table minute_prices", lambda: _metrics(settings, now), nothing)
    did = read("Dagster's storage", work, Work())
    unknown: tuple[str | None, datetime | None] = (None, None)
    up, since = read("state/up.lock", lambda: _up(settings.state / StateFile.UP_LOCK), unknown)
    found |= {"metrics": metrics, "up": up, **_of_dagster(did)}
    records = store.records
    alerts, incidents, deliveries = (
        read(f"the table {name}", table.rows, nothing)
        for name, table in (
            ("alerts", records.alerts),
            ("incidents", records.incidents),
            ("deliveries", records.deliveries),
        )
    )
    operators = read("silences and acknowledgements", lambda: OperatorState.read(records, now), OperatorState())
    read.troubles += operators.troubles
    found |= _of_alarms(alerts, incidents, operators, now)
    found |= {"channels": _channels(settings, deliveries)}
    found |= _of_machine(settings, store, now, read)
    damaged = read("which tables are damaged", lambda: damaged_tables(store), None)
    newest = read("the newest minute", lambda: newest_minute(settings, now), None) if metrics else None
    # where the prices cannot be read it is not known whether they stand still
    seen = Observation(
        now,
        did.signs,
        did.ahead,
        newest,
        covered=not metrics or is_explained(incidents, settings, now),
        recovered=ended(EVALUATION, incidents, now),
        published=found["as_of"],
        damaged=damaged,
        mended=ended(STORAGE, incidents, now),
        free=found["disk_free_bytes"],
        clocks=found["clock_difference_seconds"],
        since=since,
    )
    still = {kind: verdict for kind, verdict in judge(seen, settings.watch).items() if verdict.state == STILL}
    if found["as_of"] is None:  # reported below
        still.pop(PUBLICATION, None)
    troubles = read.troubles
    troubles += [*(damaged or ()), *(verdict.reason for kind, verdict in still.items() if kind != STORAGE)]
    opened = [row for row in incidents if row["state"] == "open"]
    troubles += [f"{row['cause']}, open since {row['opened_at']:%Y-%m-%d %H:%M} UTC: {row['reason']}" for row in opened]
    troubles += _of_what_was_found(found, troubles)
    return {**found, "troubles": list(dict.fromkeys(troubles)), "well": not troubles}


def _up(lock: Path) -> tuple[str | None, datetime | None]:
    """Return what the `up` that runs says of itself, and since when it runs: what is older says nothing of it."""
    said = said_by_holder(lock)
    return said, datetime.fromtimestamp(lock.stat().st_mtime, UTC) if said else None


def _published(store: Store, now: datetime, read: _Reader) -> dict[str, Any]:
    """Return what the published file covers."""
    published = store.folder.published
    as_of = read(f"the published file {published.name}", lambda: covered(published), None)
    old = read("the published file", lambda: moved_from(published), None)
    if old is not None:
        read.troubles.append(moved_message(published, old))
    return {"as_of": as_of, "as_of_age_seconds": None if as_of is None else round((now - as_of).total_seconds() - 60)}


def _of_dagster(did: Work) -> dict[str, Any]:
    """Return what Dagster does and when it was last alive."""
    tick = did.last_tick
    return {
        "runs_in_progress": did.in_progress,
        "last_tick_seconds": None if tick is None else tick.seconds,
        "last_tick_ended_at": None if tick is None else tick.ended_at,
        "evaluations": [{"part": sign.name, "last": sign.at, "trouble": sign.trouble or None} for sign in did.signs],
    }


def _of_alarms(
    alerts: Sequence[Row], incidents: Sequence[Row], operators: OperatorState, now: datetime
) -> dict[str, Any]:
    """Return what is open, who looks after it, and what is silent."""
    return {
        "alerts_open": [
            {**_shown(row, "id", "state", "minute"), **_operators_on(operators, row, "alert", now)}
            for row in alerts
            if row["state"] != "resolved"
        ],
        "incidents_open": [
            {**_shown(row, "id", "cause", "reason", "first", "last"), **_operators_on(operators, row, "incident", now)}
            for row in incidents
            if row["state"] == "open"
        ],
        "silences": [
            _shown(row, "id", "metrics", "rule", "until", "who", "reason")
            for row in operators.silences
            if is_in_force(row, now)
        ],
    }


def _of_machine(settings: Settings, store: Store, now: datetime, read: _Reader) -> dict[str, Any]:
    """Return what waits for a second answer, and the state of disk and clock."""
    waiting = read("state/doubts.json", lambda: store.prices.waiting(now), Waiting(0, {}, None))
    published = store.folder.published
    return {
        "doubts": {"count": waiting.total, "metrics": dict(waiting.by_metric), "oldest": waiting.oldest},
        "disk_free_bytes": read("free disk", lambda: free_bytes(settings.folder), None),
        "clock_difference_seconds": clock_differences(settings.state, now),
        "sizes_bytes": {
            "data": _size(settings.folder),
            "published": published.stat().st_size if published.exists() else 0,
            "dagster": _size(settings.data_folder.dagster_home),
        },
    }


def _of_what_was_found(found: Mapping[str, Any], troubles: Sequence[str]) -> list[str]:
    """Return the troubles that follow from what is shown, beside those that are known."""
    as_of, more = found["as_of"], []
    if as_of is not None and as_of > found["now"]:
        more.append(f"as_of, {as_of:%Y-%m-%d %H:%M} UTC, is yet to come: a clock was ahead; the next tick mends it")
    if as_of is None and not any("published" in trouble for trouble in troubles):
        more.append("nothing is published yet: run `pricetracker up` or `pricetracker tick`")
    for each in found["metrics"]:
        if each["newest_minute"] is None:
            more.append(f"{each['metric']}: nothing is stored of the last 24 hours")
        elif each["missing"]:
            more.append(f"{each['metric']}: {each['missing']} minutes of the last 24 hours are missing")
    failed = [channel for channel in found["channels"] if channel["delivered"] is False]
    return [*more, *(f"channel {each['channel']} did not take its last message: {each['error']}" for each in failed)]


def _metrics(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    store, names = open_store(settings), [str(metric) for metric in settings.tracked]
    closed = newest_closed_minute(now)
    newest = store.prices.newest(names, now - DAY, closed)
    since = tracked_since(settings.state, names)
    missed = missing_of_day(store.prices, since, closed - max(1, settings.alerts.missed_grace_minutes) * MINUTE)
    count = {metric: minutes_in(gaps) for metric, gaps in missed.items()}
    return [{"metric": each, "newest_minute": newest.get(each), "missing": count.get(each, 0)} for each in names]


def _channels(settings: Settings, deliveries: Sequence[Row]) -> list[dict[str, Any]]:
    """Return each channel by its name, never its URL, with its last attempt."""
    shown = []
    for name in urls(settings):
        attempts = [row for row in deliveries if row["channel"] == name]
        last: Row = max(attempts, key=lambda row: row["attempted_at"], default={})
        at, delivered, error = map(last.get, ("attempted_at", "delivered", "error"))
        shown.append({"channel": name, "last_attempt_at": at, "delivered": delivered, "error": error})
    return shown


def _operators_on(operators: OperatorState, row: Row, subject: Subject, now: datetime) -> dict[str, Any]:
    """Return whether anything keeps the messages about an alert or incident back, and who looks after it."""
    acknowledged = operators.acknowledgement_of(row) or {}
    return {
        "silence": operators.silence_of(row, subject, now),
        "acknowledged_by": acknowledged.get("who"),
        "acknowledged_at": acknowledged.get("made_at"),
    }


def _shown(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _size(folder: Path) -> int:
    """Return how many bytes lie below a folder; files that come and go meanwhile do not matter."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - ten thousands of them
            except OSError:
                continue
    return total
