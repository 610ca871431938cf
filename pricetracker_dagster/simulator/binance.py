"""Binance's public spot REST dialect: ``/api/v3/…``; errors by status, code and message.

Its klines come oldest first, numbers as text, the count of trades at 8; a minute without trades is a row of zeros.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, ClassVar

from pricetracker_dagster.simulator.binance_words import LIMITS, agg_trade_of, kline_of, symbol_of, trade_of
from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote
from pricetracker_dagster.simulator.limits import Weights
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Pair, Trade

_ROWS, _DEFAULT_ROWS = 1000, 500
_MS = 1_000_000
_DIGITS = 20
_REACH = 400 * 86_400

_A_MINUTE, _PATIENCE, _BAN = 6000, 10, 120.0
"""Weight; refusals until a ban; seconds of the first ban (they grow from two minutes to three days)."""

_WEIGHTS = {"ping": 1, "time": 1, "exchangeInfo": 20, "klines": 2, "trades": 25, "aggTrades": 4}
"""https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints"""

_RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in https://www.binance.com/en/terms. "
    "Please contact customer service if you believe you received this message in error."
)
_SPENT = (
    "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)
_BANNED = (
    "Way too much request weight used; IP banned until {until}. "
    "Please use WebSocket Streams for live updates to avoid bans."
)
_WORDS = {
    "error": (500, -1001, "Internal error; unable to process your request. Please try again."),
    "rate_limit": (429, -1003, _SPENT),
    "banned": (418, -1003, _BANNED),
    "refused_here": (451, 0, _RESTRICTED),
    "maintenance": (503, 1, "System is under maintenance."),
    "unknown_pair": (400, -1121, "Invalid symbol."),
    "no_pair": (400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    "illegal": (400, -1100, "Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."),
    "interval": (400, -1120, "Invalid interval."),
}


class Binance(Dialect):
    """Binance spot. What is traded in US dollars elsewhere is traded in USDT here."""

    name: ClassVar[str] = "binance"
    prefix: ClassVar[str] = "binance:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "": re.compile("/api/v3/(?P<endpoint>ping|time|exchangeInfo|klines|trades|aggTrades)")
    }

    def begin(self) -> None:
        """Begin with nothing spent."""
        self._weights = Weights(_A_MINUTE, patience=_PATIENCE, ban=_BAN, timer=time.monotonic)
        # where the market has a pair in USDT itself, that one has the name
        self._in_tether = {base for base, quote in map(base_and_quote, self.market.pairs) if quote == "USDT"}

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its symbol, e.g. ``BTCUSDT``; none for USDT/USD."""
        base, quote = base_and_quote(pair)
        if quote == "USD" and (base == "USDT" or base in self._in_tether):
            return ()
        return (base + _quote(quote),)

    def pair_named(self, query: Mapping[str, str]) -> str:
        """Return the symbol of a query."""
        return query.get("symbol", "")

    def goes_on(self, asked: Asked) -> bool:
        """Say whether a request is answered during maintenance."""
        return asked.endpoint in ("time", "ping")

    def refusal(self, why: Why) -> Refusal:
        """Write code and message, and for how long where that is told."""
        status, code, message = _WORDS[why.kind]
        until = self.now() // _MS + why.seconds * 1000
        headers = {"Retry-After": str(why.seconds)} if status in (418, 429) else {}
        return Refusal({"code": code, "msg": (why.text or message).format(until=until, name=why.name)}, status, headers)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Weigh a request."""
        weighed = self._weights.weigh(asked.client, _WEIGHTS[asked.endpoint])
        headers = {"X-MBX-USED-WEIGHT": str(weighed.used), "X-MBX-USED-WEIGHT-1M": str(weighed.used)}
        if weighed.wait:
            kind = "banned" if weighed.is_banned else "rate_limit"
            refusal = self.refusal(Why(kind, seconds=weighed.wait))
            raise Refusal(refusal.answer.content, refusal.answer.status, {**headers, **refusal.answer.headers})
        return headers

    def content(self, asked: Asked) -> Any:
        """Return what is asked for."""
        match asked.endpoint:
            case "ping":
                return {}
            case "time":
                return {"serverTime": self.now() // _MS}
            case "exchangeInfo":
                return self._info(asked)
            case "klines":
                return self._klines(asked)
            case "trades":
                trades = islice(self.trades_before(self._pair(asked), self.now() + 1), self._limit(asked))
                return [trade_of(trade) for trade in reversed(list(trades))]
        return [agg_trade_of(trade) for trade in self._aggregated(asked)]

    def _info(self, asked: Asked) -> dict[str, Any]:
        pairs = self.all_pairs()
        if asked.query.get("symbol"):
            pairs = [self._pair(asked)]
        return {
            "timezone": "UTC",
            "serverTime": self.now() // _MS,
            "rateLimits": list(LIMITS),
            "exchangeFilters": [],
            "symbols": [self._symbol(pair) for pair in pairs if self.is_known(pair)],
        }

    def _symbol(self, pair: Pair) -> dict[str, Any]:
        base, quote = base_and_quote(pair)
        return symbol_of(pair, base, _quote(quote), trades=self.is_listed(pair))

    def _pair(self, asked: Asked) -> Pair:
        if not asked.name:
            raise self.refusal(Why("no_pair"))
        return self.kept(asked)

    def _klines(self, asked: Asked) -> list[Any]:
        pair = self._pair(asked)
        if asked.query.get("interval") != "1m":
            raise self.refusal(Why("interval"))
        limit, forming = self._limit(asked), self.forming()
        start, end = self._whole(asked, "startTime"), self._whole(asked, "endTime")
        last = forming if end is None else min(end // 1000 // MINUTE * MINUTE, forming)
        first = last - (limit - 1) * MINUTE
        if start is not None:
            first = -(-start // (1000 * MINUTE)) * MINUTE
            # rows that are absent (a pair not traded yet, an outage) do not count
            first = max(first, self._first(pair))
            last = min(last, first + (limit - 1) * MINUTE)
        return [kline_of(one) for one in self.candles(asked, pair, first, last)]

    def _first(self, pair: Pair) -> int:
        return max(pair.listed_from, self.market.first)

    def _aggregated(self, asked: Asked) -> Iterable[Trade]:
        pair, limit = self._pair(asked), self._limit(asked)
        start, end = self._whole(asked, "startTime"), self._whole(asked, "endTime")
        since = self._whole(asked, "fromId")
        if since is not None:  # those from an identifier on, as far back as a look goes
            all_of_it = self.trades_before(pair, self.now() + 1)
            return list(reversed(list(takewhile(lambda trade: trade.id >= since, all_of_it))))[:limit]
        if start is None:
            newest = self.trades_before(pair, self.now() + 1 if end is None else (end + 1) * _MS)
            return reversed(list(islice(newest, limit)))
        first = max(start * _MS, self._first(pair) * SECOND, self.now() - _REACH * SECOND)
        stop = self.now() if end is None else (end + 1) * _MS - 1
        return islice(takewhile(lambda trade: trade.time <= stop, self.trades_after(pair, first - 1)), limit)

    def _limit(self, asked: Asked) -> int:
        limit = self._whole(asked, "limit")
        if limit == 0:
            raise self.refusal(Why("illegal", "limit"))
        return min(limit or _DEFAULT_ROWS, _ROWS)

    def _whole(self, asked: Asked, name: str) -> int | None:
        text = asked.query.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise self.refusal(Why("illegal", name))
        return int(text)


def _quote(name: str) -> str:
    return "USDT" if name == "USD" else name
