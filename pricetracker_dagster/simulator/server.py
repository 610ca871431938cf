"""The simulated exchange on HTTP: Kraken's public REST dialect, and a few doors of its own to switch faults.

``/0/public/…`` is what Kraken has: Time, SystemStatus, AssetPairs, Ticker, OHLC, Trades. ``/faults`` and ``/requests``
are ours.
"""

import itertools
import json
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.simulator.faults import KINDS, Fault, FaultError, Faults
from pricetracker_dagster.simulator.market import MINUTE, SECOND, Candle, Market, Pair, SyntheticMarket, Trade, candle
from pricetracker_dagster.simulator.replay import ReplayMarket

ROWS = 720
"""Most rows that OHLC answers, the forming one included."""

PAGE = 1000
"""Most trades on a page."""

_DAY = 86_400
_HANG = 120.0

_HUGE = 100_000_000

_ODD_PAIRS: Mapping[str, Any] = {
    "NOALTNAME": {"wsname": "NOA/USD", "base": "NOA", "quote": "ZUSD"},
    "NOTHING": None,
    "ALIST": ["ODD/USD", "ODDUSD"],
    "NUMBERS": {"wsname": 17, "altname": 4},
}

_FEES = [[0, 0.26], [50000, 0.24], [100000, 0.22]]


class PortBusy(PricetrackerError, OSError):
    """The port is taken."""


class _Answer(Exception):
    """An error that goes into the envelope."""


class Simulator:
    """A simulated exchange that runs in threads of this process while its context is open.

    Args:
        port: where it listens; 0 takes a free one.
        host: on which address.
        market: what is traded; invented prices by default.
        clock: returns the exchange's time, UTC. A test may tell a whole day in no time.

    Attributes:
        url: root of its REST interface.
        faults: what is to go wrong.
        requests: how often each endpoint was asked.
        recent: the last 1,000 requests: endpoint and query.

    Raises:
        PortBusy: the port is taken; the message says which and the way out.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        market: Market | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Bind the port; answer nothing yet."""
        self.market = market or SyntheticMarket()
        self.clock = clock
        self.faults = Faults()
        self.requests: Counter[str] = Counter()
        self.recent: deque[dict[str, Any]] = deque(maxlen=1000)
        self.stopping = threading.Event()
        self._turn = itertools.count()
        self._names = {
            name: pair
            for pair in self.market.pairs
            for name in (pair.key, pair.altname, pair.wsname, pair.wsname.replace("/", ""))
        }
        simulator = self

        class Handler(_Handler):
            exchange = simulator

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise PortBusy(f"port {port} on {host} is taken: choose another with --port") from error
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; requests that hang are let go."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def now(self) -> int:
        """Return the exchange's time in Unix nanoseconds, with the skew that is switched on."""
        skew = next((fault.seconds for fault in self.faults if fault.kind == "clock_skew"), 0)
        return int((self.clock().timestamp() + skew) * SECOND)

    def answer(self, endpoint: str, query: Mapping[str, str]) -> Any:
        """Return the result of one request.

        Raises:
            _Answer: the envelope's error.
        """
        verbs: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "OHLC": self._ohlc,
            "Trades": self._trades,
        }
        if endpoint not in verbs:
            raise _Answer("EGeneral:Unknown method")
        return verbs[endpoint](query)

    def pair(self, query: Mapping[str, str]) -> Pair | None:
        """Return the pair that a request names, if it is listed."""
        return self._names.get(query.get("pair", ""))

    def _time(self, _: Mapping[str, str]) -> Any:
        unix = self.now() // SECOND
        # Kraken writes two digits of the year and a blank before a day of one
        moment = datetime.fromtimestamp(unix, UTC)
        told = unix * 1000 if self.faults.on("milliseconds") else unix
        return {"unixtime": told, "rfc1123": f"{moment:%a, }{moment.day:2d}{moment: %b %y %H:%M:%S +0000}"}

    def _status(self, _: Mapping[str, str]) -> Any:
        on = "maintenance" if self.faults.on("maintenance") else "online"
        return {"status": on, "timestamp": f"{datetime.fromtimestamp(self.now() // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"}

    def _asset_pairs(self, query: Mapping[str, str]) -> Any:
        asked = [self._listed(name) for name in query["pair"].split(",")] if query.get("pair") else self.market.pairs
        odd = _ODD_PAIRS if self.faults.on("odd_pairs") else {}
        return {**odd, **{pair.key: _facts(pair) for pair in asked if not self._is_delisted(pair)}}

    def _ticker(self, query: Mapping[str, str]) -> Any:
        asked = [self._listed(name) for name in query["pair"].split(",")] if query.get("pair") else self.market.pairs
        return {pair.key: self._ticked(pair) for pair in asked if not self._is_delisted(pair)}

    def _ohlc(self, query: Mapping[str, str]) -> Any:
        pair = self._listed(query.get("pair", ""))
        if query.get("interval", "1") != "1":
            raise _Answer("EGeneral:Invalid arguments")
        since = _whole(query.get("since", "0"))
        forming = self.now() // SECOND // MINUTE * MINUTE
        first = max(forming - (ROWS - 1) * MINUTE, (since // MINUTE + 1) * MINUTE)
        rows = []
        lags = self.faults.on("lagging", pair=pair.altname) if next(self._turn) % 2 else None
        behind = forming - (lags.minutes if lags else 0) * MINUTE
        for minute in range(first, forming + MINUTE, MINUTE):
            found = self._candle(pair, minute, half=behind <= minute < forming)
            if found is not None and not self._in_hole(pair, minute):
                rows.append(_row(pair, found))
        self._spoil(pair, rows, forming)
        return {pair.key: rows, "last": forming - MINUTE}

    def _trades(self, query: Mapping[str, str]) -> Any:
        pair = self._listed(query.get("pair", ""))
        count = min(_whole(query.get("count", str(PAGE))), PAGE)
        now = self.now()
        since = _whole(query["since"]) if query.get("since") else now - 3600 * SECOND
        page: list[Trade] = []
        minute = since // SECOND // MINUTE * MINUTE
        minute = max(minute, self._beginning(minute))
        while len(page) < count and minute * SECOND <= now:
            page += [trade for trade in self._of_minute(pair, minute) if since < trade.time <= now]
            minute += MINUTE
        page = page[:count]
        last = page[-1].time if page else since
        return {pair.key: [_written(pair, trade) for trade in page], "last": str(last)}

    def _beginning(self, minute: int) -> int:
        """Return from where on trades are looked for: ``since=0`` must not walk through half a century."""
        return max(minute, self.now() // SECOND - 400 * _DAY) // MINUTE * MINUTE

    def _of_minute(self, pair: Pair, minute: int) -> list[Trade]:
        """Return a minute's trades, with the bursts that are switched on."""
        factor = 1
        for fault in self.faults:
            if fault.kind == "burst" and fault.pair in (None, pair.altname) and fault.covers(minute):
                factor = fault.factor
        trades = self.market.trades(pair, minute)
        return [trade._replace(volume=trade.volume * factor) for trade in trades] if factor != 1 else list(trades)

    def _candle(self, pair: Pair, minute: int, *, half: bool = False) -> Candle | None:
        now = self.now()
        trades = self._of_minute(pair, minute)
        if half:
            trades = trades[: len(trades) // 2]
        if (minute + MINUTE) * SECOND > now:  # still forming
            trades = [trade for trade in trades if trade.time <= now]
        before = None if trades else self.market.close_before(pair, minute)
        return candle(pair, minute, trades, before)

    def _in_hole(self, pair: Pair, minute: int) -> bool:
        return any(
            fault.kind == "hole" and fault.pair in (None, pair.altname) and fault.covers(minute)
            for fault in self.faults
        )

    def _spoil(self, pair: Pair, rows: list[list[Any]], forming: int) -> None:
        """Change rows as the faults for their content say."""
        for fault in self.faults:
            if fault.pair not in (None, pair.altname):
                continue
            closed = [row for row in rows if row[0] < forming]
            if fault.kind == "correction":
                for row in closed[-fault.minutes :]:
                    # the later value is the true one: half the volume is still unaccounted for
                    row[6] = _volume(Decimal(row[6]) / 2)
                    row[4] = row[1]
                self.faults.on("correction", pair=pair.altname)
            if fault.kind == "insane" and closed:
                closed[-1][2] = "NaN"
                closed[-1][6] = "-1.00000000"
                self.faults.on("insane", pair=pair.altname)
            if fault.kind == "odd_row" and closed:
                closed[-1][7] = 10**20
                self.faults.on("odd_row", pair=pair.altname)

    def _ticked(self, pair: Pair) -> Any:
        """Return Kraken's summary of a pair: today since 00:00 UTC, and the last 24 hours."""
        now = self.now() // SECOND // MINUTE * MINUTE
        day = [found for minute in range(now - _DAY, now + MINUTE, MINUTE) if (found := self._candle(pair, minute))]
        today = [found for found in day if found.minute >= now // _DAY * _DAY] or day[-1:]
        if not day:
            return {}
        last = day[-1]
        price = str(last.close)

        def both(value: Callable[[list[Candle]], Any]) -> list[Any]:
            return [value(today), value(day)]

        def mean(candles: list[Candle]) -> str:
            volume = sum((found.volume for found in candles), Decimal(0))
            turnover = sum(((found.vwap or found.close) * found.volume for found in candles), Decimal(0))
            return str(pair.price(turnover / volume if volume else last.close))

        return {
            "a": [price, "1", "1.000"],
            "b": [price, "1", "1.000"],
            "c": [price, _volume(last.volume)],
            "v": both(lambda candles: _volume(sum((found.volume for found in candles), Decimal(0)))),
            "p": both(mean),
            "t": both(lambda candles: sum(found.trades for found in candles)),
            "l": both(lambda candles: str(min(found.low for found in candles))),
            "h": both(lambda candles: str(max(found.high for found in candles))),
            "o": str(today[0].open),
        }

    def _listed(self, name: str) -> Pair:
        pair = self._names.get(name)
        if pair is None or self._is_delisted(pair):
            raise _Answer("EQuery:Unknown asset pair")
        return pair

    def _is_delisted(self, pair: Pair) -> bool:
        return any(fault.kind == "delisted" and fault.pair in (None, pair.altname) for fault in self.faults)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    exchange: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        """Answer as Kraken does, or show faults and requests."""
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/faults":
            return self._send({"on": self.exchange.faults.listed(), "kinds": dict(KINDS)})
        if parts.path == "/requests":
            return self._send({"count": dict(self.exchange.requests), "recent": list(self.exchange.recent)})
        if not parts.path.startswith("/0/public/"):
            return self._send({"error": ["EGeneral:Unknown method"]}, status=404)
        return self._public(parts.path.removeprefix("/0/public/"), query)

    def do_POST(self) -> None:
        """Switch a fault on: its attributes as a JSON object."""
        if urlsplit(self.path).path != "/faults":
            return self._send({"error": ["EGeneral:Unknown method"]}, status=404)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict) or "kind" not in asked:
                raise FaultError(f'write a JSON object, e.g. {{"kind": "slow"}}; there is {", ".join(KINDS)}')
            fault = self.exchange.faults.add(**asked)
        except (ValueError, TypeError) as error:
            return self._send({"error": [str(error)]}, status=400)
        return self._send({"id": fault.id})

    def do_DELETE(self) -> None:
        """Switch faults off: all, or those of a kind or number."""
        path = urlsplit(self.path).path
        if path == "/faults":
            self.exchange.faults.clear()
            return self._send({"removed": "all"})
        which = path.removeprefix("/faults/")
        removed = self.exchange.faults.remove(which)
        if not removed:
            return self._send({"error": [f"no fault {which} is on"]}, status=404)
        return self._send({"removed": removed})

    def log_message(self, *_: object) -> None:
        """Say nothing: a request is counted instead."""

    def _public(self, endpoint: str, query: Mapping[str, str]) -> None:
        exchange = self.exchange
        exchange.requests[endpoint] += 1
        exchange.recent.append({"endpoint": endpoint, **query})
        pair = exchange.pair(query)
        concerned = {"pair": pair.altname if pair else None, "endpoint": endpoint}

        def on(kind: str) -> Fault | None:
            return exchange.faults.on(kind, **concerned)

        if on("hang"):
            exchange.stopping.wait(_HANG)
            self.close_connection = True
            return
        if slow := on("slow"):
            exchange.stopping.wait(slow.seconds)
        if on("server_error"):
            self._send("<html><body><h1>502 Bad Gateway</h1></body></html>", status=502)
            return
        if on("redirect"):
            self.send_response(302)
            self.send_header("Location", "http://192.0.2.1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        errors: list[str] = []
        result: Any = None
        if fault := on("error"):
            errors = [fault.text]
        elif on("rate_limit"):
            errors = ["EAPI:Rate limit exceeded"]
        elif endpoint not in ("SystemStatus", "Time") and on("maintenance"):
            errors = ["EService:Market in cancel_only mode"]
        else:
            try:
                result = exchange.answer(endpoint, query)
            except _Answer as error:
                errors = [str(error)]
        drip = on("drip")
        self._send(
            {"error": errors} if errors else {"error": [], "result": result},
            cut=on("truncated") is not None,
            pause=drip.seconds if drip else 0.0,
            padded=_HUGE if on("huge") else 0,
        )

    def _send(self, content: Any, *, status: int = 200, cut: bool = False, pause: float = 0.0, padded: int = 0) -> None:
        page = isinstance(content, str)
        body = (content if page else json.dumps(content)).encode().ljust(padded)
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        with suppress(ConnectionError):  # the client has had enough
            if not pause:
                self.wfile.write(body)
                return
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.exchange.stopping.wait(pause):
                    break
        self.close_connection = True


def serve(
    port: int,
    *,
    host: str = "127.0.0.1",
    replay: Path | None = None,
    synthetic_pairs: int = 0,
    on_start: Callable[[str], None] = print,
) -> None:
    """Run a simulated exchange until SIGINT or SIGTERM.

    Args:
        port: where it listens; 0 takes a free one.
        host: on which address. Beyond loopback, anybody there can switch faults.
        replay: folder of OHLCVT files to tell again instead of invented prices.
        synthetic_pairs: so many invented pairs more.
        on_start: told a line about where it listens and what it tells.

    Raises:
        PortBusy: the port is taken.
        ReplayError: the files cannot be replayed.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if replay is None:
        market: Market = SyntheticMarket(synthetic_pairs)
        story = f"{len(market.pairs)} pairs of invented prices"
    else:
        market = told = ReplayMarket(replay, datetime.now(UTC))
        story = f"{len(market.pairs)} pairs, {told.days} recorded days shifted by {told.shift} days"
    with Simulator(port, host=host, market=market) as simulator:
        on_start(f"simulated exchange at {simulator.url}: {story}; faults: {simulator.url}/faults")
        stop.wait()


def _facts(pair: Pair) -> dict[str, Any]:
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base,
        "aclass_quote": "currency",
        "quote": pair.quote,
        "lot": "unit",
        "pair_decimals": pair.decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": _FEES,
        "fees_maker": _FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.0001",
    }


def _row(pair: Pair, found: Candle) -> list[Any]:
    """Write a candle as OHLC does: times and counts are numbers, everything else is text."""
    prices = (str(pair.price(price)) for price in (found.open, found.high, found.low, found.close))
    vwap = "0.0" if found.vwap is None else str(found.vwap)
    return [found.minute, *prices, vwap, _volume(found.volume), found.trades]


def _written(pair: Pair, trade: Trade) -> list[Any]:
    price, volume = str(pair.price(trade.price)), _volume(trade.volume)
    return [price, volume, round(trade.time / SECOND, 4), trade.side, trade.kind, "", trade.id]


def _volume(volume: Decimal) -> str:
    return f"{volume:.8f}"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Answer("EGeneral:Invalid arguments") from None
