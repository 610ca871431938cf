"""How far this machine's clock is from the exchanges', as ticks measured it last: a small file of the data folder."""

import json
import math
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pricetracker_dagster.files.replacing import write_text

FRESH = timedelta(minutes=10)
"""What was measured longer ago says nothing of the clock as it is now."""

_one_at_a_time = threading.Lock()
"""Exchanges are asked by threads of one tick."""


def note_clock(state: Path, exchange: str, ahead: float, now: datetime, *, at_least: float | None = None) -> None:
    """Keep a measurement.

    Args:
        state: the data folder's folder of small working files.
        exchange: whose clock, e.g. ``KRAKEN``.
        ahead: so many seconds this machine's clock is ahead of it; negative: behind.
        now: when it was measured, by this machine's clock, UTC.
        at_least: so many seconds it is ahead for certain, however long the answer took; None: nobody knows.
    """
    with _one_at_a_time:
        kept = _kept(state)
        kept[exchange] = {"ahead": round(ahead, 1), "measured_at": now.isoformat()}
        if at_least is not None:
            kept[exchange]["at_least"] = round(at_least, 1)
        write_text(_file(state), json.dumps(kept))


def clock_differences(state: Path, now: datetime) -> dict[str, float]:
    """Return by exchange how many seconds this machine's clock is ahead, where that was measured of late.

    A measurement that lies in the future was made by a clock that has been set since: it is ignored, as an old one is.
    """
    return _measured(state, now, "ahead")


def ahead_for_certain(state: Path, now: datetime) -> dict[str, float]:
    """Return by exchange how many seconds this machine's clock is ahead at least, where it is."""
    return {exchange: seconds for exchange, seconds in _measured(state, now, "at_least").items() if seconds > 0}


def _measured(state: Path, now: datetime, what: str) -> dict[str, float]:
    found = {}
    for exchange, measured in _kept(state).items():
        with suppress(KeyError, TypeError, ValueError):
            seconds = float(measured[what])
            if math.isfinite(seconds) and timedelta() <= now - datetime.fromisoformat(measured["measured_at"]) <= FRESH:
                found[exchange] = seconds
    return found


def _file(state: Path) -> Path:
    return state / "clock.json"


def _kept(state: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):  # damaged in whichever way
        kept = json.loads(_file(state).read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return kept
    return {}
