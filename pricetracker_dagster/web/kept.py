"""Stands before the API: what was answered once of a published file is sent again without any other work.

An unchanged answer is a 304 from the identity of the file alone. Whoever asks for what is just being worked out waits
for that. Before a new file takes over, what was asked for most is worked out from it, so that nobody waits for it.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from pricetracker_dagster.web.answers import CSV, JSON, kind_of
from pricetracker_dagster.web.cache import Kept, Key
from pricetracker_dagster.web.generations import Generation, Generations
from pricetracker_dagster.web.problems import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ROOT = "/pricetracker/"
FILE = "pricetracker.file"
"""Under this name the scope of a request has the published file that it is answered from."""
COMPRESS = "pricetracker.compress"
"""And whether an answer that is streamed is to be compressed."""

_PREPARED = 32
_LEVEL = 6


class KeptAnswers:
    """An ASGI app before another one."""

    def __init__(self, app: App, paths: frozenset[str], count: Callable[[str, int], None]) -> None:
        """Stand before an app.

        Args:
            app: what works answers out.
            paths: those of it that depend on nothing but the published file.
            count: is told path and status of each answer that is given here.
        """
        self._app, self._paths, self._count = app, paths, count
        self.generations: Generations | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self._paths or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        generation = None if self.generations is None else self.generations.current
        if generation is None:
            await self._not_published()(scope, receive, send)
            self._count(path, 503)
            return
        accept = encoding = known = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                known += value
            elif name == b"accept":
                accept = value
            elif name == b"accept-encoding":
                encoding = value
        if known and generation.etag in known:
            await _send(send, 304, [(b"etag", generation.etag), *_VALIDATION], b"", head=True)
            self._count(path, 304)
            return
        key = Key(path, scope["query_string"], kind_of(accept), _takes_gzip(encoding))
        kept = generation.cache.get(key)
        if kept is None:
            with generation:
                kept = await self._worked_out(generation, key, scope, receive, send)
        if kept is not None:
            await _send(send, 200, kept.headers, kept.body, head=scope["method"] == "HEAD")
            self._count(path, 200)

    async def prepare(self, before: Generation, following: Generation) -> None:
        """Work out from a new file what was asked for most of the one before."""
        for key in before.cache.most_asked(_PREPARED):
            await self._work_out(following, key, _scope_of(key), _nothing_received, _nowhere)

    async def _worked_out(
        self, generation: Generation, key: Key, scope: Scope, receive: Receive, send: Send
    ) -> Kept | None:
        """Return what the app answers, or None where it was sent as it came."""
        pending = generation.pending.get(key)
        if pending is not None:
            kept = await asyncio.shield(pending)
            if kept is not None:
                return kept
            return await self._work_out(generation, key, scope, receive, send)
        future: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        generation.pending[key] = future
        try:
            kept = await self._work_out(generation, key, scope, receive, send)
            future.set_result(kept)
            return kept
        finally:
            del generation.pending[key]
            if not future.done():
                future.set_result(None)

    async def _work_out(
        self, generation: Generation, key: Key, scope: Scope, receive: Receive, send: Send
    ) -> Kept | None:
        """Ask the app; keep a whole answer, plain and compressed, and pass on what is streamed or wrong."""
        start: Message = {}
        parts: list[bytes] = []
        passed = False

        async def caught(message: Message) -> None:
            nonlocal passed
            if message["type"] == "http.response.start":
                start.update(message)
                names = {name for name, _ in message["headers"]}
                passed = message["status"] != 200 or b"content-length" not in names
                if passed:
                    if message["status"] == 200:
                        message = {**message, "headers": _with_validators(message["headers"], generation)}
                    self._count(key.path, message["status"])
                    await send(message)
            elif passed:
                await send({**message, "body": b""} if scope["method"] == "HEAD" else message)
            else:
                parts.append(message.get("body", b""))

        inner = {**scope, "method": "GET", FILE: generation.file, COMPRESS: key.compressed}
        await self._app(inner, receive, caught)
        if passed or not start:
            return None
        body = b"".join(parts)
        headers = _with_validators(start["headers"], generation)
        plain = Kept(headers, body)
        generation.cache.put(key._replace(compressed=False), plain)
        if not key.compressed or len(body) < 500:
            generation.cache.put(key, plain)
            return plain
        small = await asyncio.get_running_loop().run_in_executor(None, gzip.compress, body, _LEVEL)
        others = [(name, value) for name, value in headers if name != b"content-length"]
        length = str(len(small)).encode()
        compressed = Kept([*others, (b"content-encoding", b"gzip"), (b"content-length", length)], small)
        generation.cache.put(key, compressed)
        return compressed

    def _not_published(self) -> Any:
        trouble = self.generations.trouble if self.generations is not None else ""
        said = trouble or "nothing is published yet: run `pricetracker up` or `pricetracker tick` first"
        return Problem(503, said, headers={"Retry-After": "10"}).response()


_VALIDATION = [(b"cache-control", b"no-cache"), (b"vary", b"Accept, Accept-Encoding")]


def _with_validators(headers: list[tuple[bytes, bytes]], generation: Generation) -> list[tuple[bytes, bytes]]:
    return [*headers, (b"etag", generation.etag), *_VALIDATION]


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, head: bool) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


@lru_cache(maxsize=256)
def _takes_gzip(encoding: bytes) -> bool:
    """Say whether a client takes gzip: named, or everything is, and not with a weight of 0."""
    weights = {}
    for each in encoding.decode("latin-1").lower().split(","):
        name, _, parameter = each.partition(";")
        weight = parameter.partition("q=")[2].strip()
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            weights[name.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _scope_of(key: Key) -> Scope:
    """Return a request for what a key names, made by nobody."""
    accept = {JSON: b"application/json", CSV: b"text/csv"}.get(key.kind, key.kind.encode())
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": key.path,
        "raw_path": key.path.encode(),
        "root_path": "",
        "query_string": key.query,
        "headers": [(b"accept", accept)],
        "client": None,
        "server": None,
    }


async def _nothing_received() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(_: Message) -> None:
    return None
