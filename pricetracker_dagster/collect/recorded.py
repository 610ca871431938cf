"""Files of recorded minutes into the table of prices: read in parts, stored as a whole."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import DAY, MinuteRange
from pricetracker_dagster.candles.validate import RejectedRow
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.exchanges.kraken.ohlcvt_parts import BLOCK, InNoOrder, read_parts
from pricetracker_dagster.store.bulk import BulkLoad
from pricetracker_dagster.store.prices import PriceTable, UpsertedCandles


@dataclass
class Imported:
    """One file, and what became of it.

    Attributes:
        metric: whose minutes it holds.
        minutes: how many, with those that were filled.
        filled: how many of them had no trades and are not in the file.
        rejected: lines that are no valid candle, or of minutes that are not closed.
        silences: minutes without a line, too many in a row to be taken as quiet: they stay absent.
        upserted: what was stored; None: nothing yet.
    """

    path: Path
    metric: Metric
    minutes: int = 0
    filled: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    silences: list[MinuteRange] = field(default_factory=list)
    upserted: UpsertedCandles | None = None


def import_file(
    prices: PriceTable,
    path: Path,
    *,
    now: datetime | None = None,
    longest: timedelta = DAY,
    block: int = BLOCK,
    on_progress: Callable[[int, int], object] = lambda _minutes, _bytes: None,
) -> Imported:
    """Store the minutes of one of Kraken's OHLCVT files; nothing is stored before all of it was read.

    Args:
        prices: the table.
        path: the file.
        now: the time by which a minute has to be closed, also stored as when it was obtained, UTC; None: this clock.
        longest: a longer silence between two lines is unknown, not quiet: it is not filled.
        block: how many bytes of the file are held at once.
        on_progress: is told of each part how many minutes and bytes it had.

    Raises:
        OhlcvtError: the file cannot be imported.
        StoreError: the table cannot be used.
    """
    now = now or datetime.now(UTC)
    imported = Imported(path, ohlcvt.metric_of(path))
    try:
        with BulkLoad(prices, str(imported.metric), now=now) as load:
            for part in read_parts(path, fetched_at=now, now=now, longest=longest, block=block):
                load.add(part.candles, part.filled)
                imported.minutes += part.candles.num_rows
                imported.filled += int(part.filled.sum())
                imported.rejected += part.rejected
                imported.silences += part.silences
                on_progress(part.candles.num_rows, part.bytes)
            imported.upserted = load.commit()
    except InNoOrder:
        [whole] = ohlcvt.read([path], fetched_at=now, now=now, longest=longest)
        upserted = prices.upsert(whole.candles, derived=whole.derived, now=now)
        rows, silences = whole.candles.num_rows, [*whole.silences]
        imported = Imported(path, whole.metric, rows, whole.filled, whole.rejected, silences, upserted)
    imported.rejected = [*imported.rejected, *(imported.upserted.rejected if imported.upserted else ())]
    return imported
