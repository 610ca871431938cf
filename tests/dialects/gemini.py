"""Gemini's public REST dialect: ``/v1/…``, ``/v2/candles/…``. Candles of the last day only, newest first, no range."""

import re
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote, number
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Pair

_ROWS, _PAGE, _MS = 1440, 500, 1_000_000
_UNKNOWN = (
    "Supplied value '{name}' is not a valid symbol.  "
    "Please correct your API request to use one of the supported symbols: [{symbols}]"
)
_WORDS = {
    "error": (500, "System", "We are experiencing technical issues"),
    "rate_limit": (429, "RateLimit", "Requests were made too frequently"),
    "banned": (403, "Forbidden", "Your address is blocked"),
    "refused_here": (451, "Forbidden", "Unavailable For Legal Reasons"),
    "maintenance": (
        503,
        "Maintenance",
        "The Gemini Exchange is currently undergoing maintenance. Please check https://status.gemini.com/",
    ),
    "unknown_pair": (
        400,
        "Bad Request",
        _UNKNOWN,
    ),
    "frame": (400, "Bad Request", "Invalid value for time_frame"),
    "number": (400, "Bad Request", "Invalid number"),
}


class Gemini(Dialect):
    """Gemini."""

    name: ClassVar[str] = "gemini"
    prefix: ClassVar[str] = "gemini:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "symbols": re.compile("/v1/symbols"),
        "details": re.compile("/v1/symbols/details/(?P<pair>[^/]+)"),
        "candles": re.compile("/v2/candles/(?P<pair>[^/:]+)/1m"),
        "other candles": re.compile("/v2/candles/(?P<pair>[^/:]+)/[^/]+"),
        "trades": re.compile("/v1/trades/(?P<pair>[^/]+)"),
    }

    def begin(self) -> None:
        """Begin with a full allowance."""
        self.bucket = Bucket(2, 120, time.monotonic)

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its symbol, e.g. ``btcusd``, in lower case or not."""
        name = "".join(base_and_quote(pair))
        return name.lower(), name

    def refusal(self, why: Why) -> Refusal:
        """Write result, reason and message."""
        status, reason, text = _WORDS[why.kind]
        message = (why.text or text).format(name=why.name, symbols=", ".join(self._symbols()))
        return Refusal({"message": message, "reason": reason, "result": "error"}, status)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        if not self.bucket.grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}

    def content(self, asked: Asked) -> Any:
        """Return what is asked for."""
        match asked.endpoint:
            case "symbols":
                return self._symbols()
            case "details":
                return self._details(self.kept(asked))
            case "candles":
                return self._candles(asked)
            case "trades":
                return self._trades(asked)
        raise self.refuse("frame", asked)

    def _symbols(self) -> list[str]:
        return [self.names_of(pair)[0] for pair in self.all_pairs() if self.is_listed(pair)]

    def _details(self, pair: Pair) -> dict[str, Any]:
        base, quote = base_and_quote(pair)
        return {
            "base_currency": base,
            "contract_price_currency": quote,
            "contract_type": "vanilla",
            "min_order_size": "0.00001",
            "product_type": "spot",
            "quote_currency": quote,
            "quote_increment": 10.0**-pair.decimals,
            "status": "open" if self.is_listed(pair) else "closed",
            "symbol": base + quote,
            "tick_size": 1e-08,
            "wrap_enabled": False,
        }

    def _candles(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        newest = self.forming()
        return [
            [one.minute * 1000, *(number(value) for value in (one.open, one.high, one.low, one.close, one.volume))]
            for one in reversed(self.candles(asked, pair, newest - (_ROWS - 1) * MINUTE, newest))
        ]

    def _trades(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        limit = min(self._whole(asked, "limit_trades", 50), _PAGE)
        if "timestamp" in asked.query:
            since = self._whole(asked, "timestamp", 0)
            since *= _MS if since > 10**11 else SECOND
            found = list(islice(self.trades_after(pair, max(since, self.now() - 7 * 86_400 * SECOND)), limit))[::-1]
        else:
            found = list(islice(self.trades_before(pair, self.now() + 1), limit))
        return [
            {
                "amount": f"{trade.volume.normalize():f}",
                "exchange": "gemini",
                "price": str(pair.price(trade.price)),
                "tid": trade.id,
                "timestamp": trade.time // SECOND,
                "timestampms": trade.time // _MS,
                "type": "buy" if trade.side == "b" else "sell",
            }
            for trade in found
        ]

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return int(asked.query.get(name, default))
        except ValueError:
            raise self.refuse("number", asked) from None
