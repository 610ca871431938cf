"""How far this machine's clock is from the exchanges', as ticks measured it last: a small file of the data folder."""

import json
import re
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in, moment_of

FRESH = timedelta(minutes=10)
"""What was measured longer ago says nothing of the clock as it is now."""

_FARTHEST = timedelta(days=36_525).total_seconds()
"""A hundred years: a clock that has lost its time says 1970, and an exchange's says no time after 2100."""

_one_at_a_time = threading.Lock()
"""Exchanges are asked by threads of one tick."""


class _Measured(NamedTuple):
    ahead: float
    at_least: float | None
    measured_at: datetime

    def as_kept(self) -> dict[str, object]:
        at_least = {} if self.at_least is None else {"at_least": round(self.at_least, 1)}
        return {"ahead": round(self.ahead, 1), "measured_at": self.measured_at.isoformat(), **at_least}


def note_clock(state: Path, exchange: str, ahead: float, now: datetime, *, at_least: float | None = None) -> None:
    """Write down by how many seconds this machine's clock is ahead (negative: behind) of an exchange's at ``now``, UTC.

    ``at_least`` so many it is ahead for certain, however long the answer took; None: nobody knows.
    """
    with _one_at_a_time:
        kept = _kept(state) | {exchange: _Measured(ahead, at_least, now)}
        told = {name: each.as_kept() for name, each in kept.items()}
        write_text(state / StateFile.CLOCK, json.dumps(told))


def clock_differences(state: Path, now: datetime) -> dict[str, float]:
    """Return by exchange how many seconds this machine's clock is ahead, where that was measured of late.

    A measurement that lies in the future was made by a clock that has been set since: it is ignored, as an old one is.
    """
    return {exchange: measured.ahead for exchange, measured in _measured(state, now).items()}


def ahead_for_certain(state: Path, now: datetime) -> dict[str, float]:
    """Return by exchange how many seconds this machine's clock is ahead at least, where it is."""
    measured = _measured(state, now).items()
    return {exchange: each.at_least for exchange, each in measured if each.at_least is not None and each.at_least > 0}


def _measured(state: Path, now: datetime) -> dict[str, _Measured]:
    kept = _kept(state).items()
    return {exchange: each for exchange, each in kept if timedelta() <= now - each.measured_at <= FRESH}


def _kept(state: Path) -> dict[str, _Measured]:
    """Return what was measured whenever, as far as it can be true."""
    found = {}
    for exchange, kept in kept_in(state / StateFile.CLOCK).items():
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            ahead, at_least = float(kept["ahead"]), None if kept.get("at_least") is None else float(kept["at_least"])
            moment = moment_of(kept["measured_at"])
            possible = all(abs(seconds) <= _FARTHEST for seconds in (ahead, at_least or 0.0))  # NaN is not
            if possible and moment and re.fullmatch("[A-Z][A-Z0-9_]*", exchange):
                found[exchange] = _Measured(ahead, at_least, moment)
    return found
