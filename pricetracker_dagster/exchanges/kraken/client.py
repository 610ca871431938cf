"""What is asked of Kraken's public REST interface, and what its answers mean: the Exchange that speaks its dialect."""

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import DAY, MINUTE, floor_minute, utc
from pricetracker_dagster.candles.validate import Unvalidated, Validated
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import ExchangeError, ExchangeUnreachable
from pricetracker_dagster.exchanges.http import MOST_BYTES
from pricetracker_dagster.exchanges.kraken.answers import no_time, none_in_seconds, result_of, time_in, time_of
from pricetracker_dagster.exchanges.kraken.pairs import Pairs, keep, listed_in, read_kept
from pricetracker_dagster.exchanges.kraken.trades import Trades
from pricetracker_dagster.files.data_folder import pairs_file
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded

_TRADES_A_PAGE = 1000

_MOST_ROWS = 2 * _TRADES_A_PAGE
_MOST_BYTES = 1_000_000
"""Of an answer; a page of trades, the largest with rows, has some 100 KB. AssetPairs alone needs more: MOST_BYTES."""

_PAIRS_LAST, _PAIRS_AGAIN = DAY, 10 * MINUTE
"""How long the list of pairs is kept, and how long one that lacks a pair."""


class Kraken:
    """An Exchange that speaks Kraken's dialect: Kraken, or the built-in simulator. Threads may share it."""

    reach = 718 * MINUTE
    """How far back OHLC surely answers: 720 rows, of which one is still forming and one may end while we ask."""

    settles = timedelta(seconds=3)
    """After its end before a minute is rebuilt from trades: the last ones must have reached Trades."""

    def __init__(self, name: str, client: Client, *, cache: Path) -> None:
        """Ask nothing yet. The list of pairs is kept in the folder ``cache``."""
        self.name = name
        self.allowance = client.allowance
        self._client = client
        self._pairs_file = pairs_file(cache, name)
        self._pairs = Pairs()
        self._clock: tuple[int, float] | None = None

    def time(self, deadline: Deadline) -> datetime:
        """Ask the exchange for its time, UTC, a whole second."""
        answer = self._get("Time", {}, deadline).get("unixtime")
        unix = time_in(answer)
        if unix is None:
            raise ExchangeUnreachable(f"{self.name}: Time answered {plain(answer, 60)}, {no_time(answer)}")
        # by a monotonic clock: a backfill may outlast a correction of this machine's
        self._clock = int(unix), time.monotonic()
        return utc(int(unix))

    def pairs(self, wanted: Collection[str], deadline: Deadline) -> Collection[str]:
        """Return every pair, ``BASEQUOTE`` by our names. The list is kept for a day."""
        kept = read_kept(self._pairs_file, self._client.url)
        age = datetime.now(UTC) - kept.asked_at
        if age < timedelta():  # kept under a clock that was ahead: its age is unknown
            age = _PAIRS_LAST + MINUTE
        if age > _PAIRS_LAST or (
            age > _PAIRS_AGAIN and not {pair.replace("/", "") for pair in wanted} <= kept.names.keys()
        ):
            try:
                kept = listed_in(f"{self.name}: AssetPairs", self._get("AssetPairs", {}, deadline))
                keep(self._pairs_file, self._client.url, kept)
            except (ExchangeError, DeadlineExceeded):
                if not kept.names:  # an old list is better than none
                    raise
        self._pairs = kept
        return kept.names.keys()

    def base_and_quote(self, pair: str) -> tuple[str, str] | None:
        """Return what a pair trades for what, as pairs() has found."""
        base, _, quote = self._pairs.spelled.get(pair.replace("/", ""), "").partition("/")
        return (base, quote) if base and quote else None

    def candles(self, pair: str, since: datetime, deadline: Deadline, *, patient: bool = True) -> Unvalidated:
        """Fetch closed minutes from ``since`` on: at most the 720 that OHLC reaches."""
        # exclusive: the minute before, so that `since` itself is in the answer
        query = {"interval": "1", "since": str(int((since - MINUTE).timestamp()))}
        rows, _ = self._rows_and_last("OHLC", pair, query, deadline, patient=patient)
        now = self._now(deadline)
        metric = str(Metric(self.name, pair))
        if other := none_in_seconds(rows):
            raise ExchangeUnreachable(f"{self.name}: OHLC of {pair}: {other}")
        wanted = [row for row in rows if _is_wanted(row, since, now)]
        cells = [(metric, *row[:5], *row[6:8]) if isinstance(row, list) else (metric, row) for row in wanted]
        return Unvalidated(cells, fetched_at=now)

    def history(
        self, pair: str, first: datetime, last: datetime, deadline: Deadline, *, before: pa.Table | None = None
    ) -> Iterator[Validated]:
        """Rebuild closed minutes from trades, oldest first, a batch a page of trades."""
        now = partial(self._now, deadline)
        last = min(last, floor_minute(now() - self.settles) - MINUTE)
        if first > last:
            return

        def ask(since: str) -> tuple[list[Any], object]:
            return self._rows_and_last("Trades", pair, {"count": str(_TRADES_A_PAGE), "since": since}, deadline)

        trades = Trades(Metric(self.name, pair), ask, now, f"{self.name}: Trades of {pair}")
        yield from trades.candles(first, last, before)

    def _rows_and_last(
        self, endpoint: str, pair: str, query: Mapping[str, str], deadline: Deadline, *, patient: bool = True
    ) -> tuple[list[Any], object]:
        """Ask for the rows of one pair. The answer is keyed by Kraken's own name of it, beside ``last``."""
        if not self._pairs.names:
            self._pairs = read_kept(self._pairs_file, self._client.url)
        query = {"pair": self._pairs.named(pair), **query}
        result = self._get(endpoint, query, deadline, f" of {pair}", patient=patient)
        what = f"{self.name}: {endpoint} of {pair}"
        keys = [key for key in result if key != "last"]
        if len(keys) != 1 or not isinstance(result[keys[0]], list):
            shape = plain({key: type(value).__name__ for key, value in list(result.items())[:5]})
            raise ExchangeUnreachable(f"{what}: an answer of unknown shape: {shape}")
        owner = self._pairs.owner(keys[0]) or pair
        if owner != pair.replace("/", ""):
            raise ExchangeUnreachable(f"{what}: the answer is {owner}'s, {plain(keys[0], 40)}")
        rows = result[keys[0]]
        if len(rows) > _MOST_ROWS:
            too_many = f"the answer has {len(rows):,} rows; more than {_MOST_ROWS:,} are not read"
            raise ExchangeUnreachable(f"{what}: {too_many}")
        return rows, result.get("last")

    def _now(self, deadline: Deadline) -> datetime:
        if self._clock is None:
            self.time(deadline)
        assert self._clock is not None  # noqa: S101 - time() has just set it
        told, at = self._clock
        return utc(told + time.monotonic() - at)

    def _get(
        self, endpoint: str, query: Mapping[str, str], deadline: Deadline, of: str = "", *, patient: bool = True
    ) -> dict[str, Any]:
        what, path = f"{self.name}: {endpoint}{of}", f"/0/public/{endpoint}"
        most = MOST_BYTES if endpoint == "AssetPairs" else _MOST_BYTES
        return self._client.get(what, path, query, partial(result_of, what), deadline, most=most, patient=patient)


def _is_wanted(row: object, since: datetime, now: datetime) -> bool:
    """Say whether a row is closed and not before ``since``. One whose time cannot be read is: it is rejected."""
    unix = time_of(row)
    return unix is None or (since.timestamp() <= unix and unix + MINUTE.total_seconds() <= now.timestamp())
