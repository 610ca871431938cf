"""Kraken's downloadable OHLCVT files: years of minutes in one CSV a pair.

Header-less ``unix,open,high,low,close,volume,trades``, named ``XBTUSD_1.csv``. Minutes without trades are absent in
them; here they become rows with volume 0. (support.kraken.com, "Downloadable historical OHLCVT data")
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import Metric, parse_metric
from pricetracker_dagster.candles.minutes import DAY, MinuteRange, utc
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes, not_in
from pricetracker_dagster.candles.pair_names import own_name
from pricetracker_dagster.candles.table import newest_minute, oldest_minute
from pricetracker_dagster.candles.validate import RejectedRow, Validated, closed, validate
from pricetracker_dagster.errors import PricetrackerError, first_line, is_utf8


class OhlcvtError(PricetrackerError, ValueError):
    """A file cannot be imported. The message names the file and the way out."""


@dataclass(frozen=True)
class RecordedFile:
    """One file, read."""

    path: Path
    metric: Metric
    """Whose minutes it holds, by its name."""
    candles: pa.Table
    """Every minute between its first and its last, candles.SCHEMA."""
    filled: int
    """How many of them had no trades and are not in the file."""
    rejected: list[RejectedRow]
    """Lines that are no valid candle. They count as absent; a minute that one names is not filled: it had trades."""
    derived: pa.Table | None = None
    """Metric and minute of those that are not in the file; None: all are."""
    silences: Sequence[MinuteRange] = ()
    """Minutes without a line, too many in a row to be taken as quiet: they stay absent."""


def metric_of(path: Path) -> Metric:
    """Return the metric whose minutes a file holds, from its name: ``XBTUSD_1.csv`` is KRAKEN:BTCUSD.

    Raises:
        OhlcvtError: it is a file of another interval, or not named like Kraken's.
    """
    named = re.fullmatch(r"([A-Z0-9.]+)_(\d+)\.csv", path.name)
    if not named:
        raise OhlcvtError(f"{path}: not named like Kraken's OHLCVT files, e.g. XBTUSD_1.csv")
    pair, interval = named.groups()
    if interval != "1":
        raise OhlcvtError(f"{path}: candles of {interval} minutes; take the file {pair}_1.csv")
    return parse_metric(own_name(f"KRAKEN:{pair}"))


def read(
    paths: Sequence[Path], *, fetched_at: datetime, now: datetime | None = None, longest: timedelta = DAY
) -> Iterator[RecordedFile]:
    """Read files one after another, so that only one is in memory.

    Args:
        paths: the files. Every name is checked before the first is read.
        fetched_at: stored with the rows, UTC.
        now: the time by which a minute has to be closed, UTC; None: this machine's clock.
        longest: a longer silence between two lines is unknown, not quiet: it is not filled.

    Raises:
        OhlcvtError: a file's name or its content is not Kraken's.
    """
    named = [(path, metric_of(path)) for path in paths]
    for path, metric in named:
        yield _read(path, metric, fetched_at, now or datetime.now(UTC), longest)


def check_path(path: Path) -> None:
    """Raise an OhlcvtError where DuckDB could not open a file for its path."""
    if "\\" in str(path.absolute()) and sql.only(path.absolute()) != str(path.absolute()):
        raise OhlcvtError(
            f"{path}: a backslash and one of * ? [ are in its path, which DuckDB cannot open: move the file"
        )
    if not is_utf8(path.absolute()):
        raise OhlcvtError(f"{path}: its path is not in UTF-8, which DuckDB cannot open: move the file")


def validated_lines(
    path: Path, metric: Metric, fetched_at: datetime, now: datetime
) -> tuple[Validated, list[datetime]]:
    """Validate the lines of a file; return also the minutes (UTC) that are named by lines which are no candles.

    Raises:
        OhlcvtError: the file cannot be read.
    """
    connection = sql.connect()
    values = {"metric": str(metric), "fetched_at": fetched_at}
    try:
        connection.execute(sql.load("exchanges/kraken/ohlcvt.sql"), {**values, "path": sql.only(path.absolute())})
        connection.execute(sql.load("exchanges/kraken/ohlcvt_rejected.sql"), values)
    except duckdb.Error as error:
        raise OhlcvtError(f"{path}: cannot be read: {first_line(error)}") from error
    validated = closed(validate(connection), now)
    # a broken line counts as absent, but a minute that it names was not without trades
    connection.execute(
        "SELECT DISTINCT epoch(minute) FROM validated WHERE problem NOTNULL AND whole AND minute NOTNULL"
    )
    named = [utc(unix) for (unix,) in connection.fetchall()]
    connection.close()
    return validated, named


def _read(path: Path, metric: Metric, fetched_at: datetime, now: datetime, longest: timedelta) -> RecordedFile:
    check_path(path)
    validated, named = validated_lines(path, metric, fetched_at, now)
    kept, rejected = validated.kept, validated.rejected
    first, last = oldest_minute(kept), newest_minute(kept)
    if first is None or last is None:
        example = f"; one of {len(rejected):,} rejected: {rejected[0]}" if rejected else ""
        raise OhlcvtError(f"{path}: no line is unix,open,high,low,close,volume,trades{example}")
    span = {str(metric): MinuteRange(first, last)}
    absent = [(str(metric), minute) for minute in named]
    candles = fill_no_trade_minutes(kept, span, longest=longest, absent=absent)
    connection = sql.connect(kept=kept)
    connection.execute(sql.load("exchanges/kraken/ohlcvt_silences.sql"), {"longest": int(longest.total_seconds())})
    silences = [MinuteRange(*(utc(unix) for unix in ends)) for ends in connection.fetchall()]
    filled = candles.num_rows - kept.num_rows
    return RecordedFile(path, metric, candles, filled, rejected, not_in(candles, kept), silences)
