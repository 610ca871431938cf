"""ccxt's dialect of one exchange, spoken through our client.

ccxt makes the requests and reads the answers; how often and how long is asked, and what an answer may be, is the
client's matter, as for all exchanges.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import Banned, ExchangeError, ExchangeUnreachable
from pricetracker_dagster.exchanges.by_ccxt.records import RECORDS
from pricetracker_dagster.exchanges.http import Response, check_status, http_date
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings.exchanges import LISTED, in_ccxt

INSTALL = 'it needs the package ccxt: run `make run`, or pip install "pricetracker-dagster[exchanges]"'

_importing = threading.Lock()


class Clock:
    """The exchange's time: told by it, and since then by a monotonic clock of this machine."""

    def __init__(self) -> None:
        """Nothing has been told."""
        self._told: tuple[float, float] | None = None

    def forget(self) -> None:
        """Let the next answer tell it anew."""
        self._told = None

    def set(self, unix: float) -> None:
        """Keep a time in Unix seconds that was told just now."""
        self._told = unix, time.monotonic()

    def unix(self) -> float | None:
        """Return the time in Unix seconds; None where none was told."""
        if self._told is None:
            return None
        unix, at = self._told
        return unix + time.monotonic() - at


class Asking(threading.local):
    """What the thread asks for now, until when, and how much of the allowance its next request takes."""

    what = ""
    deadline = Deadline.after(0)
    cost = 1.0

    @contextmanager
    def for_(self, what: str, deadline: Deadline) -> Iterator[None]:
        """Say so for the requests that are made in the block."""
        self.what, self.deadline = what, deadline
        yield


def class_of(ccxt_id: str) -> Any:
    """Return ccxt's class of an exchange, importing no other.

    The package imports all of its hundred exchanges by itself: 0.4 s of CPU and 60 MB that a tick would pay.

    Raises:
        ExchangeError: ccxt is not installed, or has no such exchange.
    """
    name = f"ccxt.{ccxt_id}"
    with _importing:
        if name not in sys.modules and "ccxt" not in sys.modules:
            spec = find_spec("ccxt")
            if spec is None or spec.submodule_search_locations is None:
                raise ExchangeError(INSTALL)
            bare = ModuleType("ccxt")
            bare.__path__ = list(spec.submodule_search_locations)
            sys.modules["ccxt"] = bare
            try:
                import_module(name)
            finally:
                del sys.modules["ccxt"]  # who imports it afterwards gets it whole
        try:
            return getattr(sys.modules.get(name) or import_module(name), ccxt_id)
        except ImportError as error:
            raise ExchangeError(f"ccxt cannot be imported: {plain(error)}; {INSTALL}") from error


def import_known() -> None:
    """Import what ccxt has of the exchanges that have a record and that it is asked for: 14 MB, 60 ms of CPU.

    Raises:
        ExchangeError: ccxt is not installed.
    """
    for name in RECORDS.keys() - LISTED.keys():
        class_of(in_ccxt(name))


def open_speaker(
    ccxt_id: str,
    options: Mapping[str, Any],
    client: Callable[[Any], Client],
    *,
    candle_cost: float = 1.0,
    count_at: int | None = None,
) -> Any:
    """Return ccxt's exchange, which asks through a client.

    Args:
        ccxt_id: what ccxt calls it.
        options: ccxt's options.
        client: returns the client, given ccxt's exchange with its figures. All is asked of the client's URL.
        candle_cost: what ccxt takes a request for candles to cost, the unit of the client's rate limit.
        count_at: where in a row of candles the number of trades stands: it is added to what ccxt gives.

    It has, beside all that is ccxt's: ``clock``, ``asking`` and ``client``.
    """
    kind: Any = class_of(ccxt_id)
    home = ""

    class Speaker(kind):  # type: ignore[misc] # ccxt has no types
        """Asks through our client, at our rate, by the exchange's clock."""

        def throttle(self, cost: float | None = None) -> None:
            self.asking.cost = (1.0 if cost is None else float(cost)) / candle_cost

        def milliseconds(self) -> int:
            unix = self.clock.unix()
            return int(1000 * (time.time() if unix is None else unix))

        def parse_ohlcv(self, ohlcv: Any, market: Any = None) -> Any:
            row = super().parse_ohlcv(ohlcv, market)
            return row if count_at is None else [*row, ohlcv[count_at]]

        def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            del body  # what is asked for by GET has none
            asking, told = self.asking, dict(headers or {})
            if method != "GET":
                raise ExchangeError(f"{asking.what}: it would have to be asked by {method}, which is not supported")
            if self.client.url != home:
                parts = urlsplit(url)
                url = f"{self.client.url}{parts.path}{f'?{parts.query}' if parts.query else ''}"
            response = self.client.once(asking.what, url, told, asking.deadline, asking.cost)
            _note_date(self.clock, response)
            return _meaning(self, url, response, told)

    speaker = Speaker({"options": dict(options), "enableRateLimit": True})
    speaker.has["fetchCurrencies"] = False  # one request more, for what nobody here needs
    speaker.clock, speaker.asking = Clock(), Asking()
    home = own_url(speaker)
    speaker.client = client(speaker)
    return speaker


def own_url(speaker: Any) -> str:
    """Return the root of the interface that ccxt asks for public data; empty where that cannot be told."""
    first = next(_texts(speaker.urls["api"]), "")
    return "/".join(str(speaker.implode_hostname(first)).split("/")[:3])


def _texts(urls: Any) -> Iterator[str]:
    """Yield the texts in what may be nested tables, public ones first."""
    if isinstance(urls, str):
        yield urls
    elif isinstance(urls, Mapping):
        for key in dict.fromkeys(("public", "spot", "rest", *urls)):
            yield from _texts(urls.get(key))


def _note_date(clock: Clock, response: Response) -> None:
    """Set the clock by an answer, where it has none yet: a date is a whole second, which was told a while ago."""
    date = http_date(response.headers.get("Date", ""))
    if date is not None and clock.unix() is None:
        clock.set(date.timestamp())


def _meaning(speaker: Any, url: str, response: Response, headers: Mapping[str, str]) -> Any:
    """Return the JSON of an answer; raise what it says is wrong, in ccxt's words or ours."""
    what, status = speaker.asking.what, response.status
    if status in {418, 420, 429, 451} or 300 <= status < 400:
        check_status(what, response, _root(url))
    text = response.body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    try:  # some tell errors with status 200
        speaker.handle_errors(status, response.reason, url, "GET", dict(response.headers), text, answer, headers, None)
    except Exception as error:
        if status != 403 or type(error).__name__ != "ExchangeError":
            raise
    if status == 403:
        said = f"nothing is answered to this address ({plain(text, 80)})"
        raise Banned(f"{what}: HTTP 403: {said}", response.retry_after)
    check_status(what, response, _root(url))
    if answer is None:
        raise ExchangeUnreachable(f"{what}: the answer is not JSON: {plain(text, 60)!r}")
    return answer


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def now_of(clock: Clock) -> datetime:
    """Return the exchange's time, UTC; this machine's where the exchange has told none."""
    unix = clock.unix()
    return datetime.now(UTC) if unix is None else datetime.fromtimestamp(unix, UTC)
