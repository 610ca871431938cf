"""One client's connection: uvicorn's, with the limits that it lacks. A client that is slow, stuck or loud is ended.

What is refused here has not become a request yet, so no application sees it; it is answered in the same form.
"""

import asyncio
import math
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pricetracker_dagster.web.headers import SECURITY, Headers
from pricetracker_dagster.web.problems import problem
from pricetracker_dagster.web.sign_in import MOST_BYTES

MOST_CONNECTIONS = 800
"""Connections of one process; what is asked on more is answered by 503. A process may open 1,024 files by default."""

REQUEST_SECONDS = 10.0
"""How long a client may take for one request, from its first byte to its last."""

IDLE_SECONDS = 15
"""How long a connection is kept on which nothing is asked."""

STALLED_SECONDS = 30.0
"""How long a client may take nothing of an answer that it was given."""

_LONGEST_URL, _LARGEST_HEAD = 8_192, 16_384

_BUSY = Headers(problem(503, f"more than {MOST_CONNECTIONS} connections: try again", headers={"Retry-After": "1"}))


class Refused(Exception):
    """A request that is not read any further."""

    def __init__(self, status: int, why: str) -> None:
        """Keep the status and the reason."""
        super().__init__(why)
        self.status = status


class Connection(HttpToolsProtocol):
    """A connection; end_if_late() is to be called about each second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with nothing read."""
        super().__init__(*args, **kwargs)
        self._served = self.app
        self._refusal: Refused | None = None
        self._reads_head = False
        self._head_bytes = 0
        self._due = math.inf
        self._unsent, self._moved = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn narrows it
        self._moved = self.loop.time()
        self._due = self._moved + REQUEST_SECONDS

    def data_received(self, data: bytes) -> None:
        """Read on, up to the largest head."""
        if self._refusal is not None:  # it is answered; what still comes is of no interest
            return
        before = self.headers
        super().data_received(data)
        if not self._reads_head or self._refusal is not None:
            return
        self._head_bytes = self._head_bytes + len(data) if self.headers is before else 0
        if self._head_bytes > _LONGEST_URL + _LARGEST_HEAD:
            self._refuse(Refused(431, f"the head of the request has more than {_LARGEST_HEAD} bytes"))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._reads_head = True
        self._due = self.loop.time() + REQUEST_SECONDS

    def on_headers_complete(self) -> None:
        """Have it answered, unless it is too large."""
        self._reads_head = False
        self._refusal = _too_large(self.url, self.headers)
        if self._refusal is not None:
            raise self._refusal  # the parser reads no further; uvicorn calls send_400_response() then
        self.app = self._served if len(self.connections) <= MOST_CONNECTIONS else _BUSY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the client no longer."""
        self._due = math.inf
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        if not self.pipeline:
            self._due = self.loop.time() + IDLE_SECONDS + REQUEST_SECONDS
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that the client has taken something."""
        self._moved = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read."""
        del msg  # uvicorn's own words
        self._refuse(self._refusal or Refused(400, "this is no HTTP request"))

    def end_if_late(self, now: float) -> None:
        """End the connection where the client has not sent its request, or not taken its answer, in time."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._moved = now
        self._unsent = unsent
        if now - self._moved > STALLED_SECONDS or (now > self._due and self._refusal is not None):
            self.transport.abort()
        elif now > self._due and not self.transport.is_closing():
            self._refuse(Refused(408, f"the request was not complete within {REQUEST_SECONDS:.0f} s"))

    def _refuse(self, refusal: Refused) -> None:
        """Answer, then read until the client has closed: to close first may take the answer from it."""
        self._refusal = refusal
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:  # in the middle of another answer
                self.transport.abort()
                return
            self.cycle.disconnected = True  # what reads the body is to wait no longer, and to answer nothing
            self.cycle.message_event.set()
        self._due = self.loop.time() + 2.0
        self.transport.write(_written(refusal))
        self.transport.write_eof()


def _too_large(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Refused | None:
    """Return why a request is refused by its head."""
    if len(url) > _LONGEST_URL:
        return Refused(414, f"the address has more than {_LONGEST_URL} bytes")
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"transfer-encoding" or (name == b"content-length" and not _is_small(value)):
            return Refused(413, f"no body of more than {MOST_BYTES} bytes, or of unknown length, is read")
    return Refused(431, f"the headers have more than {_LARGEST_HEAD} bytes") if size > _LARGEST_HEAD else None


def _is_small(length: bytes) -> bool:
    return length.isdigit() and len(length) < 9 and int(length) <= MOST_BYTES


def _written(refusal: Refused) -> bytes:
    """Return an answer as it is sent."""
    answer = problem(refusal.status, str(refusal))
    headers = [*answer.raw_headers, *SECURITY, (b"connection", b"close")]
    head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    return b"".join([STATUS_LINE[refusal.status], head, b"\r\n", bytes(answer.body)])
