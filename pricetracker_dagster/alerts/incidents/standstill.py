"""Incidents of standing still: a part of pricetracker itself does not work.

Pure: verdicts come in, rows of the table incidents go out. Each kind has one incident at a time, whoever sees it and
however many of its parts stand still. How a verdict is reached is in ``watchdog/``.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from pricetracker_dagster.candles.minutes import MINUTE, floor_minute
from pricetracker_dagster.store.records import Row

STANDSTILL, CLOCK = "standstill", "clock"

UNPUBLISHED, UNREADABLE, SENSOR_FAILS = "not published", "settings", "sensor failure"

CAUSES = frozenset({STANDSTILL, CLOCK, UNPUBLISHED, UNREADABLE, SENSOR_FAILS})
"""The causes of incidents that are about no missed minute."""

EVALUATION, PRICES, PUBLICATION = "evaluation", "prices", "publication"

STORAGE, DISK, DIFFERENCE = "storage", "disk", "difference"

SETTINGS, SENSOR = "settings", "sensor"

_ID = {
    EVALUATION: "standstill",
    PRICES: "standstill of prices",
    PUBLICATION: "standstill of publication",
    STORAGE: "standstill: storage",
    DISK: "standstill: disk",
    DIFFERENCE: "clock",
    SETTINGS: "settings",
}

_CAUSE = {DIFFERENCE: CLOCK, PUBLICATION: UNPUBLISHED, SETTINGS: UNREADABLE}

_CALLED = {
    PUBLICATION: "stale publication",
    STORAGE: "damaged data",
    DISK: "low disk",
    DIFFERENCE: "wrong clock",
    SETTINGS: "unreadable settings",
}

STILL, ALIVE, UNKNOWN = "still", "alive", "unknown"

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
    """Bring the incidents of standing still up to date.

    Args:
        verdicts: of each kind.
        recent: the rows of the table incidents that are open or were of late, of whichever cause.
        now: the current time, UTC.

    Returns:
        The rows that are new or changed.
    """
    ours = [row for row in recent if row["cause"] in CAUSES]
    ids = {row["id"] for row in ours}
    changed = []
    for kind, verdict in verdicts.items():
        opened = next((row for row in ours if row["state"] == "open" and kind_of(row) == kind), None)
        if verdict.state == STILL:
            row = _new(kind, verdict, ids, now) if opened is None else _grown(opened, verdict, now)
            if opened is None and _at_once(kind):
                row["flaps"] = ended(kind, ours, now, since=now - _FLAPS_WITHIN) is not None
            if row != opened:
                changed.append(row)
        elif verdict.state == ALIVE and opened is not None and not (opened["flaps"] and now - opened["last"] < _QUIET):
            changed.append({**opened, "state": "resolved", "resolved_at": now})
    return changed


def kind_of(row: Row) -> str:
    """Return the kind of an incident of standing still; of a sensor that fails, which one it is as well."""
    name = row["id"].split("|")[0]
    if name.startswith(f"{SENSOR} "):
        return str(name)
    return next((kind for kind, own in _ID.items() if own == name), EVALUATION)


def sensor_kind(sensor: str) -> str:
    """Return the kind of the incidents of a sensor that raises errors."""
    return f"{SENSOR} {sensor}"


def incident_name(row: Row) -> str:
    """Return what an incident of standing still is called in messages."""
    kind = kind_of(row)
    return "failing sensor" if _is_sensor(kind) else _CALLED.get(kind, "standstill")


def ended(kind: str, rows: Iterable[Row], now: datetime, since: datetime | None = None) -> datetime | None:
    """Return when an incident of a kind last ended: now, while one is open; None: it did not, or before ``since``."""
    ours = [row for row in rows if row["cause"] in CAUSES and kind_of(row) == kind]
    if any(row["state"] == "open" for row in ours):
        return now
    last = max((row["resolved_at"] for row in ours if row["resolved_at"] <= now), default=None)
    return None if since is not None and last is not None and last < since else last


def over_by_now(rows: Iterable[Row], now: datetime) -> dict[str, Verdict]:
    """Return the sensors whose errors are over, of open incidents: Dagster evaluates some only when there is a run."""
    kinds = ((kind_of(row), row["last"]) for row in rows if row["state"] == "open")
    return {kind: Verdict(ALIVE) for kind, last in kinds if _is_sensor(kind) and now - last >= _QUIET}


def failing_sensors(rows: Iterable[Row]) -> frozenset[str]:
    """Return the names of the sensors that have an open incident of their own."""
    kinds = (kind_of(row) for row in rows if row["state"] == "open" and row["cause"] == SENSOR_FAILS)
    return frozenset(kind.removeprefix(f"{SENSOR} ") for kind in kinds)


def _is_sensor(kind: str) -> bool:
    return kind.startswith(f"{SENSOR} ")


def _at_once(kind: str) -> bool:
    """Say whether incidents of a kind open the first time that it is seen, and end the first time that it is not."""
    return kind in (PUBLICATION, SETTINGS) or _is_sensor(kind)


def _new(kind: str, verdict: Verdict, ids: set[str], now: datetime) -> Row:
    own = f"{_ID.get(kind, kind)}|{now:%Y-%m-%dT%H:%MZ}"
    while own in ids:  # the clock went back, and this minute is here again
        own += "+"
    first = floor_minute(min(verdict.first or now, now))
    last = floor_minute(now)
    return {
        "id": own,
        "state": "open",
        "cause": SENSOR_FAILS if _is_sensor(kind) else _CAUSE.get(kind, STANDSTILL),
        "reason": verdict.reason,
        "first": first,
        "last": last,
        "count": (last - first) // MINUTE + 1,
        "metrics": [],  # no minute is missed for it: those that are have incidents of their own
        "missing": 0,
        "opened_at": now,
        "resolved_at": None,
        "causes": None,
        "out": [],
        "told_out": None,
        "grown_at": first,
        "flaps": False,
        "exchange": None,
        "held_by": None,
        "transitions": 0,
    }


def _grown(row: Row, verdict: Verdict, now: datetime) -> Row:
    last = max(row["last"], floor_minute(now))
    return {**row, "reason": verdict.reason, "last": last, "count": (last - row["first"]) // MINUTE + 1}
