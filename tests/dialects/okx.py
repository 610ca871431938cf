"""OKX's public REST dialect: ``/api/v5/…``. Errors come with HTTP 200; rows of text, newest first, ``confirm`` last.

``before`` and ``after`` exclude their own minute; ``after`` means older than.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import MINUTE, Candle, Pair, Trade

_ROWS, _DEFAULT_ROWS, _REACH, _MS = 300, 100, 1440, 1_000_000
"""Rows of an answer and without a limit; minutes that ``candles`` reaches back, of which older ones are history."""

_WORDS = {
    "error": ("50026", "System error. Try again later."),
    "rate_limit": ("50011", "Too Many Requests"),
    "banned": ("50061", "Your address is blocked"),
    "refused_here": ("50125", "This endpoint is not available in your region"),
    "maintenance": ("50001", "Service temporarily unavailable. Try again later"),
    "unknown_pair": ("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    "parameter": ("51000", "Parameter error"),
}
_STATUS = {"banned": 403, "refused_here": 451}


class Okx(Dialect):
    """OKX."""

    name: ClassVar[str] = "okx"
    prefix: ClassVar[str] = "okx:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "": re.compile("/api/v5/public/(?P<endpoint>time|instruments)"),
        "market": re.compile("/api/v5/market/(?P<endpoint>candles|history-candles|trades|history-trades)"),
    }

    def begin(self) -> None:
        """Begin with a full allowance for each endpoint."""
        granted = {"time": 10, "instruments": 20, "candles": 40, "history-candles": 20, "trades": 100}
        self.buckets = {name: Bucket(in_two / 2, in_two, time.monotonic) for name, in_two in granted.items()}

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its instrument, e.g. ``BTC-USD``."""
        return ("-".join(base_and_quote(pair)),)

    def pair_named(self, query: Mapping[str, str]) -> str:
        """Return the instrument of a query."""
        return query.get("instId", "")

    def refusal(self, why: Why) -> Refusal:
        """Write code and message into the envelope."""
        code, text = _WORDS[why.kind]
        return Refusal({"code": code, "data": [], "msg": why.text or text}, _STATUS.get(why.kind, 200))

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        bucket = self.buckets.get(asked.endpoint, self.buckets["trades"])
        if not bucket.grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}

    def content(self, asked: Asked) -> Any:
        """Return the envelope with data."""
        return {"code": "0", "msg": "", "data": list(self._data(asked))}

    def _data(self, asked: Asked) -> Iterable[Any]:
        match asked.endpoint:
            case "time":
                return [{"ts": str(self.now() // _MS)}]
            case "instruments":
                spot = asked.query.get("instType") == "SPOT"
                return [_instrument(pair) for pair in self.all_pairs() if spot and self.is_listed(pair)]
            case "candles" | "history-candles":
                return self._candles(asked)
        return self._trades(asked)

    def _candles(self, asked: Asked) -> Iterable[Any]:
        pair = self.listed(asked)
        if asked.query.get("bar", "1m") != "1m":
            raise self.refuse("parameter", asked)
        limit = min(self._whole(asked, "limit") or _DEFAULT_ROWS, _ROWS)
        older, newer = self._whole(asked, "after"), self._whole(asked, "before")
        forming = self.forming()
        recent = asked.endpoint == "candles"
        last = forming if recent else forming - MINUTE
        if older is not None:
            last = min(last, -(-older // (1000 * MINUTE)) * MINUTE - MINUTE)
        first = last - (limit - 1) * MINUTE
        if newer is not None:
            first = max(first, newer // (1000 * MINUTE) * MINUTE + MINUTE)
        if recent:
            first = max(first, forming - (_REACH - 1) * MINUTE)
        return [self._row(one) for one in reversed(self.candles(asked, pair, first, last))]

    def _row(self, one: Candle) -> list[str]:
        values = (one.open, one.high, one.low, one.close, one.volume, one.turnover, one.turnover)
        confirmed = "0" if one.minute == self.forming() else "1"
        return [str(one.minute * 1000), *(_text(value) for value in values), confirmed]

    def _trades(self, asked: Asked) -> Iterable[Any]:
        pair = self.listed(asked)
        most = 500 if asked.endpoint == "trades" else 100
        limit, older = min(self._whole(asked, "limit") or 100, most), self._whole(asked, "after")
        trades = self.trades_before(pair, self.now() + 1)
        if older is not None and asked.endpoint == "history-trades":
            trades = (trade for trade in trades if trade.id < older)
        return [self._trade(pair, trade) for trade in islice(trades, limit)]

    def _trade(self, pair: Pair, trade: Trade) -> dict[str, str]:
        return {
            "instId": self.names_of(pair)[0],
            "side": "buy" if trade.side == "b" else "sell",
            "sz": _text(trade.volume),
            "px": _text(trade.price),
            "source": "0",
            "tradeId": str(trade.id),
            "ts": str(trade.time // _MS),
        }

    def _whole(self, asked: Asked, name: str) -> int | None:
        text = asked.query.get(name)
        if text is not None and not (text.isascii() and text.isdigit()):
            raise self.refuse("parameter", asked)
        return None if text is None else int(text)


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}" if value.is_finite() else str(value)


def _instrument(pair: Pair) -> dict[str, Any]:
    base, quote = base_and_quote(pair)
    return {
        "alias": "",
        "baseCcy": base,
        "category": "1",
        "ctMult": "",
        "ctType": "",
        "ctVal": "",
        "ctValCcy": "",
        "expTime": "",
        "instFamily": "",
        "instId": f"{base}-{quote}",
        "instType": "SPOT",
        "lever": "",
        "listTime": "1548133413000",
        "lotSz": "0.00000001",
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "minSz": "0.00001",
        "optType": "",
        "quoteCcy": quote,
        "ruleType": "normal",
        "settleCcy": "",
        "state": "live",
        "stk": "",
        "tickSz": f"{Decimal(1).scaleb(-pair.decimals):f}",
        "uly": "",
    }
