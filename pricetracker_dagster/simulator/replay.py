"""Recorded days replayed: Kraken's OHLCVT files, shifted by whole days so that their last day is today.

They are called ``XBTUSD_1.csv`` and the like: ``unix,open,high,low,close,volume,trades`` without a header. When the
recorded days are over they begin again from the first; before the first there is nothing, as before a pair's listing.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.simulator.elsewhere import Elsewhere
from pricetracker_dagster.simulator.market import HOME, KNOWN_PAIRS, MINUTE, SECOND, Candle, Market, Pair, Trade

_DAY = 86_400
_LOT = Decimal("0.00000001")


class ReplayError(PricetrackerError, ValueError):
    """The files cannot be replayed. The message names file, line and value."""


class ReplayMarket(Market):
    """Recorded minutes of a folder of files, of which the last day becomes the UTC day of ``now``.

    Attributes:
        shift: days added to every recorded time.
        days: how many days are recorded.

    Raises:
        ReplayError: there is no such file in the folder, or one has a line that is no candle.
    """

    def __init__(self, folder: Path, now: datetime) -> None:
        """Read every file of the folder."""
        files = sorted(folder.glob("*_1.csv"))
        if not files:
            raise ReplayError(f"{folder}: no minute files here, e.g. XBTUSD_1.csv")
        recorded = {file.name.removesuffix("_1.csv"): _read(file) for file in files}
        first = min(min(rows) for rows in recorded.values()) // _DAY
        last = max(max(rows) for rows in recorded.values()) // _DAY
        today = (now.astimezone(UTC).date() - date(1970, 1, 1)) // timedelta(days=1)
        self.days = last - first + 1
        self.shift = today - last
        self.first = (first + self.shift) * _DAY
        self.pairs = [_pair_of(name, rows) for name, rows in recorded.items()]
        self._rows = recorded

    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return trades that add up to the recorded candle to the last digit; none for a minute without one."""
        if minute < self.first:
            return ()
        recorded = (minute - self.first) % (self.days * _DAY) + self.first - self.shift * _DAY
        row = self._rows[pair.altname].get(recorded)
        return () if row is None else _trades_of(row, minute)

    def at(self, exchange: str) -> Market:
        """Return the market at another exchange than Kraken: made from what is recorded there."""
        return self if exchange == HOME else Elsewhere(self, exchange)


def _read(file: Path) -> dict[int, Candle]:
    rows: dict[int, Candle] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for number, line in enumerate(csv.reader(lines), 1):
            try:
                minute = int(line[0])
                opening, high, low, close, volume = (Decimal(text) for text in line[1:6])
                rows[minute] = Candle(minute, opening, high, low, close, None, volume, int(line[6]))
            except (ValueError, IndexError, InvalidOperation) as error:
                raise ReplayError(
                    f"{file.name} line {number}: {','.join(line)[:80]!r} is not unix,open,high,low,close,volume,trades"
                ) from error
            if minute % MINUTE:
                raise ReplayError(f"{file.name} line {number}: time {minute} is not a whole minute")
    if not rows:
        raise ReplayError(f"{file.name}: the file is empty")
    return rows


def _pair_of(name: str, rows: Mapping[int, Candle]) -> Pair:
    """Return the pair of a file: a known one, or one made of its name, with the decimals that its prices need."""
    decimals = max(-int(row.close.as_tuple().exponent) for row in rows.values())
    quote = next((quote for quote in ("USDT", "USDC") if name.endswith(quote)), name[-3:])
    base = name.removesuffix(quote)
    made = Pair(name, f"{base}/{quote}", base, quote, decimals)
    pair = next((pair for pair in KNOWN_PAIRS if pair.altname == name), made)
    return replace(pair, decimals=max(decimals, pair.decimals))


@lru_cache(maxsize=60_000)
def _trades_of(row: Candle, minute: int) -> tuple[Trade, ...]:
    """Spread a candle over as many trades as it had: open first, close last, high and low between."""
    middle = [price for price in (row.high, row.low) if price not in (row.open, row.close)]
    count = max(row.trades, 1)
    between = (middle + [row.close] * count)[: max(count - 2, 0)]
    prices = [row.open, *between, row.close][:count] if count > 1 else [row.close]
    share = (row.volume / count).quantize(_LOT)
    volumes = [share] * (count - 1) + [row.volume - share * (count - 1)]
    step = MINUTE * SECOND // (count + 1) // 100_000 * 100_000
    return tuple(
        Trade(price, volume, minute * SECOND + (i + 1) * step, "b", "m", minute // MINUTE * 100_000 + i)
        for i, (price, volume) in enumerate(zip(prices, volumes, strict=True))
    )
