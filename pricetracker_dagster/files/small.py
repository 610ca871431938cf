"""Small files of the data folder, in which we keep something for the next time: any of them may be lost or damaged.

What cannot be read counts as not there. Whoever reads one looks at each of its entries on its own in the same way.
"""

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any


def json_in(file: Path) -> object:
    """Return what a JSON file holds, of whichever shape; None where it is lost or damaged in whichever way."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(file.read_text(encoding="utf-8"))
    return None


def kept_in(file: Path) -> dict[str, Any]:
    """Return the entries of a JSON file, none where it is lost or damaged in whichever way. Their values may be any."""
    kept = json_in(file)
    return kept if isinstance(kept, dict) else {}


def moment_of(kept: object) -> datetime | None:
    """Return a moment that was kept in ISO 8601 with its time zone; None where it is anything else."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(kept) if isinstance(kept, str) else None
        return moment if moment is not None and moment.tzinfo is not None else None
    return None
