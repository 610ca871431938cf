"""Kraken's public REST dialect: ``/0/public/…``, errors in an envelope with HTTP 200.

How it writes one thing is in kraken_words.py.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar

from pricetracker_dagster.simulator.dialect import Asked, Dialect, Refusal, Why
from pricetracker_dagster.simulator.kraken_words import facts, row_of, summary, trade_row
from pricetracker_dagster.simulator.market import HOME, MINUTE, SECOND, Pair

_ROWS, _PAGE = 720, 1000
"""Most rows that OHLC answers, the forming one included; most trades on a page."""

_DAY = 86_400

_NANOSECONDS_FROM = 10**12
"""A ``since`` of Trades below that is in seconds, which Kraken takes, too."""

_ODD_PAIRS: Mapping[str, Any] = {
    "NOALTNAME": {"wsname": "NOA/USD", "base": "NOA", "quote": "ZUSD"},
    "NOTHING": None,
    "ALIST": ["ODD/USD", "ODDUSD"],
    "NUMBERS": {"wsname": 17, "altname": 4},
}

_WORDS = {
    "error": "EService:Unavailable",
    "rate_limit": "EAPI:Rate limit exceeded",
    "refused_here": "EGeneral:Permission denied",
    "banned": "EGeneral:Temporary lockout",
    "maintenance": "EService:Market in cancel_only mode",
    "unknown_pair": "EQuery:Unknown asset pair",
    "unknown_path": "EGeneral:Unknown method",
    "wrong": "EGeneral:Invalid arguments",
}


class Kraken(Dialect):
    """Kraken, whose market is the one that is invented or recorded. It has no rate limit here."""

    name: ClassVar[str] = HOME
    prefix: ClassVar[str] = ""
    paths: ClassVar[Mapping[str, re.Pattern[str]]] = {"": re.compile("/0/public/(?P<endpoint>.*)")}

    def names_of(self, pair: Pair) -> Sequence[str]:
        """Return the names that Kraken takes."""
        return pair.key, pair.altname, pair.wsname, pair.wsname.replace("/", "")

    def refusal(self, why: Why) -> Refusal:
        """Write an error into the envelope."""
        status = 451 if why.kind == "refused_here" else 200
        return Refusal({"error": [why.text or _WORDS[why.kind]]}, status)

    def goes_on(self, asked: Asked) -> bool:
        """Say whether a request is answered during maintenance."""
        return asked.endpoint in ("SystemStatus", "Time")

    def content(self, asked: Asked) -> Any:
        """Return the envelope with a result."""
        return {"error": [], "result": self._result(asked)}

    def _result(self, asked: Asked) -> Any:
        unix = self.now() // SECOND
        moment = datetime.fromtimestamp(unix, UTC)
        match asked.endpoint:
            case "Time":
                told = unix * 1000 if self.on("milliseconds", asked) else unix
                # Kraken writes two digits of the year and a blank before a day of one
                return {"unixtime": told, "rfc1123": f"{moment:%a, }{moment.day:2d}{moment: %b %y %H:%M:%S +0000}"}
            case "SystemStatus":
                on = "maintenance" if self.on("maintenance", asked) else "online"
                return {"status": on, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
            case "Assets":
                return self._assets()
            case "AssetPairs":
                odd = _ODD_PAIRS if self.on("odd_pairs", asked) else {}
                return {**odd, **{pair.key: facts(pair) for pair in self._pairs(asked)}}
            case "Ticker":
                return {pair.key: self._ticked(pair) for pair in self._pairs(asked)}
            case "OHLC":
                return self._ohlc(asked)
            case "Trades":
                return self._trades(asked)
        raise self.refuse("unknown_path", asked)

    def _pairs(self, asked: Asked) -> list[Pair]:
        if names := asked.query.get("pair"):
            found = [Asked(asked.endpoint, name, self.names.get(name), {}) for name in names.split(",")]
            return [self.listed(one) for one in found]
        return [pair for pair in self.market.pairs if self.is_listed(pair)]

    def _assets(self) -> dict[str, Any]:
        names = dict(
            side
            for pair in self.market.pairs
            for side in zip((pair.base, pair.quote), pair.wsname.split("/"), strict=True)
        )
        return {
            name: {"aclass": "currency", "altname": short, "decimals": 10, "display_decimals": 5, "status": "enabled"}
            for name, short in names.items()
        }

    def _ohlc(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        if asked.query.get("interval", "1") != "1":
            raise self.refuse("wrong", asked)
        since = self._whole(asked, "since", 0)
        forming = self.forming()
        first = max(forming - (_ROWS - 1) * MINUTE, (since // MINUTE + 1) * MINUTE)
        rows = [row_of(pair, found) for found in self.candles(asked, pair, first, forming)]
        return {pair.key: rows, "last": forming - MINUTE}

    def _trades(self, asked: Asked) -> Any:
        pair = self.listed(asked)
        count = min(self._whole(asked, "count", _PAGE), _PAGE)
        now = self.now()
        since = self._whole(asked, "since", now - 3600 * SECOND) if asked.query.get("since") else now - 3600 * SECOND
        if since < _NANOSECONDS_FROM:
            since *= SECOND
        # `since=0` must not walk through half a century
        page = list(islice(self.trades_after(pair, max(since, now - 400 * _DAY * SECOND)), count))
        return {pair.key: [trade_row(pair, trade) for trade in page], "last": str(page[-1].time if page else since)}

    def _ticked(self, pair: Pair) -> Any:
        """Return Kraken's summary of a pair: today since 00:00 UTC, and the last 24 hours."""
        now = self.forming()
        day = [found for minute in range(now - _DAY, now + MINUTE, MINUTE) if (found := self.candle(pair, minute))]
        today = [found for found in day if found.minute >= now // _DAY * _DAY] or day[-1:]
        return summary(pair, day, today) if day else {}

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return int(asked.query.get(name, default))
        except ValueError:
            raise self.refuse("wrong", asked) from None
