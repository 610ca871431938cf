"""What a channel's server answered over HTTP: read in part, and how long it asks to wait. Pure."""

import json
import re
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


def read_body(response: requests.Response) -> None:
    """Read an answer, as much as anybody needs."""
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
    return _retry_after_in(json_of(response))


def _retry_after_in(answer: object) -> float | None:
    """Return what Telegram, Discord and others say in the answer itself."""
    if isinstance(answer, dict):
        for place in (answer, answer.get("parameters")):
            asked = place.get("retry_after") if isinstance(place, dict) else None
            if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
                return float(min(asked, RETRY_AFTER_MOST))
    return None


def _sent_at(response: requests.Response) -> datetime:
    """Return when an answer was sent by the server's clock, which also tells until when to wait; else by ours."""
    with suppress(ValueError, TypeError, OverflowError):
        return _moment(response.headers.get("Date", ""))
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
