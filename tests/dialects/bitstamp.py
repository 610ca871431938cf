"""Bitstamp's public REST dialect: ``/api/v2/…``. Objects of text, oldest first; quiet minutes are flat rows."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Pair

_ROWS = 1000
_WORDS = {
    "error": (500, "Internal server error"),
    "banned": (403, "Your IP address is banned"),
    "refused_here": (451, "Unavailable For Legal Reasons"),
    "maintenance": (503, "Bitstamp.net is under scheduled maintenance. We'll be back soon."),
    "unknown_pair": (404, "Invalid currency pair"),
    "step": (400, "Invalid step"),
    "limit": (400, "Ensure this value is between 1 and 1000."),
    "number": (400, "Enter a whole number."),
}


class Bitstamp(Dialect):
    """Bitstamp."""

    name: ClassVar[str] = "bitstamp"
    prefix: ClassVar[str] = "bitstamp:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "markets": re.compile("/api/v2/markets/?"),
        "trading-pairs-info": re.compile("/api/v2/trading-pairs-info/?"),
        "ohlc": re.compile("/api/v2/ohlc/(?P<pair>[^/]+)/?"),
        "transactions": re.compile("/api/v2/transactions/(?P<pair>[^/]+)/?"),
    }

    def begin(self) -> None:
        """Begin with a full allowance."""
        self.bucket = Bucket(8000 / 600, 8000, time.monotonic)

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its symbol, e.g. ``btcusd``."""
        return ("".join(base_and_quote(pair)).lower(),)

    def refusal(self, why: Why) -> Refusal:
        """Write an error; who asks too often gets a page."""
        if why.kind == "rate_limit":
            return Refusal("<html><body><h1>429 Too Many Requests</h1></body></html>", 429)
        status, text = _WORDS[why.kind]
        return Refusal({"error": why.text or text}, status)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        if not self.bucket.grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}

    def content(self, asked: Asked) -> Any:
        """Return what is asked for."""
        match asked.endpoint:
            case "markets":
                return [_market(pair) for pair in self.all_pairs() if self.is_listed(pair)]
            case "trading-pairs-info":
                return [_info(pair) for pair in self.all_pairs() if self.is_listed(pair)]
            case "ohlc":
                return self._ohlc(asked)
        return self._transactions(asked)

    def _ohlc(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        if asked.query.get("step") != "60":
            raise self.refuse("step", asked)
        limit = self._whole(asked, "limit", 0)
        if not 1 <= limit <= _ROWS:
            raise self.refuse("limit", asked)
        last = min(self._whole(asked, "end", self.forming()) // MINUTE * MINUTE, self.forming())
        first = last - (limit - 1) * MINUTE
        if "start" in asked.query:
            start = -(-self._whole(asked, "start", 0) // MINUTE) * MINUTE
            if "end" not in asked.query:
                last = min(start + (limit - 1) * MINUTE, last)
            first = max(start, last - (limit - 1) * MINUTE)  # a wider range gives the newest
        if asked.query.get("exclude_current_candle") == "true":
            last = min(last, self.forming() - MINUTE)
        rows = [
            {
                "close": str(pair.price(one.close)),
                "high": str(pair.price(one.high)),
                "low": str(pair.price(one.low)),
                "open": str(pair.price(one.open)),
                "timestamp": str(one.minute),
                "volume": f"{one.volume:.8f}",
            }
            for one in self.candles(asked, pair, first, last)
        ]
        return {"data": {"ohlc": rows, "pair": "/".join(base_and_quote(pair))}}

    def _transactions(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        seconds = {"minute": 60, "hour": 3600, "day": 86_400}.get(asked.query.get("time", "hour"), 3600)
        oldest = self.now() - seconds * SECOND
        return [
            {
                "amount": f"{trade.volume:.8f}",
                "date": str(trade.time // SECOND),
                "price": str(pair.price(trade.price)),
                "tid": str(trade.id),
                "type": "0" if trade.side == "b" else "1",
            }
            for trade in reversed(list(self.trades_after(pair, oldest)))
        ]

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return int(asked.query.get(name, default))
        except ValueError:
            raise self.refuse("number", asked) from None


def _info(pair: Pair) -> dict[str, Any]:
    base, quote = base_and_quote(pair)
    return {
        "base_decimals": 8,
        "counter_decimals": pair.decimals,
        "description": f"{base} / {quote}",
        "minimum_order": f"10.0 {quote}",
        "name": f"{base}/{quote}",
        "trading": "Enabled",
        "url_symbol": (base + quote).lower(),
    }


def _market(pair: Pair) -> dict[str, Any]:
    base, quote = base_and_quote(pair)
    return {
        "name": f"{base}/{quote}",
        "market_symbol": (base + quote).lower(),
        "base_currency": base,
        "base_decimals": 8,
        "counter_currency": quote,
        "counter_decimals": pair.decimals,
        "minimum_order_value": "10.00",
        "trading": "Enabled",
        "instant_and_market_orders": "Enabled",
        "description": f"{base} / {quote}",
        "market_type": "SPOT",
    }
