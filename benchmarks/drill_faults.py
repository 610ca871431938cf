"""What may go wrong in the drill and in the tests' days of random faults, and how a file is cut short."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from pricetracker_dagster.files.data_folder import DataFolder

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "error", "text": "EService:Unavailable"},
    {"kind": "error", "text": "EGeneral:Temporary lockout"},
    {"kind": "error", "text": "EQuery:Unknown asset pair"},
    {"kind": "server_error"},
    {"kind": "rate_limit", "count": 2},
    {"kind": "truncated"},
    {"kind": "hang", "endpoint": "OHLC"},
    {"kind": "slow", "seconds": 0.3},
    {"kind": "drip", "endpoint": "OHLC", "seconds": 0.2},
    {"kind": "huge", "endpoint": "OHLC"},
    {"kind": "redirect"},
    {"kind": "maintenance"},
    {"kind": "delisted"},
    {"kind": "hole"},
    {"kind": "correction", "minutes": 3},
    {"kind": "lagging", "minutes": 3},
    {"kind": "insane"},
    {"kind": "odd_row"},
    {"kind": "odd_pairs"},
    {"kind": "milliseconds"},
    {"kind": "clock_skew", "seconds": -25},
    {"kind": "clock_skew", "seconds": 20},
    {"kind": "clock_skew", "seconds": 90},
)
"""Of the exchange's answers."""

OF_ALL_PAIRS = ("milliseconds", "clock_skew", "odd_pairs")

CLOCKS = (timedelta(hours=2), timedelta(days=3), timedelta(minutes=3), timedelta(minutes=-7))
"""By how much this machine's clock is wrong."""

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")

TABLES = ("minute_prices", "minute_prices", "incidents", "causes", "deliveries")
SMALL_FILES = ("doubts.json", "turns.json", "clock.json", "simulated_pairs.json", "simulated.pace")
"""Not tracked.json: without it, what is expected begins anew. Nor the published file: readers never cease."""


def torn(folder: DataFolder, chance: random.Random) -> str | None:
    """Cut a file short, as a power loss does; return what was done."""
    if chance.random() < 0.5:
        files = sorted((folder.path / chance.choice(TABLES) / "_delta_log").glob("*.json"))[-1:]
    else:
        files = [file for name in SMALL_FILES if (file := Path(folder.state / name)).exists()]
    if not files:
        return None
    file = chance.choice(files)
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole[: chance.randrange(len(whole) + 1)])
    return f"torn: {file.relative_to(folder.path)}, {file.stat().st_size} of {len(whole)} bytes are left"
