"""What an answer of Kraken holds: the envelope and its errors, numbers and times. Nothing in it is trusted."""

import math
import re
from collections.abc import Sequence
from typing import Any

from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges import base

_EARLIEST, _LATEST = 1_230_768_000, 4_102_444_800
"""2009 and 2100 in Unix seconds: nothing was traded before, and a time after that is in another unit."""

_UNITS = {
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
    "minutes": 1 / 60,
    "hours": 1 / 3600,
    "days": 1 / 86_400,
}
"""By name, so many in a second."""

_NO_ERROR: tuple[object, ...] = (None, "", [], {}, False)


def result_of(what: str, envelope: Any) -> dict[str, Any]:
    """Return the result in an envelope.

    Raises:
        ExchangeError: the envelope holds an error, or is no envelope. Kraken sends errors with HTTP 200.
    """
    if not isinstance(envelope, dict):
        raise base.ExchangeUnreachable(f"{what}: the answer is not an envelope: {plain(envelope, 60)}")
    told = envelope.get("error")  # a list of text; whatever else is there is an error too
    errors = [plain(each) for each in (told if isinstance(told, list) else [told]) if each not in _NO_ERROR]
    if serious := [error for error in errors if not error.startswith("W")]:
        raise _of_kind(serious[0], f"{what}: {serious[0]}")
    result = envelope.get("result")
    if not isinstance(result, dict):
        raise base.ExchangeUnreachable(f"{what}: the answer has no result")
    return result


_LOCKOUT = 120.0
"""Seconds after which it is looked whether a lockout, of some 15 minutes, is over: each request makes it longer."""


def _of_kind(error: str, message: str) -> base.ExchangeError:
    """Tell Kraken's errors apart: this pair is wrong, maintenance, slow down; the rest may pass."""
    if error.startswith(("EQuery:Unknown asset pair", "EQuery:Invalid asset pair", "EGeneral:Invalid arguments")):
        return base.PairUnknown(message)
    if "cancel_only" in error or "post_only" in error or "maintenance" in error.lower():
        return base.Maintenance(message)
    if error.startswith("EGeneral:Temporary lockout"):
        return base.Banned(message, _LOCKOUT)
    if error.startswith(("EAPI:Rate limit", "EGeneral:Too many requests")):
        return base.RateLimited(message)
    return base.ExchangeUnreachable(message)


def time_in(told: object) -> float | None:
    """Return a time in Unix seconds; None where it is none."""
    unix = _number(told)
    return unix if unix is not None and _is_time(unix) else None


def time_of(row: object, column: int = 0) -> float | None:
    """Return the time in Unix seconds that a row holds; None where there is no such time."""
    return time_in(row[column]) if isinstance(row, list) and len(row) > column else None


def no_time(told: object) -> str:
    """Say what it is that is no time in Unix seconds."""
    unix = _number(told)
    if unix is None:
        return "which is not a time"
    unit = _unit(unix)
    return f"which is in {unit}, not in seconds" if unit else "which is no time between 2009 and 2100"


def none_in_seconds(rows: Sequence[object]) -> str | None:
    """Say what the times of rows are where none of them is in seconds; None where one is."""
    told = [_number(row[0]) for row in rows if isinstance(row, list) and row]
    times = [unix for unix in told if unix is not None]
    if not times or any(map(_is_time, times)):
        return None
    units = {_unit(unix) for unix in times}
    unit = units.pop() if len(units) == 1 else None
    return f"its times are {unit}, not seconds" if unit else "none of its times lies between 2009 and 2100"


def _number(value: object) -> float | None:
    """Return a finite number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _is_time(unix: float) -> bool:
    return _EARLIEST <= unix < _LATEST


def _unit(unix: float) -> str | None:
    return next((unit for unit, of_a_second in _UNITS.items() if _is_time(unix / of_a_second)), None)


def nanoseconds(told: object) -> int | None:
    """Return the ``last`` of Trades: nanoseconds as text, by some gateways as a number."""
    if isinstance(told, bool) or not isinstance(told, int | str) or not re.fullmatch(r"\d{1,19}", str(told), re.ASCII):
        return None
    return int(told)
