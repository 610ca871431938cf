"""The simulated exchanges on HTTP, all at one address: each path belongs to one dialect.

``/faults``, ``/requests`` and ``/refused`` are ours. What else is answered is in the dialects: kraken.py, coinbase.py,
binance.py.
"""

import json
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.simulator.binance import Binance
from pricetracker_dagster.simulator.coinbase import Coinbase
from pricetracker_dagster.simulator.dialect import Asked, Dialect
from pricetracker_dagster.simulator.faults import KINDS, Fault, FaultError, Faults
from pricetracker_dagster.simulator.kraken import Kraken
from pricetracker_dagster.simulator.market import SECOND, Market
from pricetracker_dagster.simulator.replay import ReplayMarket
from pricetracker_dagster.simulator.synthetic import SyntheticMarket

DIALECTS: Sequence[type[Dialect]] = (Kraken, Coinbase, Binance)
"""Those that the product speaks."""

_HANG, _HUGE = 120.0, 100_000_000
"""Seconds of a request that hangs; bytes of a body that is padded."""

_UNKNOWN = {"error": ["EGeneral:Unknown method"]}


class PortBusy(PricetrackerError, OSError):
    """The port is taken."""


class Simulator:
    """Simulated exchanges that run in threads of this process while its context is open.

    Args:
        port: where it listens, on a host; 0 takes a free one.
        market: what is traded; invented prices by default.
        clock: returns the exchange's time, UTC. A test may run through a whole day in no time.
        limits: grant what the real exchanges grant; without, everything.
        dialects: what is spoken.

    Attributes:
        url: root of the REST interfaces.
        dialects: what answers, by name, e.g. ``coinbase``.
        faults: what is to go wrong.
        requests: how often each endpoint was asked, e.g. ``OHLC`` (Kraken's), ``coinbase:candles``.
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
        limits: bool = True,
        dialects: Sequence[type[Dialect]] = DIALECTS,
    ) -> None:
        """Bind the port; answer nothing yet."""
        self.market = market or SyntheticMarket()
        self.clock = clock
        self.faults = Faults([dialect.name for dialect in dialects])
        spoken = (dialect(self.market, self.moment, self.faults, limits=limits) for dialect in dialects)
        self.dialects = {dialect.name: dialect for dialect in spoken}
        self.requests: Counter[str] = Counter()
        self.recent: deque[dict[str, Any]] = deque(maxlen=1000)
        self.stopping = threading.Event()
        try:
            self._server = _Server((host, port), type("Handler", (_Handler,), {"exchange": self}))
        except OSError as error:
            raise PortBusy(f"port {port} on {host} is taken: choose another with --port") from error
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def refused(self) -> dict[str, int]:
        """How many requests were more than an exchange's limit grants, by its name."""
        return {name: dialect.refused for name, dialect in self.dialects.items()}

    def moment(self) -> datetime:
        """Return the time by the clock, which may be exchanged while it runs."""
        return self.clock()

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end requests that hang."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone: a tick that was killed leaves its requests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    exchange: Simulator
    dialect: Dialect | None = None
    """Whose request is being answered; the last one, on a connection that stays."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        """Answer as an exchange does, or show faults and requests."""
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        for dialect in self.exchange.dialects.values():
            if asked := dialect.asked(unquote(parts.path), query, self.client_address[0]):
                self.dialect = dialect
                return self._public(dialect, asked)
        if parts.path == "/faults":
            return self._send({"on": [asdict(fault) for fault in self.exchange.faults], "kinds": dict(KINDS)})
        if parts.path == "/requests":
            return self._send({"count": dict(self.exchange.requests), "recent": list(self.exchange.recent)})
        if parts.path == "/refused":
            return self._send(self.exchange.refused)
        return self._send(_UNKNOWN, status=404)

    def do_POST(self) -> None:
        """Switch a fault on: its attributes as a JSON object."""
        if urlsplit(self.path).path != "/faults":
            return self._send(_UNKNOWN, status=404)
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
        if removed := self.exchange.faults.remove(which):
            return self._send({"removed": removed})
        return self._send({"error": [f"no fault {which} is on"]}, status=404)

    def log_message(self, *_: object) -> None:
        """Log nothing: a request is counted instead."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Write the header Date: the exchange's clock."""
        if timestamp is None and self.dialect:
            timestamp = self.dialect.now() / SECOND
        return super().date_time_string(timestamp)

    def _public(self, dialect: Dialect, asked: Asked) -> None:
        exchange = self.exchange
        called = dialect.prefix + asked.endpoint
        exchange.requests[called] += 1
        exchange.recent.append({"endpoint": called, **asked.query})

        def on(kind: str) -> Fault | None:
            return dialect.on(kind, asked)

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
        answer = dialect.answer(asked)
        drip = on("drip")
        pause, padded = drip.seconds if drip else 0.0, _HUGE if on("huge") else 0
        self._send(
            answer.content,
            status=answer.status,
            headers=answer.headers,
            cut=on("truncated") is not None,
            pause=pause,
            padded=padded,
        )

    def _send(
        self,
        content: Any,
        *,
        status: int = 200,
        headers: Mapping[str, str] = MappingProxyType({}),
        cut: bool = False,
        pause: float = 0.0,
        padded: int = 0,
    ) -> None:
        page = isinstance(content, str)
        body = (content if page else json.dumps(content)).encode().ljust(padded)
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
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


def serve(port: int, *, host: str, replay: Path | None, synthetic_pairs: int, on_start: Callable[[str], None]) -> None:
    """Run a simulated exchange until SIGINT or SIGTERM. Beyond loopback, anybody there can switch faults.

    Instead of invented prices it may replay a folder of OHLCVT files; ``on_start`` is given a line about it.

    Raises:
        PortBusy: the port is taken.
        ReplayError: the files cannot be replayed.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    market = SyntheticMarket(synthetic_pairs) if replay is None else ReplayMarket(replay, datetime.now(UTC))
    story = f"{len(market.pairs)} pairs of invented prices"
    if isinstance(market, ReplayMarket):
        story = f"{len(market.pairs)} pairs, {market.days} recorded days shifted by {market.shift} days"
    with Simulator(port, host=host, market=market) as simulator:
        spoken = ", ".join(simulator.dialects)
        on_start(f"simulated exchange at {simulator.url}: {story}; speaks {spoken}; faults: {simulator.url}/faults")
        stop.wait()
