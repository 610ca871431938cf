"""What a channel's server answered, or why it could not be asked, in our own words. Pure but for reading an answer."""

import json
import os
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3

RETRY_AFTER_MOST = 3600.0
"""Seconds: a channel that asks for more is tried after so long."""

_MOST_BYTES = 1_000_000
"""Bytes of an answer that are read. Answers of channels are short."""

_IS_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")
"""As ``invalid_auth``: what services call an error; no prose."""

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str | None], ...] = (
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), "the proxy does not connect to it"),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "its host has no address"),
    ((ConnectionRefusedError,), "it refuses the connection"),
    ((ssl.SSLCertVerificationError,), "its certificate is not trusted"),
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), None),
    ((ssl.SSLError, requests.exceptions.SSLError), "no TLS connection"),
    ((ConnectionError, EOFError, smtplib.SMTPServerDisconnected), "the connection broke off"),
    ((requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError), "the connection broke off"),
)
"""By what an error is or came from, the first that fits; None: too late."""


def read_body(response: requests.Response) -> None:
    """Read an answer, up to a size that is enough."""
    body = bytearray()
    with response:
        for piece in response.iter_content(64 * 1024):
            body += piece
            if len(body) > _MOST_BYTES:
                break
    response._content = bytes(body)  # as requests does where it is not to stream
    response._content_consumed = True  # type: ignore[attr-defined]


def json_of(response: requests.Response) -> object:
    """Return an answer that is JSON, else None."""
    with suppress(ValueError, RecursionError):
        return json.loads(response.content)
    return None


def code_in(response: requests.Response) -> str | None:
    """Return what an answer calls the error, where that is a name and no prose."""
    answer = json_of(response)
    code = answer.get("error") if isinstance(answer, dict) else response.content[:41].decode("ascii", "replace").strip()
    return code if isinstance(code, str) and len(code) <= 40 and _IS_CODE.fullmatch(code) else None


def host_of(request: requests.PreparedRequest) -> tuple[str | None, str | None, int | None]:
    """Return scheme, host and port as the connection is made."""
    there = urllib3.util.parse_url(str(request.url))
    return there.scheme, there.host, there.port or {"http": 80, "https": 443}.get(there.scheme or "")


def retry_after_of(response: requests.Response) -> float | None:
    """Return how many seconds an answer asks to wait; None: it does not say."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", asked):
        return float(asked)
    with suppress(ValueError, TypeError, OverflowError):
        return (_moment(asked) - _sent_at(response)).total_seconds()
    answer = json_of(response)  # in which Telegram, Discord and others say it
    for place in (answer, answer.get("parameters")) if isinstance(answer, dict) else ():
        told = place.get("retry_after") if isinstance(place, dict) else None
        if isinstance(told, int | float) and not isinstance(told, bool) and told >= 0:
            return float(min(told, RETRY_AFTER_MOST))
    return None


def _sent_at(response: requests.Response) -> datetime:
    """Return when an answer was sent by the server's clock, which also tells until when to wait; else by ours."""
    with suppress(ValueError, TypeError, OverflowError):
        return _moment(response.headers.get("Date", ""))
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def error_reason(error: BaseException, late: str) -> str:
    """Return what went wrong in our words, ``late`` where time ran out; the text of a library may name addresses."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in cause.recipients.values()]
            return f"SMTP {codes[0]}: it refuses a recipient" if codes else "SMTP: it refuses the recipients"
        if isinstance(cause, smtplib.SMTPAuthenticationError):
            return f"SMTP {cause.smtp_code}: it refuses user and password"
        if isinstance(cause, smtplib.SMTPResponseException):
            return f"SMTP {cause.smtp_code}"
    for kinds, words in _REASONS:
        if any(isinstance(cause, kinds) for cause in chain):
            return words or late
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno:
            return f"no connection: {os.strerror(cause.errno)}"
    return f"the request failed ({type(error).__name__})"


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
