"""How values of Python are written for programs. text.py writes values of the database in the same way."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def as_iso(moment: datetime) -> str:
    """Return a time as programs read it: ISO 8601, UTC as Z."""
    return moment.isoformat().replace("+00:00", "Z")


def as_json(value: Any) -> Any:
    """Return what standard JSON can write; NaN and infinity are null."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int | str):
        return value
    return as_iso(value) if isinstance(value, datetime) else str(value)
