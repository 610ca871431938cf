"""Recorded files into the store. What one of them holds is in exchanges/kraken/ohlcvt.py."""

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pricetracker_dagster.candles.validate import RejectedRow
from pricetracker_dagster.collect.result import in_plain_words
from pricetracker_dagster.exchanges.kraken.ohlcvt import RecordedFile, read
from pricetracker_dagster.store.prices import PriceTable, UpsertedCandles
from pricetracker_dagster.store.records import MISTAKE


@dataclass(frozen=True)
class ImportedFile:
    """A file that was stored.

    Attributes:
        read: what it holds.
        upserted: what of it is new in the store.
    """

    read: RecordedFile
    upserted: UpsertedCandles

    @property
    def rejected(self) -> list[RejectedRow]:
        """The lines that are not stored: no valid candles, or of minutes that are not closed."""
        return [*self.read.rejected, *self.upserted.rejected]


@dataclass(frozen=True)
class FailedFile:
    """A file that could not be stored.

    Attributes:
        reason: why, in one line that names the file.
        traceback: of a mistake of ours; else empty.
    """

    reason: str
    traceback: str


def import_file(prices: PriceTable, path: Path, *, longest: timedelta) -> ImportedFile | FailedFile:
    """Store one of Kraken's OHLCVT files. What is wrong with it concerns no other file.

    Args:
        prices: where it is stored.
        path: the file.
        longest: a longer silence between two lines is not filled.
    """
    try:
        [recorded] = read([path], fetched_at=datetime.now(UTC), longest=longest)
        return ImportedFile(recorded, prices.upsert(recorded.candles, derived=recorded.derived))
    except Exception as error:
        reason, cause = in_plain_words(error)
        trace = "".join(traceback.format_exception(error)) if cause == MISTAKE else ""
        return FailedFile(reason if str(path) in reason else f"{path}: {reason}", trace)
