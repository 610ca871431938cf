"""A small exchange that speaks Kraken's dialect and answers as oddly as a test wants it to.

Unlike the simulator it invents nothing that needs a market: prices follow from the minute, and any answer can be
changed, or written by hand byte by byte.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Change = Callable[[Any], Any]
Write = Callable[[BaseHTTPRequestHandler], None]

NOW = 1_772_539_205
"""2026-03-03 12:00:05 UTC."""

NEWEST = datetime.fromtimestamp(NOW // 60 * 60 - 60, UTC)
"""The newest minute that is closed then."""

LIQUID = {"XXBTZUSD": ("XBTUSD", "XBT/USD"), "XETHZUSD": ("ETHUSD", "ETH/USD")}


class OddKraken:
    """Answers until its context ends.

    Attributes:
        now: its time in Unix seconds; the test turns it.
        pairs: its own name of each pair to the name a request takes and the one for people.
        quiet: pairs (names a request takes) that trade on the hour only; their other minutes are not listed.
        change: by endpoint, or endpoint and pair: what becomes of the envelope.
        write: the same: who writes the answer by hand instead.
        asked: each request: endpoint and pair.
        let_go: is set at the end: what writes for ever stops then (as ``ends`` of a handler's server).
    """

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.pairs = dict(LIQUID)
        self.quiet: set[str] = set()
        self.change: dict[str | tuple[str, str], Change] = {}
        self.write: dict[str | tuple[str, str], Write] = {}
        self.asked: list[tuple[str, str]] = []
        self.let_go = threading.Event()
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                endpoint, pair = parts.path.rpartition("/")[2], query.get("pair", "")
                odd.asked.append((endpoint, pair))
                for key in ((endpoint, pair), endpoint):
                    if key in odd.write:
                        odd.write[key](self)
                        return
                envelope = odd.answer(endpoint, query)
                for key in ((endpoint, pair), endpoint):
                    if key in odd.change:
                        envelope = odd.change[key](envelope)
                send(self, json.dumps(envelope).encode())

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            ends = self.let_go

            def handle_error(self, *_: object) -> None:
                """Whoever asked has gone: that is what is tried here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def list_more(self, letter: str, count: int) -> list[str]:
        """List so many pairs more, ``P00USD`` …; return the names that requests take."""
        names = [f"{letter}{i:02d}USD" for i in range(count)]
        self.pairs |= {name: (name, f"{name[:3]}/USD") for name in names}
        return names

    def count(self, endpoint: str | None = None) -> Counter[str]:
        """How often each pair was asked for."""
        return Counter(pair for of, pair in self.asked if endpoint in (None, of))

    def answer(self, endpoint: str, query: dict[str, str]) -> Any:
        """The envelope of one request."""
        if endpoint == "Time":
            return {"error": [], "result": {"unixtime": int(self.now)}}
        if endpoint == "AssetPairs":
            return {
                "error": [],
                "result": {key: {"altname": name, "wsname": shown} for key, (name, shown) in self.pairs.items()},
            }
        key = next((key for key, (name, _) in self.pairs.items() if name == query.get("pair")), None)
        if key is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        quiet = self.pairs[key][0] in self.quiet
        if endpoint == "OHLC":
            forming, since = int(self.now) // 60 * 60, int(query.get("since", 0))
            rows = [
                row(minute)
                for minute in range(forming - 719 * 60, forming + 60, 60)
                if minute > since and (not quiet or minute % 3600 == 0)
            ]
            return {"error": [], "result": {key: rows, "last": forming - 60}}
        if endpoint == "Trades":
            since = int(query.get("since", 0))
            found: list[list[Any]] = []
            minute = since // 10**9 // 60 * 60
            while len(found) < 1000 and minute < self.now:
                if not quiet or minute % 3600 == 0:
                    times = [minute * 10**9 + second * 10**9 for second in (5, 15, 25)]
                    found += [trade(time) for time in times if since < time <= self.now * 10**9]
                minute += 60
            last = int(float(found[-1][2]) * 10**9) if found else int(self.now * 10**9)
            return {"error": [], "result": {key: found, "last": str(max(last, since))}}
        return {"error": ["EGeneral:Unknown method"]}


def price(minute: int) -> float:
    """The price of all trades of a minute."""
    return 100.0 + minute // 60 % 7


def row(minute: int) -> list[Any]:
    """A minute as OHLC lists it: three trades of 0.5 at one price."""
    at = f"{price(minute):.1f}"
    return [minute, at, at, at, at, at, "1.50000000", 3]


def trade(time: int) -> list[Any]:
    """A trade at a time in Unix nanoseconds."""
    return [f"{price(time // 10**9 // 60 * 60):.1f}", "0.50000000", time / 1e9, "b", "m", "", time // 10**9]


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """Write an answer."""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
