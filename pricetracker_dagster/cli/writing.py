"""How values of Python are written for programs, as CSV and JSON, and bytes to standard output at once.

text.py writes values of the database in the same way.
"""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pricetracker_dagster.errors import PricetrackerError


class OutputFailed(PricetrackerError, OSError):
    """What was to be printed could not be written."""


def csv_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


def csv_cell(value: Any) -> Any:
    """Return what CSV has a way to write; NaN and infinity are empty."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | dict):
        return json.dumps(as_json(value), ensure_ascii=False)
    return as_iso(value) if isinstance(value, datetime) else value


def as_iso(moment: datetime) -> str:
    """Return a time as programs read it: ISO 8601, UTC as Z."""
    return moment.isoformat().replace("+00:00", "Z")


def as_json(value: Any) -> Any:
    """Return what standard JSON can write; NaN and infinity are null."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int | str):
        return value
    return as_iso(value) if isinstance(value, datetime) else str(value)


def write(*chunks: "bytes | memoryview") -> None:
    """Write to standard output at once.

    Raises:
        BrokenPipeError: the reader has seen enough.
        OutputFailed: it cannot be written for another reason.
    """
    try:
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}") from error
