"""One request to an exchange over HTTP: one whole answer, within a deadline and a size, or an error that says why not.

Nothing that is read here is trusted: a body may drip, never end, be of any size or point elsewhere, and then only its
own request fails. When to ask again is in asking.py.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from pricetracker_dagster.errors import plain
from pricetracker_dagster.exchanges.base import ExchangeUnreachable, NoAnswer, RateLimited
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.process.bounded_call import within
from pricetracker_dagster.process.proxies import open_session

MOST_BYTES = 10_000_000
"""Of the largest answer, decoded. Kraken's list of all pairs has some 2 MB. The worst JSON of this size takes a second
and 300 MB to parse, and blocks all other threads meanwhile: ask for less where less is enough."""

CONNECTIONS = 128
"""Most connections that are kept open, for as many requests at once. One is opened where all others are in use."""

_PIECE = 64 * 1024


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

    def get(self, what: str, path: str, query: Mapping[str, str], deadline: Deadline, *, most: int = MOST_BYTES) -> Any:
        """Ask once, waiting no longer than the timeout either, and return the JSON of the answer (see Client.get()).

        Raises:
            DeadlineExceeded: the deadline has passed already.
            RateLimited: the exchange asks us to slow down.
            ExchangeUnreachable: no whole, usable answer in time.
        """
        patience = min(self.timeout, deadline.remaining)
        if patience <= 0:
            raise DeadlineExceeded
        ends = Deadline.after(patience)
        try:
            return within(patience, lambda: self._answer(what, path, query, ends, most), f"asks {what}")
        except TimeoutError:
            raise NoAnswer(f"{what}: no answer within {patience:.0f} s from {self.url}") from None

    def _answer(self, what: str, path: str, query: Mapping[str, str], ends: Deadline, most: int) -> Any:
        url, patience = f"{self.url}{path}", max(0.001, ends.remaining)
        try:
            with self._session.get(url, params=query, timeout=patience, stream=True, allow_redirects=False) as response:
                _check_status(what, response, self.url)
                body = _body(what, response, ends, most)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.Timeout) or ends.remaining <= 0:
                raise TimeoutError from error
            raise ExchangeUnreachable(f"{what}: no connection to {self.url} ({_root_of(error)})") from error
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ExchangeUnreachable(f"{what}: the answer is not JSON: {plain(body, 60)!r}") from error


def _check_status(what: str, response: requests.Response, url: str) -> None:
    if response.status_code in {429, 420}:
        raise RateLimited(f"{what}: HTTP {response.status_code}, too many requests")
    if 300 <= response.status_code < 400:
        there = plain(response.headers.get("Location", "nowhere"))
        raise ExchangeUnreachable(
            f"{what}: HTTP {response.status_code}: {url} points to {there}, which is not followed; "
            "if the exchange has moved, set its url in the settings (exchanges)"
        )
    if response.status_code != requests.codes.ok:
        raise ExchangeUnreachable(f"{what}: HTTP {response.status_code} {plain(response.reason)}".rstrip())


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
