"""Coinbase Exchange's public REST dialect: ``/products…``, ``/currencies``, ``/time``; errors by status and message.

Its candles come newest first as numbers, and leave out minutes without trades.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why, base_and_quote, number
from pricetracker_dagster.simulator.limits import Bucket
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Pair, Trade

_ROWS, _PAGE = 300, 1000

_A_SECOND, _BURST = 10, 15
"""https://docs.cdp.coinbase.com/exchange/rest-api/rate-limits: public endpoints, an address."""

_WORDS = {
    "error": (500, "Internal server error"),
    "rate_limit": (429, "Public rate limit exceeded"),
    "banned": (403, "Forbidden"),
    "refused_here": (451, "Unavailable For Legal Reasons"),
    # ccxt reads these words only in an answer of 400 or 404
    "maintenance": (400, "Coinbase Exchange is currently under maintenance"),
    "unknown_pair": (404, "NotFound"),
    "granularity": (400, "Unsupported granularity"),
    "time": (400, "Invalid start or end"),
    "rows": (400, "granularity too small for the requested time range. Count of aggregations requested exceeds 300"),
    "limit": (400, "Invalid limit"),
    "cursor": (400, "Invalid cursor"),
}


class Coinbase(Dialect):
    """Coinbase Exchange."""

    name: ClassVar[str] = "coinbase"
    prefix: ClassVar[str] = "coinbase:"
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "time": re.compile("/time"),
        "currencies": re.compile("/currencies"),
        "products": re.compile("/products"),
        "product": re.compile("/products/(?P<pair>[^/]+)"),
        "candles": re.compile("/products/(?P<pair>[^/]+)/candles"),
        "trades": re.compile("/products/(?P<pair>[^/]+)/trades"),
    }

    def begin(self) -> None:
        """Begin with a full allowance."""
        self._bucket = Bucket(_A_SECOND, _BURST, time.monotonic)

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return its id, e.g. ``BTC-USD``."""
        return ("-".join(base_and_quote(pair)),)

    def refusal(self, why: Why) -> Refusal:
        """Write a message."""
        status, message = _WORDS[why.kind]
        return Refusal({"message": why.text or message}, status)

    def grant(self, asked: Asked) -> Mapping[str, str]:
        """Count a request."""
        if not self._bucket.grant(asked.client):
            raise self.refuse("rate_limit", asked)
        return {}

    def content(self, asked: Asked) -> Any:
        """Return what is asked for."""
        match asked.endpoint:
            case "time":
                milliseconds = self.now() // 1_000_000
                return {"iso": _iso(milliseconds * 1_000_000), "epoch": milliseconds / 1000}
            case "currencies":
                names = dict.fromkeys(name for pair in self.all_pairs() for name in base_and_quote(pair))
                return [_currency(name) for name in names]
            case "products":
                return [self._product(pair) for pair in self.all_pairs() if self._is_known(pair)]
            case "product":
                return self._product(self.kept(asked))
            case "candles":
                return self._candles(asked)
        return self._trades(asked)

    def _is_known(self, pair: Pair) -> bool:
        return self.now() // SECOND >= pair.listed_from

    def _product(self, pair: Pair) -> dict[str, Any]:
        base, quote = base_and_quote(pair)
        listed = self.is_listed(pair)
        return {
            "id": f"{base}-{quote}",
            "base_currency": base,
            "quote_currency": quote,
            "quote_increment": f"{10.0**-pair.decimals:.{pair.decimals}f}",
            "base_increment": "0.00000001",
            "display_name": f"{base}-{quote}",
            "min_market_funds": "1",
            "margin_enabled": False,
            "post_only": False,
            "limit_only": False,
            "cancel_only": False,
            "status": "online" if listed else "delisted",
            "status_message": "",
            "trading_disabled": not listed,
            "fx_stablecoin": False,
            "max_slippage_percentage": "0.03000000",
            "auction_mode": False,
            "high_bid_limit_percentage": "",
        }

    def _candles(self, asked: Asked) -> Any:
        pair = self.kept(asked)
        if asked.query.get("granularity", "60") != "60":
            raise self.refuse("granularity", asked)
        newest = self.forming()
        first, last = newest - (_ROWS - 1) * MINUTE, newest
        if asked.query.get("start") and asked.query.get("end"):  # one of them alone is ignored
            start, end = self._moment(asked, "start"), self._moment(asked, "end")
            first, last = ceil(start / MINUTE) * MINUTE, int(end // MINUTE) * MINUTE
            if (last - first) // MINUTE + 1 > _ROWS:
                raise self.refuse("rows", asked)
            if (last - first) // MINUTE + 1 < _ROWS:
                first -= MINUTE  # rows may begin before what was asked for, its documentation says
        found = self.candles(asked, pair, first, last)
        return [
            [one.minute, *(number(value) for value in (one.low, one.high, one.open, one.close, one.volume))]
            for one in reversed(found)
            if one.trades
        ]

    def _moment(self, asked: Asked, name: str) -> float:
        """Return a moment of a query in Unix seconds: ISO 8601, or seconds."""
        text = asked.query[name]
        try:
            if text.isdigit():
                return int(text)
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.refuse("time", asked) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _trades(self, asked: Asked) -> Any:
        pair = self.kept(asked)
        limit, older = self._whole(asked, "limit", "limit"), self._whole(asked, "after", "cursor")
        newer = self._whole(asked, "before", "cursor")
        trades = self.trades_before(pair, self.now() + 1)
        if older is not None:
            trades = (trade for trade in trades if trade.id < older)
        page = []
        for trade in islice(trades, min(limit or _PAGE, _PAGE)):
            if newer is not None and trade.id <= newer:
                break
            page.append(_trade(pair, trade))
        return page

    def _whole(self, asked: Asked, name: str, refusal: str) -> int | None:
        text = asked.query.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise self.refuse(refusal, asked)
        return None if text is None else int(text)


def _trade(pair: Pair, trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.id,
        # the side of the order that was waiting
        "side": "sell" if trade.side == "b" else "buy",
        "size": f"{trade.volume:.8f}",
        "price": f"{pair.price(trade.price):.8f}",
        "time": _iso(trade.time, "microseconds"),
    }


def _iso(nanoseconds: int, digits: str = "milliseconds") -> str:
    moment = datetime.fromtimestamp(nanoseconds // SECOND, UTC).replace(microsecond=nanoseconds % SECOND // 1000)
    return moment.isoformat(timespec=digits).replace("+00:00", "Z")


def _currency(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "min_size": "0.00000001",
        "status": "online",
        "message": "",
        "max_precision": "0.00000001",
        "convertible_to": [],
        "details": {"type": "fiat" if name in ("USD", "EUR", "GBP") else "crypto", "symbol": None},
        "default_network": "",
        "supported_networks": [],
    }
