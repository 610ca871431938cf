"""How values of Python are written as CSV, and bytes to standard output at once."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.reading.values import as_iso, as_json


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
