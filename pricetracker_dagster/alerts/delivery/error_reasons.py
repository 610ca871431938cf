"""Why a channel could not be asked: an error of requests, urllib3, smtplib or the system, in our own words. Pure."""

import os
import smtplib
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str | None], ...] = (
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), "the proxy does not connect to it"),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), "its host has no address"),
    ((ConnectionRefusedError,), "it refuses the connection"),
    ((ssl.SSLCertVerificationError,), "its certificate is not trusted"),
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


def error_reason(error: BaseException, late: str) -> str:
    """Return what went wrong in our words; the text of a library may name addresses and more.

    Args:
        error: what was raised, or led to it.
        late: the reason where time ran out.
    """
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
