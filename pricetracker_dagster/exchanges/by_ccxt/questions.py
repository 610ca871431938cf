"""What is asked of one exchange by way of ccxt: its time, its markets, candles and trades of a market; checked."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import ExchangeError, ExchangeUnreachable
from pricetracker_dagster.exchanges.by_ccxt.failures import in_our_words
from pricetracker_dagster.exchanges.by_ccxt.quiet import Row, Trades
from pricetracker_dagster.exchanges.by_ccxt.records import Record
from pricetracker_dagster.exchanges.by_ccxt.speaker import now_of
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded

T = TypeVar("T")

_FIRST_MS, _LAST_MS = 1_230_768_000_000, 4_102_444_800_000
"""2009 and 2100: a time in milliseconds lies between them."""

_LAST_TRADES = 200
"""So many of the last trades are enough to tell whether minutes that have just ended were quiet: ccxt takes 0.1 s of
CPU to read a thousand."""


class Questions:
    """The questions to one exchange. Threads may share it.

    Args:
        name: as metrics bear it.
        speaker: ccxt's exchange (speaker.py).
        record: what is known of it.
    """

    def __init__(self, name: str, speaker: Any, record: Record) -> None:
        """Ask nothing yet."""
        self.name = name
        self.client: Client = speaker.client
        self._speaker = speaker
        self._record = record

    def now(self) -> datetime:
        """Return the exchange's time, UTC, as it was told last; this machine's where none was told."""
        return now_of(self._speaker.clock)

    @property
    def knows_time(self) -> bool:
        """Whether a time was told."""
        return self._speaker.clock.unix() is not None

    @property
    def tells_time(self) -> bool:
        """Whether it can be asked for its time."""
        return bool(self._speaker.has.get("fetchTime"))

    def time(self, deadline: Deadline) -> datetime:
        """Ask for the exchange's time, UTC."""
        what = f"{self.name}: time"
        told = self._ask(what, self._speaker.fetch_time, deadline)
        if not isinstance(told, int | float) or not _FIRST_MS < told < _LAST_MS:
            raise ExchangeUnreachable(f"{what}: it answered {plain(told, 60)}, which is no time in milliseconds")
        self._speaker.clock.set(told / 1000)
        return self.now()

    def forget_time(self) -> None:
        """Let the head of the next answer tell the time anew."""
        self._speaker.clock.forget()

    def anything(self, symbol: str, deadline: Deadline) -> None:
        """Ask for something small about a market: the head of the answer bears a date."""
        what, speaker = f"{self.name}: time", self._speaker
        if speaker.has.get("fetchTrades"):
            self._ask(what, _called(speaker.fetch_trades, symbol, None, 1), deadline)
        elif speaker.has.get("fetchTicker"):
            self._ask(what, _called(speaker.fetch_ticker, symbol), deadline)

    def markets(self, deadline: Deadline) -> Mapping[str, Any]:
        """Ask for all markets, by their symbols, as ccxt has them."""
        return dict(self._ask(f"{self.name}: markets", lambda: self._speaker.load_markets(True), deadline))

    def use(self, markets: Mapping[str, Any]) -> None:
        """Let ccxt know of markets that were asked for before."""
        if markets:
            self._speaker.set_markets([*markets.values()])

    def candles(
        self,
        pair: str,
        symbol: str,
        begin: datetime,
        deadline: Deadline,
        *,
        until: datetime | None = None,
        patient: bool = True,
    ) -> tuple[dict[int, Row], list[Row]]:
        """Ask once for the closed minutes of a market from ``begin`` on, UTC.

        Returns:
            The rows by their open time in Unix seconds, up to ``until``; and those whose time is no minute.
        """
        what, most = f"{self.name}: candles of {pair}", self._record.rows
        end = until or newest_closed_minute(self.now()) + MINUTE
        limit = max(1, min(most, (end - begin) // MINUTE + 1))
        since = int(begin.timestamp() * 1000)
        ask = _called(self._speaker.fetch_ohlcv, symbol, "1m", since, limit)
        found = self._ask(what, ask, deadline, patient=patient)
        if len(found) > 2 * most:
            raise ExchangeUnreachable(f"{what}: the answer has {len(found):,} rows, more than were asked for")
        closed = self.now() - MINUTE
        last = int(min(closed, until or closed).timestamp() * 1000)
        rows: dict[int, Row] = {}
        odd: list[Row] = []
        for row in found:
            time = row[0] if row else None
            if not isinstance(time, int) or time % 60_000:
                odd.append(row)
            elif since <= time <= last:
                rows[time // 1000] = row
        return rows, odd

    def trades(self, pair: str, symbol: str, since: int | None, deadline: Deadline) -> Trades:
        """Ask once for the last trades of a market, or for more since a time; none where they cannot be had."""
        if not self._speaker.has.get("fetchTrades"):
            return Trades()
        most = self._record.trades
        begin, most = (None, most and min(most, _LAST_TRADES)) if since is None else (1000 * since, most)
        ask = _called(self._speaker.fetch_trades, symbol, begin, most)
        try:
            found = self._ask(f"{self.name}: trades of {pair}", ask, deadline, patient=False)
            told = sorted((each["timestamp"] / 1000, float(each["price"])) for each in found)
        except (ExchangeError, DeadlineExceeded, KeyError, TypeError, ValueError):
            return Trades()  # what only they could speak for is left open
        until = self.now().timestamp() if since is None else None
        return Trades([time for time, _ in told], [price for _, price in told], until)

    def _ask(self, what: str, ask: Callable[[], T], deadline: Deadline, *, patient: bool = True) -> T:
        def once() -> T:
            with in_our_words(what, self._speaker), self._speaker.asking.for_(what, deadline):
                return ask()

        return self.client.until_answered(what, once, deadline, patient=patient)


def _called(function: Callable[..., T], *arguments: object) -> Callable[[], T]:
    return lambda: function(*arguments)
