"""How much disk everything takes, and for how long there is enough: what is measured at one moment, and its growth.

The growth follows from what was measured in the last days, which a small file of the data folder keeps. That one may be
lost: then the growth is known again a day later.
"""

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in, moment_of
from pricetracker_dagster.store.live_files import totals
from pricetracker_dagster.store.store import Store

GROWTH_OVER = timedelta(days=7)
"""So long back the growth is looked for: for as long replaced files stay, which is no growth."""

_AT_LEAST = DAY
"""What is measured within less says how a time of day differs from another."""


@dataclass(frozen=True)
class DiskUse:
    """What there is at one moment.

    Attributes:
        files: live Parquet files of minute prices, ``price_bytes`` their bytes, ``rows`` their candles.
        oldest: their oldest minute, UTC, and ``newest`` their newest; None: nothing is stored.
        record_bytes: bytes of the small tables on disk; 0 where they are elsewhere.
        dagster_bytes: bytes of Dagster's folder.
        folder_bytes: bytes of the whole data folder, with replaced files, logs and what a repair has set aside.
        free_bytes: bytes that are free on its disk.
        growth: bytes that the folder grows by in a day; None: that is not known yet.
    """

    files: int
    price_bytes: int
    rows: int
    oldest: datetime | None
    newest: datetime | None
    record_bytes: int
    dagster_bytes: int
    folder_bytes: int
    free_bytes: int
    growth: float | None

    @property
    def bytes_a_candle(self) -> float | None:
        """Bytes of live Parquet for one stored candle; None where there is none."""
        return self.price_bytes / self.rows if self.rows else None

    @property
    def days_left(self) -> float | None:
        """Days until the disk is full at the present growth; None: that is not known yet, or it does not grow."""
        return self.free_bytes / self.growth if self.growth is not None and self.growth > 0 else None


def disk_use(store: Store, now: datetime) -> DiskUse:
    """Measure at ``now``, UTC, and keep it to tell the growth by.

    Raises:
        StoreError: the table of prices cannot be read.
    """
    folder = store.folder
    table = store.prices.open()
    files, price_bytes, rows, oldest, newest = (0, 0, 0, None, None) if table is None else totals(table)
    local = [path for each in store.records if (path := each.location.local_path) is not None]
    folder_bytes = _bytes_in(folder.path)
    return DiskUse(
        files,
        price_bytes,
        rows,
        oldest,
        newest,
        sum(map(_bytes_in, local)),
        _bytes_in(folder.dagster_home),
        folder_bytes,
        shutil.disk_usage(folder.path).free,
        _growth(folder.state / StateFile.SIZES, folder_bytes, now),
    )


def _growth(file: Path, size: int, now: datetime) -> float | None:
    """Return bytes a day since the oldest of the measurements of late, and keep this one."""
    measured = kept_in(file).get("measured")
    before = {}
    for entry in measured if isinstance(measured, list) else []:
        at = moment_of(entry.get("at")) if isinstance(entry, dict) else None
        if at is not None and now - GROWTH_OVER <= at < now and isinstance(entry.get("bytes"), int):
            before[at] = entry["bytes"]
    kept = [{"at": at.isoformat(), "bytes": before[at]} for at in sorted(before)]
    write_text(file, json.dumps({"measured": [*kept, {"at": now.isoformat(), "bytes": size}]}))
    oldest = min(before, default=now)
    return None if now - oldest < _AT_LEAST else (size - before[oldest]) / ((now - oldest) / DAY)


def _bytes_in(folder: Path) -> int:
    """Return how many bytes the files of a folder have; what somebody removes meanwhile has none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except OSError:
                continue
    return total
