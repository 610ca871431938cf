"""Bitfinex's public REST dialect: ``/v2/…``. Rows of numbers, close before high and low; quiet minutes are absent.

USDT is called UST; a name of more than six letters has a colon.
"""

import re
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote, number
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Pair

_ROWS, _MS = 10_000, 1_000_000
_WORDS = {
    "error": (500, 10001, "Unknown error"),
    "rate_limit": (429, 11010, "ratelimit: error"),
    "banned": (403, 10001, "address banned"),
    "refused_here": (451, 10001, "Unavailable For Legal Reasons"),
    "maintenance": (500, 20060, "maintenance"),
    "unknown_pair": (500, 10020, "symbol: invalid"),
    "frame": (500, 10020, "timeframe: invalid"),
    "number": (500, 10020, "start: invalid"),
}


class Bitfinex(Dialect):
    """Bitfinex."""

    name: ClassVar[str] = "bitfinex"
    prefix: ClassVar[str] = "bitfinex:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "status": re.compile("/v2/platform/status"),
        "candles": re.compile("/v2/candles/trade:1m:t(?P<pair>[^/]+)/hist"),
        "other candles": re.compile("/v2/candles/trade:[^/]+:t(?P<pair>[^/]+)/hist"),
        "trades": re.compile("/v2/trades/t(?P<pair>[^/]+)/hist"),
        # pairs and currencies: the path names the lists
        "conf": re.compile("/v2/conf/(?P<pair>.+)"),
    }

    def begin(self) -> None:
        """Begin with a full allowance for each endpoint."""
        self.buckets = {endpoint: Bucket(0.5, 30, time.monotonic) for endpoint in self.paths}

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its symbol, e.g. ``BTCUST``."""
        base, quote = ("UST" if name == "USDT" else name for name in base_and_quote(pair))
        return (f"{base}:{quote}" if len(base) > 3 or len(quote) > 3 else base + quote,)

    def refusal(self, why: Why) -> Refusal:
        """Write a list of error, code and message."""
        status, code, text = _WORDS[why.kind]
        return Refusal(["error", code, why.text or text], status)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        if not self.buckets[asked.endpoint].grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}

    def goes_on(self, asked: Asked) -> bool:
        """Say whether a request is answered during maintenance."""
        return asked.endpoint == "status"

    def content(self, asked: Asked) -> Any:
        """Return what is asked for."""
        match asked.endpoint:
            case "status":
                return [0 if any(fault.kind == "maintenance" and fault.at(self.name) for fault in self.faults) else 1]
            case "conf":
                return [self._list(label) for label in asked.name.split(",")]
            case "candles":
                return self._candles(asked)
            case "trades":
                return self._trades(asked)
        raise self.refuse("frame", asked)

    def _list(self, label: str) -> list[Any]:
        names = [self.names_of(pair)[0] for pair in self.all_pairs() if self.is_listed(pair)]
        if label == "pub:list:pair:exchange":
            return names
        if label == "pub:info:pair":
            return [[name, [None, None, None, "0.00006", "2000.0", *[None] * 7]] for name in names]
        if label == "pub:list:currency":
            sides = (side for pair in self.all_pairs() for side in base_and_quote(pair))
            return list(dict.fromkeys("UST" if side == "USDT" else side for side in sides))
        return []

    def _candles(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        limit = min(self._whole(asked, "limit", 100), _ROWS)
        oldest_first = asked.query.get("sort") == "1"
        last = min(self._whole(asked, "end", self.now() // _MS) // 1000 // MINUTE * MINUTE, self.forming())
        first = -(-self._whole(asked, "start", (last - 3 * _ROWS * MINUTE) * 1000) // (1000 * MINUTE)) * MINUTE
        if "start" not in asked.query:
            first = last - max(3 * limit, 1440) * MINUTE
        found = [one for one in self.candles(asked, pair, first, last) if one.trades]
        found = found[:limit] if oldest_first else found[::-1][:limit]
        return [
            [one.minute * 1000, *(number(value) for value in (one.open, one.close, one.high, one.low, one.volume))]
            for one in found
        ]

    def _trades(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        limit = min(self._whole(asked, "limit", 125), _ROWS)
        start = self._whole(asked, "start", 0) * _MS
        end = min((self._whole(asked, "end", self.now() // _MS) + 1) * _MS - 1, self.now())
        if asked.query.get("sort") == "1":
            since = max(start, self.now() - 86_400 * SECOND) - 1
            found = [trade for trade in islice(self.trades_after(pair, since), limit) if trade.time <= end]
        else:
            found = [trade for trade in islice(self.trades_before(pair, end + 1), limit) if trade.time >= start]
        return [
            [
                trade.id,
                trade.time // _MS,
                number(trade.volume if trade.side == "b" else -trade.volume),
                number(pair.price(trade.price)),
            ]
            for trade in found
        ]

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return int(asked.query.get(name, default))
        except ValueError:
            raise self.refuse("number", asked) from None
