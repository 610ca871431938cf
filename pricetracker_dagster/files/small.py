"""Small files of the data folder, in which we keep something for the next time: any of them may be lost or damaged.

What cannot be read counts as not there. Whoever reads one looks at each of its entries on its own in the same way.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def kept_in(file: Path) -> dict[str, Any]:
    """Return the entries of a JSON file, none where it is lost or damaged in whichever way. Their values may be any."""
    with suppress(OSError, ValueError, RecursionError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return kept
    return {}
