"""One request to the HTTP API of another process: a table of Arrow, or an error in plain words that says the way out.

Which questions are asked by which paths is the business of over_http.py.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import requests
from urllib3.exceptions import ProtocolError

from pricetracker_dagster.errors import PricetrackerError, UnknownName, first_line, plain
from pricetracker_dagster.process import proxies, secrets
from pricetracker_dagster.reading.every import NotAWidth
from pricetracker_dagster.reading.times import WrongTimes
from pricetracker_dagster.settings.urls import http_url

TOKEN_VARIABLE = "PRICETRACKER_HTTP__TOKEN"  # noqa: S105 - the name of a variable
ARROW = "application/vnd.apache.arrow.stream"
_PROBLEM = "application/problem+json"

_CONNECT_SECONDS, _READ_SECONDS, _LONGEST_WAIT = 5.0, 60.0, 30.0


class ApiError(PricetrackerError):
    """The HTTP API cannot be reached, or does not answer as it should; the message names its URL and the way out."""


class NotAllowed(ApiError):
    """The API wants a token, or another one."""


class BadRequest(PricetrackerError, ValueError):
    """A parameter that cannot be meant; the message says its form."""

    exit_status = 2


_KINDS: Mapping[str, type[PricetrackerError]] = {
    "metric_name": UnknownName,
    "measure_name": UnknownName,
    "market_name": UnknownName,
    "every": NotAWidth,
    "start": WrongTimes,
    "end": WrongTimes,
    "since": WrongTimes,
}
"""What the local face raises of a parameter; BadRequest of others."""


class Api:
    """An HTTP API and the connections to it.

    Attributes:
        url: its address, without a trailing slash.
        shown: the same without what may be secret in it.
    """

    def __init__(self, url: str, token: str | None) -> None:
        """Keep address and token; nothing is asked yet.

        Raises:
            ApiError: the URL is none.
        """
        try:
            parts = urlsplit(http_url(url, "http://127.0.0.1:8000"))
        except ValueError as error:
            raise ApiError(f'"{secrets.shown_url(url)}" is {error}') from None
        self.url = urlunsplit(parts._replace(query="", fragment="")).rstrip("/")  # of the page's address, what it shows
        secrets.keep_address(self.url)
        self.shown = secrets.shown_url(self.url)
        self._session = proxies.open_session(self.url)
        self._session.headers["Accept"] = ARROW
        if token := token or os.environ.get(TOKEN_VARIABLE):
            if not (token.isascii() and token.isprintable()):
                raise NotAllowed("the token cannot be sent: it has signs other than letters, digits and marks of ASCII")
            secrets.keep_login(token)
            self._session.auth = _Bearer(token)

    def table(self, path: str, parameters: Mapping[str, str]) -> pa.Table:
        """Ask, and return the whole answer.

        Args:
            path: below ``/pricetracker/``.
            parameters: of the query.

        Raises:
            UnknownName, BadRequest, NotAWidth, WrongTimes: what the API says of the question.
            ApiError: it does not answer, not as it should, or lets nobody in.
        """
        answer = self._got(path, parameters)
        if answer.status_code == 429:
            time.sleep(_wait(answer))
            answer = self._got(path, parameters)
        if answer.status_code != 200:
            raise self._error(answer)
        if answer.headers.get("Content-Type", "").partition(";")[0] != ARROW:
            raise self._no_api("its answer is no table of Arrow")
        try:
            with pa.ipc.open_stream(answer.content) as stream:
                return stream.read_all()
        except (pa.ArrowException, OSError) as error:
            why = plain(first_line(error), 200)
            raise ApiError(f"{self.shown}: the answer was cut or damaged: ask again ({why})") from error

    def _got(self, path: str, parameters: Mapping[str, str]) -> requests.Response:
        address, waits = f"{self.url}/pricetracker/{path}", (_CONNECT_SECONDS, _READ_SECONDS)
        try:
            try:
                return self._session.get(address, params=parameters, timeout=waits)
            except requests.ConnectionError as error:
                if not _was_cut(error):
                    raise
                # a connection that was kept, and that a restarted server does not know
                return self._session.get(address, params=parameters, timeout=waits)
        except requests.RequestException as error:
            raise ApiError(f"{self.shown}: {_why(error)}") from error

    def _error(self, answer: requests.Response) -> PricetrackerError:
        """Return what an answer that is none means: the local face's error of the same question, where it has one."""
        told: dict[str, Any] = {}
        if answer.headers.get("Content-Type", "").partition(";")[0] == _PROBLEM:
            with suppress(ValueError):
                told = answer.json()
        detail = plain(told.get("detail", answer.reason or answer.status_code), 500)
        status, kind = answer.status_code, _KINDS.get(str(told.get("parameter")), BadRequest)
        if status in (401, 403):
            way_out = f"open_prices(url, token=…), or set {TOKEN_VARIABLE}"
            return NotAllowed(f"{self.shown} lets in who knows its token ({detail}): {way_out}")
        if status == 429:
            way_out = "ask less often, or raise http.requests_per_second there"
            return ApiError(f"{self.shown} takes no more requests for now ({detail}): {way_out}")
        if 300 <= status < 400:
            place = plain(secrets.shown_url(answer.headers.get("Location", "nowhere")), 300)
            return ApiError(f"{self.shown} points elsewhere: open_prices() of the address that it means, {place}")
        if told and status == 404 and urlsplit(answer.url).query:
            return UnknownName(detail)
        if not told or status == 404:
            return self._no_api(f"it answers {status} {plain(answer.reason or '')}".strip())
        if status == 422:
            return kind(detail)
        return ApiError(f"{self.shown} answers {status}: {detail}")

    def _no_api(self, why: str) -> ApiError:
        way_out = "write the address that `pricetracker serve` prints"
        return ApiError(f"{self.shown} is no HTTP API of pricetracker ({why}): {way_out}")


class _Bearer(requests.auth.AuthBase):
    """Bears a token. A header alone would give way to what ~/.netrc says of the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _why(error: requests.RequestException) -> str:
    """Return in plain words why there is no answer, and the way out."""
    said = plain(first_line(error), 200)
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return f"the answer was cut: ask again ({said})"
    if isinstance(error, requests.Timeout):
        return "no answer in time: ask for less, or see how it is at its /health"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection: http:// where it has no certificate, else mend that ({said})"
    return "nothing answers there: start it with `pricetracker serve`, or write the address that it prints"


def _wait(answer: requests.Response) -> float:
    """Return for how many seconds the API wants no request; not longer than anybody would wait."""
    given = answer.headers.get("Retry-After", "1")
    return min(float(given), _LONGEST_WAIT) if given.isascii() and given.isdigit() else 1.0


def _was_cut(error: requests.ConnectionError) -> bool:
    return bool(error.args) and isinstance(error.args[0], ProtocolError)
