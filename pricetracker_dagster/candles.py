"""The candle: one metric's minute. Its schema, its four measures, its arithmetic, what makes it sane.

Here belongs what is true of a candle wherever it comes from and wherever it is kept. No files, no network,
no clock: time is an argument.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.errors import plain

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

TIMESTAMP = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("metric", pa.string(), nullable=False, metadata={"comment": "EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD"}),
        pa.field(
            "minute", TIMESTAMP, nullable=False, metadata={"comment": "open time of the candle, UTC, whole minute"}
        ),
        pa.field("open", pa.float64(), nullable=False, metadata={"comment": "first price, in the quote currency"}),
        pa.field("high", pa.float64(), nullable=False, metadata={"comment": "highest price, in the quote currency"}),
        pa.field("low", pa.float64(), nullable=False, metadata={"comment": "lowest price, in the quote currency"}),
        pa.field("close", pa.float64(), nullable=False, metadata={"comment": "last price, in the quote currency"}),
        pa.field("volume", pa.float64(), nullable=False, metadata={"comment": "base units traded in this minute"}),
        pa.field("trades", pa.int64(), nullable=False, metadata={"comment": "number of trades in this minute"}),
        pa.field("fetched_at", TIMESTAMP, nullable=False, metadata={"comment": "when this row was obtained, UTC"}),
    ]
)
"""One row a metric and minute; (metric, minute) is the key. Nothing is ever null."""

MEASURES = ("price", "volume", "change_absolute", "change_percentage")
"""price = close; volume = base units of the minute; change_absolute = close - open;
change_percentage = (close - open) / open * 100, absent where open is 0."""

RAW_COLUMNS = ("metric", "unix", "open", "high", "low", "close", "volume", "trades")
"""A candle as the exchange or a file wrote it, before it is judged: text, with its open time in Unix seconds."""

_HERE = Path(__file__).parent


class Metric(NamedTuple):
    """One market: the exchange that quotes it and its pair, both upper case, e.g. ``KRAKEN``, ``BTCUSD``."""

    exchange: str
    pair: str

    def __str__(self) -> str:
        """Return the written form, ``EXCHANGE:BASEQUOTE``."""
        return f"{self.exchange}:{self.pair}"


def parse_metric(text: str) -> Metric:
    """Split ``EXCHANGE:BASEQUOTE`` into its two parts.

    Raises:
        ValueError: the text is not of that form; the message says how it should look.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*:[A-Z0-9.]+", text):
        remedy = f"; did you mean {text.strip().upper()}?" if re.fullmatch(r"\s*\w+:[\w.]+\s*", text) else ""
        raise ValueError(f'"{text}" is not a metric: write EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD{remedy}')
    exchange, pair = text.split(":")
    return Metric(exchange, pair)


OUR_ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's names of assets that the rest of the world calls otherwise."""


_KEY = r"(?:X(?=ETC|ETH|LTC|MLN|REP|XBT|XDG|XLM|XMR|XRP|ZEC)|Z(?=AUD|CAD|EUR|GBP|JPY|USD))([A-Z]{3})"
"""An asset in the keys of Kraken's AssetPairs: its oldest ones carry an X, moneys of states a Z (``XXBTZUSD``)."""


def own_name(metric: str) -> str:
    """Return the name under which a metric is kept: ``KRAKEN:BTCUSD`` also for Kraken's ``XBTUSD`` and ``XXBTZUSD``."""
    exchange, _, pair = metric.partition(":")
    if key := re.fullmatch(rf"(?:{_KEY}|(USDT)){_KEY}", pair):
        pair = "".join(filter(None, key.groups()))
    for theirs, ours in OUR_ASSETS.items():
        pair = re.sub(f"^{theirs}(?=.)|(?<=.){theirs}$", ours, pair)
    return f"{exchange}:{pair}"


def floor_minute(moment: datetime) -> datetime:
    """Return the start of the minute that ``moment`` lies in, in UTC.

    Raises:
        ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: write e.g. {moment.isoformat()}+00:00")
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def newest_closed_minute(now: datetime) -> datetime:
    """Return the open time of the newest candle that is closed at ``now``: at 12:05:03 that is 12:04."""
    return floor_minute(now) - MINUTE


def minutes_between(first: datetime, last: datetime) -> list[datetime]:
    """Return every minute from ``first`` to ``last``, both included."""
    return [first + MINUTE * i for i in range((last - first) // MINUTE + 1)]


def minutes_of_day(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last minute of a UTC day: 00:00 and 23:59."""
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return first, first + DAY - MINUTE


class MinuteRange(NamedTuple):
    """Consecutive minutes, both ends included, UTC."""

    first: datetime
    last: datetime

    def __str__(self) -> str:
        """Return e.g. ``2026-11-24 12:04`` or ``2026-11-24 12:04 to 12:09 (6 minutes)``."""
        if self.first == self.last:
            return f"{self.first:%Y-%m-%d %H:%M}"
        last = f"{self.last:%H:%M}" if self.last.date() == self.first.date() else f"{self.last:%Y-%m-%d %H:%M}"
        return f"{self.first:%Y-%m-%d %H:%M} to {last} ({self.length} minutes)"

    @property
    def length(self) -> int:
        """How many minutes the range holds."""
        return (self.last - self.first) // MINUTE + 1


def minutes_in(spans: Iterable[MinuteRange]) -> int:
    """Return how many minutes the ranges hold together."""
    return sum(span.length for span in spans)


def ranges(minutes: Iterable[datetime]) -> list[MinuteRange]:
    """Join minutes, in any order, into the fewest ranges of consecutive ones, oldest first."""
    joined: list[MinuteRange] = []
    for minute in sorted(set(minutes)):
        if joined and minute - joined[-1].last == MINUTE:
            joined[-1] = joined[-1]._replace(last=minute)
        else:
            joined.append(MinuteRange(minute, minute))
    return joined


class Refused(NamedTuple):
    """A row that is not stored, and why. ``minute`` is None where not even its time could be read."""

    metric: str
    minute: datetime | None
    problem: str
    row: str

    def __str__(self) -> str:
        """Return the line a person reads: which metric, which minute, what was wrong, what was there."""
        minute = f"{self.minute:%Y-%m-%d %H:%M}" if self.minute else "minute unknown"
        return f"{self.metric} {minute}: {self.problem} ({self.row})"


@dataclass(frozen=True)
class Sifted:
    """Rows after judgement.

    Attributes:
        kept: the sane candles, SCHEMA, one a (metric, minute), in no order.
        refused: the others, with the reason.
        derived: which of the kept nobody stated (columns metric and minute, and maybe more rows); None: none.
    """

    kept: pa.Table
    refused: list[Refused]
    derived: pa.Table | None = None


def sift(connection: duckdb.DuckDBPyConnection) -> Sifted:
    """Judge the candles in the table or view ``raw`` of a connection and part the sane ones from the rest.

    ``raw`` holds RAW_COLUMNS as text and ``fetched_at`` (timestamp with time zone).

    Refused are: a time that is no number, no whole minute or out of range; prices, volume or trades that
    are no finite number or are negative; high below low; open or close outside them. Of two sane rows for
    one minute the later one is kept. The text of a refused row is one line, cut after 200 characters.
    """
    connection.execute(sql.load(_HERE / "candles.sql"))
    connection.execute(sql.load(_HERE / "candles_sift.sql"))
    kept = connection.sql("SELECT * EXCLUDE (problem, whole, row) FROM sifted WHERE problem IS NULL").to_arrow_table()
    connection.execute("SELECT metric, epoch(minute), problem, row FROM sifted WHERE problem IS NOT NULL")
    refused = connection.fetchall()
    return Sifted(
        kept=kept.cast(SCHEMA),
        refused=[
            Refused(metric, None if unix is None else datetime.fromtimestamp(unix, UTC), problem, plain(row, len(row)))
            for metric, unix, problem, row in refused
        ],
    )


def sift_rows(rows: Iterable[Sequence[object]], fetched_at: datetime) -> Sifted:
    """Judge candles as exchanges answered them: rows in the order of RAW_COLUMNS, any number of metrics."""
    connection = sql.connect()
    # Through DuckDB and not pyarrow.array(), which imports pandas: 0.5 s of CPU in each tick.
    connection.execute(
        sql.load(_HERE / "candles_raw.sql"),
        {
            "rows": [as_texts(row) for row in rows],
            "fetched_at": fetched_at,
        },
    )
    return sift(connection)


def as_texts(row: Iterable[object]) -> list[str | None]:
    """Return values as text that can be judged and stored: a surrogate, which is no UTF-8, is shown as ``?``."""
    return [None if value is None else str(value).encode("utf-8", "replace").decode("utf-8") for value in row]


def closed(sifted: Sifted, now: datetime, exchange: str | None = None) -> Sifted:
    """Refuse the rows of minutes that are not closed at ``now`` (UTC), so that nothing is filled up to them.

    Args:
        sifted: the rows.
        now: the time, UTC.
        exchange: by whose clock it is that time: rows of others are kept; None: by this machine's, for all rows.
    """
    connection = sql.connect()
    connection.register("candles", sifted.kept)
    bound = {"newest": newest_closed_minute(now), "begins": f"{exchange}:" if exchange else ""}
    connection.execute(sql.load(_HERE / "candles_not_closed.sql"), bound)
    by_whom = f"by {exchange}'s clock it is" if exchange else "it is"
    problem = f"not closed: {by_whom} {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    refused = [
        Refused(metric, datetime.fromtimestamp(unix, UTC), problem, row) for metric, unix, row in connection.fetchall()
    ]
    if not refused:
        return Sifted(sifted.kept, sifted.refused, sifted.derived)
    kept = connection.sql("FROM candles WHERE NOT (minute > $newest AND starts_with(metric, $begins))", params=bound)
    return Sifted(kept.to_arrow_table().cast(SCHEMA), sifted.refused + refused, sifted.derived)


def not_in(candles: pa.Table, stated: pa.Table) -> pa.Table:
    """Return metric and minute of those candles that are not among ``stated``: the ones that were filled in."""
    connection = sql.connect()
    connection.register("candles", candles)
    connection.register("stated", stated)
    return connection.sql("SELECT metric, minute FROM candles ANTI JOIN stated USING (metric, minute)").to_arrow_table()


def newest_minute(candles: pa.Table) -> datetime | None:
    """Return the newest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[1]


def oldest_minute(candles: pa.Table) -> datetime | None:
    """Return the oldest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[0]


def _extent(candles: pa.Table) -> tuple[datetime | None, datetime | None]:
    connection = sql.connect()
    connection.register("candles", candles)
    connection.execute("SELECT epoch(min(minute)), epoch(max(minute)) FROM candles")
    [ends] = connection.fetchall()
    oldest, newest = (None if unix is None else datetime.fromtimestamp(unix, UTC) for unix in ends)
    return oldest, newest


def by_day(candles: pa.Table, first: datetime, last: datetime) -> dict[date, pa.Table]:
    """Part the candles (SCHEMA) of minutes ``first`` to ``last`` by their UTC day, oldest day first."""
    connection = sql.connect()
    connection.register("candles", candles)
    connection.execute(sql.load(_HERE / "candles_days.sql"), {"first": first, "last": last})
    days = connection.fetchall()
    return {
        day: connection.sql(
            "SELECT * FROM candles WHERE minute BETWEEN $first AND $last", params={"first": begin, "last": end}
        )
        .to_arrow_table()
        .cast(SCHEMA)
        for day, begin, end in days
    }


def within(candles: pa.Table, spans: Sequence[MinuteRange]) -> pa.Table:
    """Return the candles (SCHEMA) whose minute lies in one of the spans."""
    connection = sql.connect()
    connection.register("candles", candles)
    return (
        connection.sql(
            sql.load(_HERE / "candles_within.sql"),
            params={"spans": [{"first": span.first, "last": span.last} for span in spans]},
        )
        .to_arrow_table()
        .cast(SCHEMA)
    )


def fill_no_trade_minutes(
    candles: pa.Table,
    spans: Mapping[str, MinuteRange],
    left_out: Iterable[tuple[str, datetime]] = (),
    longest: timedelta | None = None,
    absent: Iterable[tuple[str, datetime]] = (),
) -> pa.Table:
    """Give every minute of ``spans`` a row: where there was no trade, volume 0, trades 0 and the previous close.

    Args:
        candles: SCHEMA. May begin before a span: that candle's close then opens the span. Only rows inside
            the spans are returned.
        spans: for each metric, the minutes about which the source has spoken.
        left_out: (metric, minute) of refused rows. They stay absent unless ``candles`` has them, and so do the quiet
            minutes after them, since nobody knows at which price those minutes closed.
        longest: between two candles further apart than this nothing is filled: a silence as long is unknown, not
            quiet. None: there is no limit, since the source itself has said that there was no trade.
        absent: (metric, minute) that stay absent unless ``candles`` has them, but not the quiet minutes after them.

    Returns:
        SCHEMA, ordered by metric and minute.
    """
    connection = sql.connect()
    connection.register("candles", candles)
    filled = connection.sql(
        sql.load(_HERE / "candles_fill.sql"),
        params={
            "spans": [{"metric": metric, "first": span.first, "last": span.last} for metric, span in spans.items()],
            "left_out": [{"metric": metric, "minute": minute} for metric, minute in left_out],
            "absent": [{"metric": metric, "minute": minute} for metric, minute in absent],
            "longest": None if longest is None else int(longest.total_seconds()),
        },
    )
    return filled.to_arrow_table().cast(SCHEMA)
