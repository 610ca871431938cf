"""What the simulated exchange answers: Kraken's public endpoints, spoiled by the faults that are switched on.

How it is sent, and the faults of sending, are in server.py.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pricetracker_dagster.simulator.dialect import facts, row_of, summary, trade_row, volume_text
from pricetracker_dagster.simulator.faults import Faults
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Candle, Market, Pair, Trade, candle

_ROWS, _PAGE = 720, 1000
"""Most rows that OHLC answers, the forming one included; most trades on a page."""

_DAY = 86_400

_ODD_PAIRS: Mapping[str, Any] = {
    "NOALTNAME": {"wsname": "NOA/USD", "base": "NOA", "quote": "ZUSD"},
    "NOTHING": None,
    "ALIST": ["ODD/USD", "ODDUSD"],
    "NUMBERS": {"wsname": 17, "altname": 4},
}


class EnvelopeError(Exception):
    """An error that goes into the envelope."""


class Answers:
    """The answers of a simulated exchange, whose clock returns its time, UTC."""

    def __init__(self, market: Market, clock: Callable[[], datetime]) -> None:
        """Begin without faults."""
        self.market = market
        self.clock = clock
        self.faults = Faults()
        self._turn = itertools.count()
        self._names = {
            name: pair
            for pair in self.market.pairs
            for name in (pair.key, pair.altname, pair.wsname, pair.wsname.replace("/", ""))
        }

    def now(self) -> int:
        """Return the exchange's time in Unix nanoseconds, with the skew that is switched on."""
        skew = next((fault.seconds for fault in self.faults if fault.kind == "clock_skew"), 0)
        return int((self.clock().timestamp() + skew) * SECOND)

    def answer(self, endpoint: str, query: Mapping[str, str]) -> Any:
        """Return the result of one request.

        Raises:
            EnvelopeError: the envelope's error.
        """
        unix = self.now() // SECOND
        moment = datetime.fromtimestamp(unix, UTC)
        match endpoint:
            case "Time":
                told = unix * 1000 if self.faults.on("milliseconds") else unix
                # Kraken writes two digits of the year and a blank before a day of one
                return {"unixtime": told, "rfc1123": f"{moment:%a, }{moment.day:2d}{moment: %b %y %H:%M:%S +0000}"}
            case "SystemStatus":
                on = "maintenance" if self.faults.on("maintenance") else "online"
                return {"status": on, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
            case "AssetPairs":
                odd = _ODD_PAIRS if self.faults.on("odd_pairs") else {}
                return {**odd, **{pair.key: facts(pair) for pair in self._asked(query)}}
            case "Ticker":
                return {pair.key: self._ticked(pair) for pair in self._asked(query)}
            case "OHLC":
                return self._ohlc(query)
            case "Trades":
                return self._trades(query)
        raise EnvelopeError("EGeneral:Unknown method")

    def pair(self, query: Mapping[str, str]) -> Pair | None:
        """Return the pair that a request names, if it is listed."""
        return self._names.get(query.get("pair", ""))

    def _asked(self, query: Mapping[str, str]) -> list[Pair]:
        if query.get("pair"):
            return [self._listed(name) for name in query["pair"].split(",")]
        return [pair for pair in self.market.pairs if not self.faults.of("delisted", pair.altname)]

    def _ohlc(self, query: Mapping[str, str]) -> Any:
        pair = self._listed(query.get("pair", ""))
        if query.get("interval", "1") != "1":
            raise EnvelopeError("EGeneral:Invalid arguments")
        since = _whole(query.get("since", "0"))
        forming = self.now() // SECOND // MINUTE * MINUTE
        first = max(forming - (_ROWS - 1) * MINUTE, (since // MINUTE + 1) * MINUTE)
        rows = []
        lags = self.faults.on("lagging", pair=pair.altname) if next(self._turn) % 2 else None
        behind = forming - (lags.minutes if lags else 0) * MINUTE
        for minute in range(first, forming + MINUTE, MINUTE):
            found = self._candle(pair, minute, half=behind <= minute < forming)
            if found is not None and not self.faults.of("hole", pair.altname, minute):
                rows.append(row_of(pair, found))
        self._spoil(pair, rows, forming)
        return {pair.key: rows, "last": forming - MINUTE}

    def _trades(self, query: Mapping[str, str]) -> Any:
        pair = self._listed(query.get("pair", ""))
        count = min(_whole(query.get("count", str(_PAGE))), _PAGE)
        now = self.now()
        since = _whole(query["since"]) if query.get("since") else now - 3600 * SECOND
        page: list[Trade] = []
        # `since=0` must not walk through half a century
        minute = max(since // SECOND, now // SECOND - 400 * _DAY) // MINUTE * MINUTE
        while len(page) < count and minute * SECOND <= now:
            page += [trade for trade in self._of_minute(pair, minute) if since < trade.time <= now]
            minute += MINUTE
        page = page[:count]
        return {pair.key: [trade_row(pair, trade) for trade in page], "last": str(page[-1].time if page else since)}

    def _of_minute(self, pair: Pair, minute: int) -> Sequence[Trade]:
        """Return a minute's trades, with the bursts that are switched on."""
        trades = self.market.trades(pair, minute)
        for burst in self.faults.of("burst", pair.altname, minute)[-1:]:
            trades = [trade._replace(volume=trade.volume * burst.factor) for trade in trades]
        return trades

    def _candle(self, pair: Pair, minute: int, *, half: bool = False) -> Candle | None:
        now = self.now()
        trades = self._of_minute(pair, minute)
        if half:
            trades = trades[: len(trades) // 2]
        trades = [trade for trade in trades if trade.time <= now]  # it may still be forming
        before = None if trades else self.market.close_before(pair, minute)
        return candle(pair, minute, trades, before)

    def _spoil(self, pair: Pair, rows: list[list[Any]], forming: int) -> None:
        """Change rows as the faults for their content say."""
        concerned = {"pair": pair.altname, "endpoint": "OHLC"}
        closed = [row for row in rows if row[0] < forming]
        if fault := self.faults.on("correction", **concerned):
            for row in closed[-fault.minutes :]:
                # the later value is the true one: half the volume is still unaccounted for
                row[6] = volume_text(Decimal(row[6]) / 2)
                row[4] = row[1]
        if closed and self.faults.on("insane", **concerned):
            closed[-1][2], closed[-1][6] = "NaN", "-1.00000000"
        if closed and self.faults.on("odd_row", **concerned):
            closed[-1][7] = 10**20

    def _ticked(self, pair: Pair) -> Any:
        """Return Kraken's summary of a pair: today since 00:00 UTC, and the last 24 hours."""
        now = self.now() // SECOND // MINUTE * MINUTE
        day = [found for minute in range(now - _DAY, now + MINUTE, MINUTE) if (found := self._candle(pair, minute))]
        today = [found for found in day if found.minute >= now // _DAY * _DAY] or day[-1:]
        return summary(pair, day, today) if day else {}

    def _listed(self, name: str) -> Pair:
        pair = self._names.get(name)
        if pair is None or self.faults.of("delisted", pair.altname):
            raise EnvelopeError("EQuery:Unknown asset pair")
        return pair


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise EnvelopeError("EGeneral:Invalid arguments") from None
