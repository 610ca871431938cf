"""Base and quote of metrics as their exchanges tell them: a small file of the data folder, which a tick writes.

Who publishes or judges reads it (candles/markets.py): no exchange is asked for that. What it lacks is told by the name.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in


def note_markets(state: Path, told: Mapping[str, tuple[str, str]]) -> None:
    """Add base and quote of some metrics; nothing is written where they are known."""
    if not told:
        return
    file = state / StateFile.MARKETS
    kept = kept_in(file)
    both = {**kept, **{metric: list(market) for metric, market in told.items()}}
    if both != kept:
        with suppress(OSError):  # it is told again in a minute
            write_text(file, json.dumps(both, indent=1, sort_keys=True))
