"""Recorded days replayed: Kraken's OHLCVT files, shifted by whole days so that their last day is today.

The shift is chosen once, at the start; times of day stay what they were. When the recorded days are over they begin
again from the first. Before the first recorded day there is nothing, as before a pair's listing.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.simulator.market import KNOWN_PAIRS, MINUTE, SECOND, Pair, Trade

_DAY = 86_400
_LOT = Decimal("0.00000001")


class ReplayError(PricetrackerError, ValueError):
    """The files cannot be replayed. The message names file, line and value."""


class _Row(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int


class ReplayMarket:
    """A Market of recorded minutes.

    Args:
        folder: holds ``XBTUSD_1.csv`` and the like: ``unix,open,high,low,close,volume,trades`` without a header.
        now: the current time; the last recorded day becomes this UTC day.

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
        self._first = (first + self.shift) * _DAY
        self._rows: Mapping[str, Mapping[int, _Row]] = recorded
        self._minutes: Mapping[str, Sequence[int]] = {name: sorted(rows) for name, rows in recorded.items()}
        self.pairs: Sequence[Pair] = [_pair_of(name, recorded[name]) for name in recorded]

    def trades(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return trades that add up to the recorded candle to the last digit; none for a minute without one."""
        recorded = self._recorded(minute)
        row = None if recorded is None else self._rows[pair.altname].get(recorded)
        return () if row is None else _trades_of(row, minute)

    def close_before(self, pair: Pair, minute: int) -> Decimal | None:
        """Return the last recorded price before a minute; None before the first."""
        for earlier in range(minute - MINUTE, self._first - MINUTE, -MINUTE):
            trades = self.trades(pair, earlier)
            if trades:
                return trades[-1].price
        return None

    def _recorded(self, minute: int) -> int | None:
        """Return the recorded minute that is replayed at a minute; None before the first day."""
        if minute < self._first:
            return None
        return (minute - self._first) % (self.days * _DAY) + self._first - self.shift * _DAY


def _read(file: Path) -> dict[int, _Row]:
    rows: dict[int, _Row] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for number, line in enumerate(csv.reader(lines), 1):
            try:
                minute = int(line[0])
                opening, high, low, close, volume = (Decimal(text) for text in line[1:6])
                row = _Row(opening, high, low, close, volume, int(line[6]))
            except (ValueError, IndexError, InvalidOperation) as error:
                raise ReplayError(
                    f"{file.name} line {number}: {','.join(line)[:80]!r} is not unix,open,high,low,close,volume,trades"
                ) from error
            if minute % MINUTE:
                raise ReplayError(f"{file.name} line {number}: time {minute} is not a whole minute")
            rows[minute] = row
    if not rows:
        raise ReplayError(f"{file.name}: the file is empty")
    return rows


def _pair_of(name: str, rows: Mapping[int, _Row]) -> Pair:
    """Return the pair of a file: a known one, or one made of its name, with the decimals that its prices need."""
    decimals = max(-int(row.close.as_tuple().exponent) for row in rows.values())
    known = next((pair for pair in KNOWN_PAIRS if pair.altname == name), None)
    quotes = sorted(("USD", "EUR", "GBP", "USDT", "USDC", "XBT", "ETH"), key=len, reverse=True)
    quote = next((quote for quote in quotes if name.endswith(quote)), name[-3:])
    base = name.removesuffix(quote)
    return Pair(
        known.key if known else name,
        name,
        f"{base}/{quote}",
        known.base if known else base,
        known.quote if known else quote,
        max(decimals, known.decimals if known else 0),
        float(next(iter(rows.values())).close),
        1.0,
        1.0,
    )


@lru_cache(maxsize=60_000)
def _trades_of(row: _Row, minute: int) -> tuple[Trade, ...]:
    """Spread a candle over as many trades as it had: open first, close last, high and low between."""
    middle = [price for price in (row.high, row.low) if price not in (row.open, row.close)]
    count = max(row.trades, 1)
    between = (middle + [row.close] * count)[: max(count - 2, 0)]
    prices = [row.open, *between, row.close][:count] if count > 1 else [row.close]
    share = (row.volume / count).quantize(_LOT)
    volumes = [share] * (count - 1)
    volumes.append(row.volume - sum(volumes, Decimal(0)))
    step = MINUTE * SECOND // (count + 1) // 100_000 * 100_000
    return tuple(
        Trade(price, volume, minute * SECOND + (i + 1) * step, "b", "m", minute // MINUTE * 100_000 + i)
        for i, (price, volume) in enumerate(zip(prices, volumes, strict=True))
    )
