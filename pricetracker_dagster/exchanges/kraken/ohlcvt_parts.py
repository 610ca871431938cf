"""An OHLCVT file read a few megabytes at a time, so that memory does not grow with it.

Numbers are read as numbers where nothing but numbers stands; what else there is goes the way of ohlcvt.py, as text.
Kraken's files are in the order of their minutes. One that is not cannot be judged in parts: InNoOrder says so, and
ohlcvt.read() takes it as a whole.
"""

import os
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import DAY, MinuteRange, newest_closed_minute, utc
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.candles.validate import RejectedRow, all_valid
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.exchanges.kraken.ohlcvt import OhlcvtError, check_path, metric_of, validated_lines

BLOCK = 4_000_000
"""Bytes that are read at once."""

_AHEAD = 2
"""So many blocks are read as numbers, each by a thread, while those before them are stored."""

_PIECES = 64
"""So many pieces a block is cut into where it is not all numbers: those that are none are read as text."""

_PLAIN = b"0123456789.e-,\n\r"

_EXACT = 2**53
"""Above it a number of trades would not survive as text does, which is read as a double."""

_NUMBERS = ("unix", "open", "high", "low", "close", "volume", "trades")

_PRICES = ("open", "high", "low", "close")

_TYPES = {name: pa.int64() if name in ("unix", "trades") else pa.float64() for name in _NUMBERS}

Columns = dict[str, "np.ndarray[Any, Any]"]


class InNoOrder(PricetrackerError):
    """The lines of a file are not in the order of their minutes, or none is a candle: it is to be read as a whole."""


@dataclass(frozen=True)
class Part:
    """The next minutes of a file.

    Attributes:
        candles: candles.SCHEMA, in the order of their minutes, all of them later than those of the parts before.
        filled: which of them had no trades and are not in the file.
        bytes: how long the part of the file was.
        rejected: its lines that are no valid candle.
        silences: minutes without a line, too many in a row to be taken as quiet: they stay absent.
    """

    candles: pa.Table
    filled: "np.ndarray[Any, np.dtype[np.bool_]]"
    bytes: int
    rejected: list[RejectedRow]
    silences: list[MinuteRange]


class _Last(NamedTuple):
    unix: int
    close: float


@dataclass
class _Reading:
    metric: Metric
    fetched_at: datetime
    now: datetime
    longest: int
    last: _Last | None = None
    absent: set[int] = field(default_factory=set)
    same: pa.Array | None = None

    def metrics(self, length: int) -> pa.Array:
        """Return the metric so many times: a part of the same array as before, unless that is shorter."""
        if self.same is None or len(self.same) < length:
            name = str(self.metric).encode()
            offsets = np.arange(length + 1, dtype=np.int32) * len(name)
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(name * length)]
            self.same = pa.Array.from_buffers(pa.string(), length, buffers)
        return self.same.slice(0, length)


def read_parts(
    path: Path, *, fetched_at: datetime, now: datetime | None = None, longest: timedelta = DAY, block: int = BLOCK
) -> Iterator[Part]:
    """Read a file in parts; together they are what ohlcvt.read() makes of it.

    Args:
        path: the file.
        fetched_at: stored with the rows, UTC.
        now: the time by which a minute has to be closed, UTC; None: this machine's clock.
        longest: a longer silence between two lines is unknown, not quiet: it is not filled.
        block: how many bytes are read at once.

    Raises:
        OhlcvtError: the file's name is not Kraken's, or it cannot be read.
        InNoOrder: it has to be read as a whole; what was read of it so far is not to be used.
    """
    reading = _Reading(metric_of(path), fetched_at, now or datetime.now(UTC), int(longest.total_seconds()))
    check_path(path)
    try:
        with path.open("rb") as file, closing(_ahead(_blocks(file, block), reading.now)) as blocks:
            for lines, rows in blocks:
                yield _part(lines, rows, reading)
    except OSError as error:
        raise OhlcvtError(f"{path}: cannot be read: {error.strerror}") from error
    if reading.last is None:
        raise InNoOrder(f"{path}: no line is a candle")


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Cut a file at ends of lines."""
    rest = b""
    while read := file.read(size):
        end = read.rfind(b"\n") + 1
        if not end:
            if len(rest) > size:
                raise InNoOrder("a line of megabytes")
            rest += read
            continue
        yield rest + read[:end]
        rest = read[end:]
    if rest:
        yield rest


def _ahead(blocks: Iterator[bytes], now: datetime) -> Generator[tuple[bytes, Columns | None]]:
    """Return each block with what _numbers() makes of it; the next ones are read meanwhile."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        asked: deque[tuple[bytes, Future[Columns | None]]] = deque()
        for lines in blocks:
            asked.append((lines, pool.submit(_numbers, lines, now)))
            if len(asked) > _AHEAD:
                before, rows = asked.popleft()
                yield before, rows.result()
        while asked:
            before, rows = asked.popleft()
            yield before, rows.result()


def _part(lines: bytes, rows: Columns | None, reading: _Reading) -> Part:
    rejected: list[RejectedRow] = []
    if rows is None:
        rows, rejected = _of_pieces(lines, reading)
    unix = rows["unix"]
    if not len(unix):
        return Part(_candles(rows, reading), np.zeros(0, bool), len(lines), rejected, [])
    before = reading.last or _Last(int(unix[0]) - 60, 0.0)
    steps = np.diff(unix, prepend=before.unix)
    if (steps <= 0).any():
        raise InNoOrder("a minute comes twice, or after a later one")
    reading.last = _Last(int(unix[-1]), float(rows["close"][-1]))
    silences = [
        MinuteRange(utc(int(unix[i] - steps[i]) + 60), utc(int(unix[i]) - 60))
        for i in np.flatnonzero(steps > reading.longest).tolist()
    ]
    rows, filled = _filled(rows, steps, before, reading)
    reading.absent = {minute for minute in reading.absent if minute > reading.last.unix}
    return Part(_candles(rows, reading), filled, len(lines), rejected, silences)


def _numbers(lines: bytes, now: datetime) -> Columns | None:
    """Read lines as numbers; None where one of them is no valid candle or is not written plainly."""
    if lines.translate(None, _PLAIN):  # quotes, spaces, hex: as text, where it is decided what a number is
        return None
    try:
        table = pc.read_csv(
            pa.py_buffer(lines),
            read_options=pc.ReadOptions(column_names=_NUMBERS, block_size=len(lines) + 1, use_threads=False),
            parse_options=pc.ParseOptions(quote_char=False),
            convert_options=pc.ConvertOptions(column_types=_TYPES, null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    if not table.num_rows:
        return None
    rows = {name: table.column(name).to_numpy() for name in _NUMBERS}
    if rows["unix"].max() > newest_closed_minute(now).timestamp() or rows["trades"].max() > _EXACT:
        return None
    return rows if all_valid(rows) else None


def _of_pieces(lines: bytes, reading: _Reading) -> tuple[Columns, list[RejectedRow]]:
    """Read lines of which some are no plain numbers: these with what stands around them as text."""
    found: list[Columns] = []
    as_text = []
    begin = 0
    for n in range(1, _PIECES + 1):
        end = lines.find(b"\n", max(begin, len(lines) * n // _PIECES)) + 1 or len(lines)
        piece = lines[begin:end] if n < _PIECES else lines[begin:]
        begin = end
        if piece:
            rows = _numbers(piece, reading.now)
            if rows is None:
                as_text.append(piece)
            else:
                found.append(rows)
    validated, named = _text(b"".join(as_text), reading)
    found.append(validated[0])
    if reading.last is not None and named and min(named) <= reading.last.unix:
        raise InNoOrder("a line that is no candle names an earlier minute")
    reading.absent |= named
    rows = {name: np.concatenate([each[name] for each in found]) for name in _NUMBERS}
    order = np.argsort(rows["unix"], kind="stable")
    return {name: cells[order] for name, cells in rows.items()}, validated[1]


def _text(lines: bytes, reading: _Reading) -> tuple[tuple[Columns, list[RejectedRow]], set[int]]:
    """Validate lines as text; return also the minutes that lines name which are no candles."""
    handle, name = tempfile.mkstemp(suffix=".csv")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(lines)
        try:
            validated, named = validated_lines(Path(name), reading.metric, reading.fetched_at, reading.now)
        except OhlcvtError as error:
            raise InNoOrder(str(error)) from error
    finally:
        Path(name).unlink()
    kept = validated.kept
    rows = {name: kept.column(name).to_numpy() for name in _NUMBERS[1:]}
    rows["unix"] = kept.column("minute").cast(pa.int64()).to_numpy() // 1_000_000
    return (rows, validated.rejected), {int(minute.timestamp()) for minute in named}


def _filled(
    rows: Columns, steps: "np.ndarray[Any, Any]", before: _Last, reading: _Reading
) -> tuple[Columns, "np.ndarray[Any, np.dtype[np.bool_]]"]:
    """Add the minutes without trades, as candles/no_trade.sql does; return also which ones they are.

    ``steps`` is how many seconds each line is after the one before it.
    """
    quiet = np.where(steps <= reading.longest, steps // 60 - 1, 0)
    if not quiet.any():
        return rows, np.zeros(len(steps), bool)
    stated = np.arange(len(steps)) + np.cumsum(quiet)
    filled = np.ones(int(stated[-1]) + 1, bool)
    filled[stated] = False
    apart = np.full(len(filled), 60)
    apart[stated] = np.where(steps <= reading.longest, 60, steps)
    close = np.repeat(np.concatenate([[before.close], rows["close"][:-1]]), quiet + 1)
    whole: Columns = {"unix": before.unix + np.cumsum(apart)}
    for name in _NUMBERS[1:]:
        cells = rows[name]
        whole[name] = close.copy() if name in _PRICES else np.zeros(len(filled), cells.dtype)
        whole[name][stated] = cells
    if reading.absent:
        there = ~(filled & np.isin(whole["unix"], list(reading.absent)))
        return {name: cells[there] for name, cells in whole.items()}, filled[there]
    return whole, filled


def _candles(rows: Columns, reading: _Reading) -> pa.Table:
    length = len(rows["unix"])
    # by their buffers: pyarrow.array() would import pandas
    arrays = [reading.metrics(length)]
    for column in SCHEMA:
        if column.name == "minute":
            cells = rows["unix"] * 1_000_000
        elif column.name == "fetched_at":
            cells = np.full(length, round(reading.fetched_at.timestamp() * 1_000_000), np.int64)
        elif column.name != "metric":
            cells = np.ascontiguousarray(rows[column.name], np.int64 if column.name == "trades" else np.float64)
        else:
            continue
        arrays.append(pa.Array.from_buffers(column.type, length, [None, pa.py_buffer(cells)]))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
