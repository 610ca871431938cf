"""One attempt to give a channel a message: what its server answers is seen where apprise asks, and said in our words.

apprise asks through requests and smtplib, with time-outs of its own, follows where it is pointed to, and says what went
wrong to a log that all share. In a thread that sends, and nowhere else, its requests go through here: they end together
at the deadline, a message is not made into something else on the way, and each attempt knows its own answer.
"""

import functools
import json
import logging
import os
import re
import smtplib
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3

from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.process.bounded_call import Connections
from pricetracker_dagster.process.guard import apprise_log

RETRY_AFTER_MOST = 3600.0
"""Seconds: a channel that asks for more is tried after so long."""

_REDIRECTS = 5
_MOST_BYTES = 1_000_000
"""Of an answer that is read. What a channel says is short."""

_PAUSE_MOST = 1.0
"""Seconds between two requests of one attempt, of which apprise would make 5.5."""

_IS_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")
"""As ``invalid_auth``: what services call an error; no prose."""

_Refused = dict[str, tuple[int, bytes]]


class Attempt:
    """What is known of one channel's answers within one deadline.

    Attributes:
        trouble: the last thing that went wrong, in our words.
        code: what the channel itself calls that, where it has a name for it, such as ``invalid_auth``.
        refused: whether an answer said ``"ok": false``, whatever its status: apprise looks at that of some services.
        retry_after: seconds that the channel asked for.
        said: what apprise logged meanwhile, which may hold parts of the channel's URL.
    """

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self._seconds = seconds
        self._ends = Deadline.after(seconds)
        self._over = threading.Event()
        self._connections = Connections()
        self._asks_to_wait = False
        self.trouble: str | None = None
        self.code: str | None = None
        self.refused = False
        self.retry_after: float | None = None
        self.said: list[str] = []

    @property
    def late(self) -> str:
        """What is said of a channel from which nothing came in time."""
        return f"no answer within {self._seconds:g} s"

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._ends.remaining)

    @property
    def ended(self) -> bool:
        """Whether end() was called."""
        return self._over.is_set()

    def end(self) -> None:
        """End whatever the attempt waits for, from another thread. It sends nothing any more."""
        self._over.set()
        self._connections.end()

    @contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """Make this thread one that sends, while the block lasts."""
        _watch()
        _this_thread.attempt = self
        try:
            with self._connections.of_this_thread():
                yield
        finally:
            _this_thread.attempt = None

    def begin(self) -> None:
        """Forget what was known of the message before."""
        self.trouble, self.code, self.refused, self.retry_after, self.said = None, None, False, None, []

    def pause(self, wait: float) -> None:
        """Wait between two requests, where apprise would sleep.

        Raises:
            requests.ConnectionError: so long a pause does not fit.
        """
        if self._asks_to_wait or wait >= self.remaining or self._over.wait(wait):
            self.trouble = self.trouble or self.late
            raise requests.ConnectionError("there is no time left for a further request")

    def ask(self, send: Callable[..., requests.Response], request: requests.PreparedRequest) -> requests.Response:
        """Send a request, and again where the same host points to, and return the whole answer.

        Raises:
            requests.RequestException: there is none, or it points where no message goes.
        """
        for _ in range(_REDIRECTS + 1):
            if self.ended or self._asks_to_wait:
                raise requests.ConnectionError("there is to be no further request")
            request.headers["Accept-Encoding"] = "identity"  # so few bytes need no packing, and unpack to no more
            try:
                response = send(request, timeout=max(0.001, self.remaining), stream=True, allow_redirects=False)
                _read(response)
                if self.ended:  # what looks like the end of the answer may be our own
                    raise requests.ReadTimeout
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                self.trouble = self.why(error)
                raise
            self._note(response)
            if not 300 <= response.status_code < 400:
                return response
            request = self._followed(request, response)
        self.trouble = f"{self.trouble}: it points on and on"
        raise requests.TooManyRedirects

    def why(self, error: BaseException) -> str:
        """Return what went wrong in our words; what a library says may name addresses and more."""
        chain = list(_causes(error))
        for cause in chain:
            if isinstance(cause, smtplib.SMTPRecipientsRefused):
                codes = [code for code, _ in cause.recipients.values()]
                return f"SMTP {codes[0]}: it refuses a recipient" if codes else "SMTP: it refuses the recipients"
            if isinstance(cause, smtplib.SMTPAuthenticationError):
                return f"SMTP {cause.smtp_code}: it refuses user and password"
            if isinstance(cause, smtplib.SMTPResponseException):
                return f"SMTP {cause.smtp_code}"
        for kinds, words in _WORDS:
            if any(isinstance(cause, kinds) for cause in chain):
                return words or self.late
        for cause in chain:
            if isinstance(cause, OSError) and cause.errno:
                return f"no connection: {os.strerror(cause.errno)}"
        return f"it could not be asked ({type(error).__name__})"

    def _note(self, response: requests.Response) -> None:
        status, self.code = response.status_code, _code_in(response)
        said = _json_of(response)
        self.refused = self.refused or (isinstance(said, dict) and said.get("ok") is False)
        if 200 <= status < 300:
            self.trouble = f"HTTP {status}, but it says that it did not take the message"
            return
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == status), "")
        self.trouble = f"HTTP {status}{phrase}"
        asked = _retry_after(response)
        if asked is not None:
            self.retry_after = min(max(0.0, asked), RETRY_AFTER_MOST)
            self.trouble += f", asks to wait {self.retry_after:.0f} s"
        if status == HTTPStatus.TOO_MANY_REQUESTS or asked is not None:
            self._asks_to_wait = True

    def _followed(self, request: requests.PreparedRequest, response: requests.Response) -> requests.PreparedRequest:
        """Return the same request to where an answer points.

        Raises:
            requests.TooManyRedirects: it would not be the same request, or to somebody else.
        """
        status, location = response.status_code, response.headers.get("Location")
        if not location:
            raise requests.TooManyRedirects
        following = request.copy()
        try:
            there = location.encode("latin1").decode("utf-8", "replace")
            following.prepare_url(urljoin(str(request.url), there), None)
            same_host = _host_of(following) == _host_of(request)
        except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError):
            same_host = False
        if not same_host:
            self.trouble = f"{self.trouble}: it points elsewhere, which is not followed; set the address itself"
        elif request.method != "GET" and status not in (307, 308):
            self.trouble = f"{self.trouble}: it points elsewhere, and a message that followed would become a GET"
        elif isinstance(request.body, str | bytes | None):
            return following
        raise requests.TooManyRedirects


def attempt_of_this_thread() -> Attempt | None:
    """Return the attempt that this thread makes; None: it is none that sends."""
    found: Attempt | None = getattr(_this_thread, "attempt", None)
    return found


def take_over_pauses(service: Any, attempt: Attempt) -> None:
    """Have a channel of apprise wait as the attempt says: no longer than it lasts, and not at all before the first."""
    asked, rate = False, min(float(service.request_rate_per_sec), _PAUSE_MOST)  # not the channel: it would never go

    def throttle(last_io: datetime | None = None, wait: float | None = None) -> None:
        nonlocal asked
        del last_io
        pause = wait if wait is not None else rate if asked else 0.0
        asked = True
        if pause > 0:
            attempt.pause(pause)

    service.throttle = throttle
    # requests are given what is left anyway; mail and the like take it from here
    service.socket_connect_timeout = service.socket_read_timeout = max(0.001, attempt.remaining)


# --- what apprise uses, watched in threads that send ---

_this_thread = threading.local()
_watching = threading.Lock()


def _watch() -> None:
    """See what threads that send ask and are answered, from now on. All others are served as ever."""
    if not _watching.acquire(blocking=False):  # never released: once is enough
        return
    requests.Session.send = _watched_requests(requests.Session.send)  # type: ignore[method-assign]
    if hasattr(smtplib.SMTP, "sendmail"):
        smtplib.SMTP.sendmail = _watched_mail(smtplib.SMTP.sendmail)  # type: ignore[method-assign]
    apprise_log().addHandler(_Listener(logging.WARNING))
    # who asks that a certificate be not looked at knows; the warning names the host
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def _watched_requests(send: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
    @functools.wraps(send)
    def watched(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        attempt = attempt_of_this_thread()
        if attempt is None:
            return send(self, request, **options)
        self.get_redirect_target = _nowhere  # type: ignore[method-assign]
        for name in ("timeout", "stream", "allow_redirects"):
            options.pop(name, None)
        return attempt.ask(functools.partial(send, self, **options), request)

    return watched


def _nowhere(resp: requests.Response) -> None:
    """Say that an answer points nowhere: requests looks for that even where it is not to follow."""
    del resp


def _watched_mail(send: Callable[..., _Refused]) -> Callable[..., _Refused]:
    @functools.wraps(send)
    def watched(self: smtplib.SMTP, *args: Any, **kwargs: Any) -> _Refused:
        attempt = attempt_of_this_thread()
        if attempt is None:
            return send(self, *args, **kwargs)
        try:
            refused = send(self, *args, **kwargs)
        except Exception as error:
            attempt.trouble = attempt.why(error)
            raise
        for code, _ in refused.values():
            attempt.trouble = f"SMTP {code}: it refuses a recipient"
        return refused

    return watched


class _Listener(logging.Handler):
    """Hear what apprise says in a thread that sends, and what it has just caught there."""

    def emit(self, record: logging.LogRecord) -> None:
        attempt = attempt_of_this_thread()
        if attempt is None or record.thread != threading.get_ident():
            return
        attempt.said.append(" ".join(record.getMessage().split()))
        caught = sys.exc_info()[1]
        if caught is not None and attempt.trouble is None:
            attempt.trouble = attempt.why(caught)


# --- answers ---

_WORDS: tuple[tuple[tuple[type[BaseException], ...], str | None], ...] = (
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), "the proxy does not connect to it"),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "its host has no address"),
    ((ConnectionRefusedError,), "it refuses the connection"),
    ((ssl.SSLCertVerificationError,), "its certificate is not to be trusted"),
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), None),
    ((ssl.SSLError, requests.exceptions.SSLError), "no TLS connection"),
    (
        (
            ConnectionError,
            EOFError,
            smtplib.SMTPServerDisconnected,
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.ProtocolError,
        ),
        "the connection broke off",
    ),
)
"""By what an error is or came from, the first that fits; None: too late."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and whatever it came from."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(seen) < 30:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def _read(response: requests.Response) -> None:
    """Read an answer, as much as anybody needs."""
    body = bytearray()
    with response:
        for piece in response.iter_content(64 * 1024):
            body += piece
            if len(body) > _MOST_BYTES:
                break
    response._content = bytes(body)  # as requests does where it is not to stream
    response._content_consumed = True  # type: ignore[attr-defined]


def _host_of(request: requests.PreparedRequest) -> tuple[str | None, str | None, int | None]:
    """Return scheme, host and port as the connection is made."""
    there = urllib3.util.parse_url(str(request.url))
    return there.scheme, there.host, there.port or {"http": 80, "https": 443}.get(there.scheme or "")


def _retry_after(response: requests.Response) -> float | None:
    """Return how many seconds an answer asks to wait; None: it does not say."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", asked):
        return float(asked)
    with suppress(ValueError, TypeError, OverflowError):
        return (_moment(asked) - _sent_at(response)).total_seconds()
    return _retry_after_in(_json_of(response))


def _retry_after_in(answer: object) -> float | None:
    """Return what Telegram, Discord and others say in the answer itself."""
    if isinstance(answer, dict):
        for place in (answer, answer.get("parameters")):
            asked = place.get("retry_after") if isinstance(place, dict) else None
            if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
                return float(min(asked, RETRY_AFTER_MOST))
    return None


def _sent_at(response: requests.Response) -> datetime:
    """Return when an answer was sent by the server's clock, by which it also says until when to wait; else ours."""
    with suppress(ValueError, TypeError, OverflowError):
        return _moment(response.headers.get("Date", ""))
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _code_in(response: requests.Response) -> str | None:
    """Return what an answer calls the error, where that is a name and no prose."""
    answer = _json_of(response)
    code = answer.get("error") if isinstance(answer, dict) else response.content[:41].decode("ascii", "replace").strip()
    return code if isinstance(code, str) and len(code) <= 40 and _IS_CODE.fullmatch(code) else None


def _json_of(response: requests.Response) -> object:
    with suppress(ValueError, RecursionError):
        return json.loads(response.content)
    return None
