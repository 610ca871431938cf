"""One request to an exchange over HTTP: one whole answer, within a deadline and a size, or an error that says why not.

Nothing that is read here is trusted: a body may drip, never end, be of any size or point elsewhere, and then only its
own request fails. When to ask again is in asking.py.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any, NamedTuple
from urllib.parse import unquote

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.base import Banned, ExchangeUnreachable, NoAnswer, RateLimited, RefusedHere
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.process.bounded_call import within
from pricetracker_dagster.process.proxies import open_session

MOST_BYTES = 10_000_000
"""Of the largest answer, decoded. Kraken's list of all pairs has some 2 MB. The worst JSON of this size takes a second
and 300 MB to parse, and blocks all other threads meanwhile: ask for less where less is enough."""

CONNECTIONS = 128
"""Most connections that are kept open, for as many requests at once. One is opened where all others are in use."""

_PIECE = 64 * 1024


class Response(NamedTuple):
    """A whole answer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Their names in any case."""
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """For how many seconds nothing is to be asked, where it says so: a number, or a date as HTTP writes it."""
        told = self.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"\d{1,9}", told, re.ASCII):
            return float(told)
        until, now = http_date(told), http_date(self.headers.get("Date", "")) or datetime.now(UTC)
        return max(0.0, (until - now).total_seconds()) if until else None


def http_date(text: str) -> datetime | None:
    """Return a date as headers of HTTP write it, UTC; None where it is none."""
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


class Http:
    """The connections to one exchange. Threads may share it.

    Args:
        url: root of its REST interface, without a trailing slash.
        timeout: seconds to wait for one whole answer.
        login: ``user:password`` as a URL holds them; empty: none. It is part of no URL, so that no error names it.
    """

    def __init__(self, url: str, timeout: float, login: str = "") -> None:
        """Connect to nothing yet."""
        self.url = url
        self.timeout = timeout
        self._session = open_session(url)
        self._session.headers["User-Agent"] = "pricetracker_dagster (minute prices)"
        self._session.headers["Accept-Encoding"] = "gzip, deflate"  # which _decoded() can bound
        if login:
            user, _, password = login.partition(":")
            # bytes: requests would write text in Latin-1
            self._session.auth = HTTPBasicAuth(unquote(user).encode(), unquote(password).encode())
        # no retries here: asking.py retries, since errors in an answer need it as much as a lost connection
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS))
        self._environment: dict[str, dict[str, Any]] = {}

    @cached_property
    def _prepared(self) -> requests.PreparedRequest:
        """What all requests have in common: worked out for each, it takes a third of a request's CPU."""
        return self._session.prepare_request(requests.Request("GET", self.url))

    def _environment_of(self, root: str) -> dict[str, Any]:
        """Return what the environment says of requests to a host, as requests reads it: proxies, certificates."""
        if root not in self._environment:
            told: Any = self._session.merge_environment_settings(root, {}, stream=True, verify=None, cert=None)
            self._environment[root] = told
        return self._environment[root]

    def get(self, what: str, path: str, query: Mapping[str, str], deadline: Deadline, *, most: int = MOST_BYTES) -> Any:
        """Ask once, waiting no longer than the timeout either, and return the JSON of the answer (see Client.get()).

        Raises:
            DeadlineExceeded: the deadline has passed already.
            RateLimited: the exchange asks us to slow down.
            ExchangeUnreachable: no whole, usable answer in time.
        """
        response = self.answer(what, f"{self.url}{path}", deadline, query=query, most=most)
        check_status(what, response, self.url)
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError) as error:
            raise ExchangeUnreachable(f"{what}: the answer is not JSON: {plain(response.body, 60)!r}") from error

    def answer(
        self,
        what: str,
        url: str,
        deadline: Deadline,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
    ) -> Response:
        """Ask once for a URL and return the whole answer, whatever its status; otherwise as get()."""
        patience = min(self.timeout, deadline.remaining)
        if patience <= 0:
            raise DeadlineExceeded
        ends = Deadline.after(patience)

        def ask() -> Response:
            request = self._prepared.copy()
            request.prepare_url(url, query)
            request.headers.update(headers or {})
            environment = self._environment_of("/".join(url.split("/", 3)[:3]))
            timeout = max(0.001, ends.remaining)
            with self._session.send(request, timeout=timeout, allow_redirects=False, **environment) as response:
                body = _body(what, response, ends, most)
                return Response(response.status_code, response.reason or "", response.headers, body)

        try:
            return within(patience, lambda: self._without_network_errors(what, ask, ends), f"asks {what}")
        except TimeoutError:
            raise NoAnswer(f"{what}: no answer within {patience:.0f} s from {self.url}") from None

    def _without_network_errors(self, what: str, ask: Callable[[], Response], ends: Deadline) -> Response:
        try:
            return ask()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.Timeout) or ends.remaining <= 0:
                raise TimeoutError from error
            raise ExchangeUnreachable(f"{what}: no connection to {self.url} ({_root_of(error)})") from error


def check_status(what: str, response: Response, url: str) -> None:
    """Raise what the status of an answer means, where it is not 200.

    Raises:
        RateLimited: too many requests; Banned: of which there were too many more.
        RefusedHere: this exchange is not for where we are.
        ExchangeUnreachable: anything else.
    """
    status = response.status
    if status in {418, 420, 429}:
        kind, said = (Banned, "banned for a while") if status == 418 else (RateLimited, "too many requests")
        raise kind(f"{what}: HTTP {status}, {said}", response.retry_after)
    if status == requests.codes.unavailable_for_legal_reasons:
        raise RefusedHere(f"{what}: HTTP 451: {url} answers nobody from here; follow the pair on another exchange")
    if 300 <= status < 400:
        there = plain(response.headers.get("Location", "nowhere"))
        raise ExchangeUnreachable(
            f"{what}: HTTP {status}: {url} points to {there}, which is not followed; "
            "if the exchange has moved, set its url in the settings (exchanges)"
        )
    if status != requests.codes.ok:
        raise ExchangeUnreachable(f"{what}: HTTP {status} {plain(response.reason)}".rstrip())


def _body(what: str, response: requests.Response, ends: Deadline, most: int) -> bytes:
    too_large = ExchangeUnreachable(f"{what}: the answer has more than {most / 1e6:.0f} MB; it was not read")
    with suppress(ValueError):
        if int(response.headers.get("Content-Length", 0)) > most:
            raise too_large
    body = bytearray()
    for piece in _decoded(what, response):
        body += piece
        if len(body) > most:
            raise too_large
        if ends.remaining <= 0:
            raise TimeoutError
    return bytes(body)


def _decoded(what: str, response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives, a byte at a time where it drips, decompressed in small pieces.

    A few KB that were compressed may stand for gigabytes.
    """
    pieces = iter(partial(response.raw.read1, _PIECE, decode_content=False), b"")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        # an empty piece too: the deadline is checked after each
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ExchangeUnreachable(f"{what}: the answer is encoded as {plain(encoding)}, which was not asked for")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its head
    try:
        for piece in pieces:
            yield decoder.decompress(piece, _PIECE)
            while decoder.unconsumed_tail:
                yield decoder.decompress(decoder.unconsumed_tail, _PIECE)
        yield decoder.flush()
    except zlib.error as error:
        raise ExchangeUnreachable(f"{what}: the answer is not {encoding} as it says ({error})") from error
    if not decoder.eof:
        raise ExchangeUnreachable(f"{what}: the answer ends in the middle")


def _root_of(error: BaseException) -> str:
    """Return what the operating system said, without the layers around it."""
    cause = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    reason = getattr(cause, "reason", cause)
    return plain(str(reason).rpartition("> ")[2].rpartition(": ")[2]) or type(error).__name__
