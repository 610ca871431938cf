"""What apprise asks and is answered, seen in threads that send, and nowhere else.

apprise asks through requests and smtplib, and writes what went wrong to a log that all threads share. These are
wrapped here, once a process: in a thread that sends for an attempt they go through it; others are served as ever.
"""

import functools
import logging
import smtplib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import requests
import urllib3

from pricetracker_dagster.alerts.delivery.attempt import Attempt
from pricetracker_dagster.process.guard import apprise_log

_Refused = dict[str, tuple[int, bytes]]

_PAUSE_MOST = 1.0
"""Seconds between two requests of one attempt, where apprise would wait 5.5."""

_this_thread = threading.local()

_installed = threading.Lock()


@contextmanager
def sending(attempt: Attempt) -> Iterator[None]:
    """Make this thread one that sends for an attempt, while the block lasts."""
    _install()
    _this_thread.attempt = attempt
    try:
        with attempt.connections.of_this_thread():
            yield
    finally:
        _this_thread.attempt = None


def attempt_of_this_thread() -> Attempt | None:
    """Return the attempt for which this thread sends; None: it is another thread."""
    found: Attempt | None = getattr(_this_thread, "attempt", None)
    return found


def take_over_pauses(service: Any, attempt: Attempt) -> None:
    """Have a channel of apprise wait as the attempt allows: no longer than it lasts, not before the first request."""
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


def _install() -> None:
    """See what threads that send ask and are answered, from now on. All others are served as ever."""
    if not _installed.acquire(blocking=False):  # never released: once is enough
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
        # requests looks where an answer points even where it is not to follow
        vars(self)["get_redirect_target"] = lambda _: None
        for name in ("timeout", "stream", "allow_redirects"):
            options.pop(name, None)
        return attempt.ask(functools.partial(send, self, **options), request)

    return watched


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
    """Note what apprise logs in a thread that sends, and what it has just caught there."""

    def emit(self, record: logging.LogRecord) -> None:
        attempt = attempt_of_this_thread()
        if attempt is None or record.thread != threading.get_ident():
            return
        attempt.log.append(" ".join(record.getMessage().split()))
        caught = sys.exc_info()[1]
        if caught is not None and attempt.trouble is None:
            attempt.trouble = attempt.why(caught)
