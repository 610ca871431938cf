"""Incidents of standing still: a part of pricetracker itself does not work.

Pure: verdicts come in, rows of the table incidents go out. Each kind has one incident at a time, whoever sees it and
however many of its parts stand still. How a verdict is reached is in ``watchdog/``.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.alerts.incidents.model import incident_id
from pricetracker_dagster.candles.minutes import MINUTE, floor_minute
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import INCIDENTS

STANDSTILL, CLOCK = "standstill", "clock"

UNPUBLISHED, UNREADABLE, SENSOR_FAILS = "not published", "settings", "sensor failure"

CAUSES = frozenset({STANDSTILL, CLOCK, UNPUBLISHED, UNREADABLE, SENSOR_FAILS})
"""The causes of incidents that are about no missed minute."""

EVALUATION, PRICES, PUBLICATION = "standstill", "standstill of prices", "standstill of publication"

STORAGE, DISK, DIFFERENCE = "standstill: storage", "standstill: disk", "clock"

SETTINGS, SENSOR = "settings", "sensor"
"""A kind, with which the ids of its incidents begin; after SENSOR comes which one."""

_CAUSE = {DIFFERENCE: CLOCK, PUBLICATION: UNPUBLISHED, SETTINGS: UNREADABLE, SENSOR: SENSOR_FAILS}

_CALLED = {
    PUBLICATION: "stale publication",
    STORAGE: "damaged data",
    DISK: "low disk",
    DIFFERENCE: "wrong clock",
    SETTINGS: "unreadable settings",
    SENSOR: "failing sensor",
}

STILL, ALIVE, UNKNOWN = "still", "alive", "unknown"

_AT_ONCE = frozenset({PUBLICATION, SETTINGS, SENSOR})
"""The kinds whose incidents open the first time that it is seen, and end the first time that it is not."""

_FLAPS_WITHIN = timedelta(minutes=10)
"""What comes again so soon after its end comes and goes: its next end is recorded only after a while without it."""

_QUIET = timedelta(minutes=5)
"""That while."""


class Verdict(NamedTuple):
    """The state of one kind: still, alive or unknown; the reason in plain words; since when; may a restart mend it."""

    state: str
    reason: str = ""
    first: datetime | None = None
    restarts: bool = True


def review(verdicts: Mapping[str, Verdict], recent: Iterable[Row], now: datetime) -> list[Row]:
    """Bring the incidents of standing still up to date; return the rows that are new or changed.

    ``recent`` are the rows of the table incidents that are open or were of late, of whichever cause.
    """
    ours = [row for row in recent if row["cause"] in CAUSES]
    changed = []
    for kind, verdict in verdicts.items():
        opened = next((row for row in ours if row["state"] == "open" and kind_of(row) == kind), None)
        if verdict.state == STILL:
            row = _new(kind, verdict, ours, now) if opened is None else _grown(opened, verdict, now)
            if row != opened:
                changed.append(row)
        elif verdict.state == ALIVE and opened is not None and not (opened["flaps"] and now - opened["last"] < _QUIET):
            changed.append({**opened, "state": "resolved", "resolved_at": now})
    return changed


def kind_of(row: Row) -> str:
    """Return the kind of an incident of standing still; of a sensor that fails, which one it is as well."""
    kind: str = row["id"].partition("|")[0]
    return kind


def sensor_kind(sensor: str) -> str:
    """Return the kind of the incidents of a sensor that raises errors."""
    return f"{SENSOR} {sensor}"


def incident_name(row: Row) -> str:
    """Return what an incident of standing still is called in messages."""
    return _CALLED.get(_class_of(kind_of(row)), "standstill")


def ended(kind: str, rows: Iterable[Row], now: datetime) -> datetime | None:
    """Return when an incident of a kind last ended: now, while one is open; None: it did not."""
    ours = [row for row in rows if row["cause"] in CAUSES and kind_of(row) == kind]
    if any(row["state"] == "open" for row in ours):
        return now
    return max((row["resolved_at"] for row in ours if row["resolved_at"] <= now), default=None)


def over_by_now(rows: Iterable[Row], now: datetime) -> dict[str, Verdict]:
    """Return the sensors whose errors are over, of open incidents: Dagster evaluates some only when there is a run."""
    kinds = ((kind_of(row), row["last"]) for row in rows if row["state"] == "open")
    return {kind: Verdict(ALIVE) for kind, last in kinds if _class_of(kind) == SENSOR and now - last >= _QUIET}


def failing_sensors(rows: Iterable[Row]) -> frozenset[str]:
    """Return the names of the sensors that have an open incident of their own."""
    kinds = (kind_of(row) for row in rows if row["state"] == "open" and row["cause"] == SENSOR_FAILS)
    return frozenset(kind.removeprefix(f"{SENSOR} ") for kind in kinds)


def _class_of(kind: str) -> str:
    """Return a kind, of whichever sensor."""
    return SENSOR if kind.startswith(f"{SENSOR} ") else kind


def _new(kind: str, verdict: Verdict, ours: Collection[Row], now: datetime) -> Row:
    first, last = floor_minute(min(verdict.first or now, now)), floor_minute(now)
    before = ended(kind, ours, now)
    return {
        **dict.fromkeys(INCIDENTS.names),
        "id": incident_id(kind, now, [row["id"] for row in ours]),
        "state": "open",
        "cause": _CAUSE.get(_class_of(kind), STANDSTILL),
        "reason": verdict.reason,
        "first": first,
        "last": last,
        "count": (last - first) // MINUTE + 1,
        "metrics": [],  # no minute is missed for it: those that are have incidents of their own
        "missing": 0,
        "opened_at": now,
        "out": [],
        "grown_at": first,
        "flaps": _class_of(kind) in _AT_ONCE and before is not None and before >= now - _FLAPS_WITHIN,
        "transitions": 0,
    }


def _grown(row: Row, verdict: Verdict, now: datetime) -> Row:
    last = max(row["last"], floor_minute(now))
    return {**row, "reason": verdict.reason, "last": last, "count": (last - row["first"]) // MINUTE + 1}
