"""How everything is, judged from the files alone: it answers while nothing runs, and makes nothing.

Each part is read on its own: what is damaged is named, and the others are shown. How a person sees it is in
``cli/status_screen.py``.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pricetracker_dagster.alerts.incidents.standstill import EVALUATION, PUBLICATION, STILL, STORAGE, ended
from pricetracker_dagster.alerts.messages.routing import Subject, urls
from pricetracker_dagster.alerts.operators.state import OperatorState, is_in_force
from pricetracker_dagster.alerts.watchdog.judge import judge
from pricetracker_dagster.alerts.watchdog.look import damaged_tables, free_bytes, is_explained, newest_minute
from pricetracker_dagster.alerts.watchdog.observation import Observation, Sign
from pricetracker_dagster.candles.minutes import DAY, MINUTE, minutes_in, newest_closed_minute
from pricetracker_dagster.errors import first_line
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.locks import said_by_holder
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.coverage import missing_of_day
from pricetracker_dagster.store.doubts import Waiting
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.published_access import covered, moved_from, moved_message
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import open_store
from pricetracker_dagster.store.tracked import tracked_since

T = TypeVar("T")

Work = tuple[Sequence[Sign], datetime | None, dict[str, int]]
"""Dagster's signs of life, the newest time in the future that it has stored, the runs at work by job."""


def status(settings: Settings, now: datetime, work: Callable[[], Work]) -> dict[str, Any]:
    """Return how all is at ``now``, UTC, as plain values that JSON can hold but for times.

    Returns:
        ``well``, ``troubles`` (a line each, empty where all is well) and what they are judged from.
    """
    found: dict[str, Any] = {"well": False, "now": now, "data": str(settings.folder)}
    if not settings.folder.exists():
        return {**found, "troubles": [f"{settings.folder} is not there: nothing has run yet; start `pricetracker up`"]}
    troubles: list[str] = []

    def read(what: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except Exception as error:  # Delta's, DuckDB's, SQLAlchemy's, the file system's
            is_told = isinstance(error, StoreError)
            troubles.append(str(error) if is_told else f"{what} cannot be read: {first_line(error)}")
            return otherwise

    store = open_store(settings)
    records = store.records
    as_of = read(f"the published file {store.folder.published.name}", lambda: covered(store.folder.published), None)
    found |= {"as_of": as_of, "as_of_age_seconds": None if as_of is None else round((now - as_of).total_seconds() - 60)}
    old = read("the published file", lambda: moved_from(store.folder.published), None)
    if old is not None:
        troubles.append(moved_message(store.folder.published, old))
    nothing: list[dict[str, Any]] = []
    metrics = read("the table minute_prices", lambda: _metrics(settings, now), nothing)
    no_work: Work = (), None, {}
    signs, ahead, in_progress = read("Dagster's storage", work, no_work)
    found |= {
        "metrics": metrics,
        "up": read("state/up.lock", lambda: said_by_holder(settings.state / StateFile.UP_LOCK), None),
        "runs_in_progress": in_progress,
        "evaluations": [{"part": sign.name, "last": sign.at, "trouble": sign.trouble or None} for sign in signs],
    }
    alerts = read("the table alerts", records.alerts.rows, nothing)
    incidents = read("the table incidents", records.incidents.rows, nothing)
    deliveries = read("the table deliveries", records.deliveries.rows, nothing)
    operators = read("silences and acknowledgements", lambda: OperatorState.read(records, now), OperatorState())
    troubles += operators.troubles
    opened = [row for row in incidents if row["state"] == "open"]
    found |= {
        "alerts_open": [
            {**_shown(row, "id", "state", "minute"), **_operators_on(operators, row, "alert", now)}
            for row in alerts
            if row["state"] != "resolved"
        ],
        "incidents_open": [
            {**_shown(row, "id", "cause", "reason", "first", "last"), **_operators_on(operators, row, "incident", now)}
            for row in opened
        ],
        "silences": [
            _shown(row, "id", "metrics", "rule", "until", "who", "reason")
            for row in operators.silences
            if is_in_force(row, now)
        ],
        "channels": _channels(settings, deliveries),
    }
    waiting = read("state/doubts.json", lambda: store.prices.waiting(now), Waiting(0, {}, None))
    free = read("free disk", lambda: free_bytes(settings.folder), None)
    clocks = clock_differences(settings.state, now)
    found |= {
        "doubts": {"count": waiting.total, "metrics": dict(waiting.by_metric), "oldest": waiting.oldest},
        "disk_free_bytes": free,
        "clock_difference_seconds": clocks,
        "sizes_bytes": {
            "data": _size(settings.folder),
            "published": store.folder.published.stat().st_size if store.folder.published.exists() else 0,
            "dagster": _size(settings.data_folder.dagster_home),
        },
    }
    damaged = read("which tables are damaged", lambda: damaged_tables(store), None)
    newest = read("the newest minute", lambda: newest_minute(settings, now), None) if metrics else None
    # where the prices cannot be read it is not known whether they stand still
    seen = Observation(
        now,
        signs,
        ahead,
        newest,
        covered=not metrics or is_explained(incidents, settings, now),
        recovered=ended(EVALUATION, incidents, now),
        published=as_of,
        damaged=damaged,
        mended=ended(STORAGE, incidents, now),
        free=free,
        clocks=clocks,
    )
    still = {kind: verdict for kind, verdict in judge(seen, settings.watch).items() if verdict.state == STILL}
    if as_of is None:  # reported below
        still.pop(PUBLICATION, None)
    troubles += [*(damaged or ()), *(verdict.reason for kind, verdict in still.items() if kind != STORAGE)]
    troubles += [f"{row['cause']}, open since {row['opened_at']:%Y-%m-%d %H:%M} UTC: {row['reason']}" for row in opened]
    if as_of is not None and as_of > now:
        troubles.append(f"as_of, {as_of:%Y-%m-%d %H:%M} UTC, is yet to come: a clock was ahead; the next tick mends it")
    if as_of is None and not any("published" in trouble for trouble in troubles):
        troubles.append("nothing is published yet: run `pricetracker up` or `pricetracker tick`")
    for each in metrics:
        if each["newest_minute"] is None:
            troubles.append(f"{each['metric']}: nothing is stored of the last 24 hours")
        elif each["missing"]:
            troubles.append(f"{each['metric']}: {each['missing']} minutes of the last 24 hours are missing")
    for channel in found["channels"]:
        if channel["delivered"] is False:
            troubles.append(f"channel {channel['channel']} did not take its last message: {channel['error']}")
    found["troubles"] = list(dict.fromkeys(troubles))
    found["well"] = not troubles
    return found


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
