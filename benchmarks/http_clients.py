"""Many clients on loopback who ask one server as fast as it answers: what it takes them, and what they were answered.

Each connection has one request under way. An answer is compared byte by byte with what the same request was answered
before of the same published file, so each of them is looked at; those that differ are kept for who judges them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import uvloop


class Seen(NamedTuple):
    """An answer: to which request (its place), of which entity tag, and its body as it was sent."""

    request: int
    tag: bytes
    body: bytes


@dataclass
class Answered:
    """What clients were answered.

    Attributes:
        seconds: how long each answer took, from the first byte of the request to the last one of the answer.
        statuses: how many answers had which status; 0: the connection was ended.
        seen: answers of status 200 and known length by request and entity tag, each once.
        lasted: how long all of it took, in seconds.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seen: dict[tuple[int, bytes], list[Seen]] = field(default_factory=dict)
    lasted: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.lasted

    @property
    def errors(self) -> int:
        """How many answers were neither 200 nor 304."""
        return self.statuses.total() - self.statuses[200] - self.statuses[304]

    def percentile(self, percent: float) -> float:
        """Return how many milliseconds that share of the answers took at most."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000

    def __str__(self) -> str:
        """Say it in a line."""
        said = f"{self.rate:7,.0f} a second, p50 {self.percentile(50):.1f} ms, p99 {self.percentile(99):.1f} ms"
        return f"{said}, {len(self.seconds):,} answers, {self.errors} errors"


def ask(
    port: int, paths: Sequence[str], *, connections: int, seconds: float = 1e9, requests: float = 1e18, known: int = 0
) -> Answered:
    """Ask a server on 127.0.0.1 for some paths in turn, compressed, until time or requests are over.

    Args:
        port: where it listens.
        paths: what is asked for.
        connections: how many clients there are.
        seconds: how long they ask.
        requests: how many requests they send together.
        known: each so many requests one asks with the newest entity tag it was given (If-None-Match); 0: none does.
    """
    answered = Answered()
    uvloop.run(_ask(answered, port, paths, connections, time.perf_counter() + seconds, requests, known))
    return answered


async def _ask(
    answered: Answered, port: int, paths: Sequence[str], connections: int, until: float, requests: float, known: int
) -> None:
    loop = asyncio.get_running_loop()
    heads = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\n".encode() for path in paths]
    shared = _Shared(answered, heads, until, requests, known)
    began = time.perf_counter()
    clients = [_Client(shared, number) for number in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.over for client in clients))
    answered.lasted = time.perf_counter() - began


@dataclass
class _Shared:
    answered: Answered
    heads: list[bytes]
    until: float
    left: float
    known: int
    sent: int = 0


class _Client(asyncio.Protocol):
    def __init__(self, shared: _Shared, number: int) -> None:
        self._shared, self._next = shared, number
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tags: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        shared = self._shared
        if shared.left <= 0 or time.perf_counter() > shared.until:
            self.over.set_result(None)
            self._transport.close()
            return
        shared.left -= 1
        shared.sent += 1
        self._request = self._next % len(shared.heads)
        self._next += 1
        self._parts: list[bytes] = []
        self._needs = -1
        request = shared.heads[self._request]
        if shared.known and shared.sent % shared.known == 0 and (tag := self._tags.get(self._request)):
            request += b"If-None-Match: " + tag + b"\r\n"
        self._at = time.perf_counter()
        self._transport.write(request + b"\r\n")

    def data_received(self, data: bytes) -> None:
        if self._needs < 0:
            data = b"".join([*self._parts, data])
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._parts = [head]
                return
            self._parts, self._status = [], int(head[9:12])
            head = head.lower()
            self._chunked = b"\r\ntransfer-encoding: chunked" in head
            self._needs = 1 if self._chunked else int(_value(head, b"\r\ncontent-length: ") or 0)
            self._tag = _value(head, b"\r\netag: ")
        self._parts.append(data)
        if self._chunked:
            if b"".join(self._parts[-2:]).endswith(b"\r\n0\r\n\r\n"):
                self._done()
            return
        self._needs -= len(data)
        if self._needs <= 0:
            self._done()

    def _done(self) -> None:
        answered = self._shared.answered
        answered.seconds.append(time.perf_counter() - self._at)
        answered.statuses[self._status] += 1
        if self._status == 200 and not self._chunked:
            tag = self._tags[self._request] = b"W" + self._tag[1:]
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            same = answered.seen.setdefault((self._request, tag), [])
            if not any(body == each.body for each in same):
                same.append(Seen(self._request, tag, body))
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.over.done():
            self._shared.answered.statuses[0] += 1
            self.over.set_result(None)


def _value(head: bytes, name: bytes) -> bytes:
    _, found, rest = head.partition(name)
    return rest.partition(b"\r\n")[0] if found else b""
