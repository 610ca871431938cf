"""Stands before the API: what was answered once of a published file is sent again without any other work.

An unchanged answer is a 304 from the identity of the file alone. Whoever asks for what is just being worked out waits
for that; what else is asked meanwhile waits for one of few places. Before a new file takes over, what was asked for
most is worked out from it, so that nobody waits for it.
"""

import asyncio
import gzip
from collections.abc import Callable
from functools import partial

from pricetracker_dagster.web.cache import Headers, Kept, Key
from pricetracker_dagster.web.generations import Generation, Generations
from pricetracker_dagster.web.negotiation import CSV, JSON, kind_of, takes_gzip
from pricetracker_dagster.web.places import Places
from pricetracker_dagster.web.problems import Problem
from pricetracker_dagster.web.working import App, Message, Receive, Scope, Send, ask, whole

ROOT = "/pricetracker/"
FILE = "pricetracker.file"
"""Under this name the scope of a request has the published file that it is answered from."""
COMPRESS = "pricetracker.compress"
"""And whether an answer that is streamed is to be compressed."""

_PREPARED = 32
_LEVEL = 6

_AT_ONCE, _WAITING = 4, 200
"""Answers that are worked out at the same time (each uses all cores, and some memory), and how many may wait."""

_STREAMS = 16
"""Long answers that are sent at the same time."""


class KeptAnswers:
    """An ASGI app before another one."""

    def __init__(self, app: App, paths: frozenset[str], seconds: float = 10.0) -> None:
        """Stand before an app.

        Args:
            app: what works answers out.
            paths: those of it that depend on nothing but the published file.
            seconds: how long a request may wait until it is worked on.
        """
        self._app, self._paths = app, paths
        self._places, self._streams = Places(_AT_ONCE, _WAITING, seconds), 0
        self.generations: Generations | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self._paths or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        generation = None if self.generations is None else self.generations.current
        if generation is None:
            await self._answer(scope, send, self._not_published())
            return
        accept = encoding = known = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                known += value
            elif name == b"accept":
                accept = accept + b"," + value if accept else value
            elif name == b"accept-encoding":
                encoding = encoding + b"," + value if encoding else value
        kind = kind_of(accept)
        if known and generation.tags[kind] in known:
            await self._answer(scope, send, _unchanged(generation, kind))
            return
        key = Key(path, scope["query_string"], kind, takes_gzip(encoding))
        kept = generation.cache.get(key)
        if kept is None:
            with generation:
                kept = await self._worked_out(generation, key, scope, receive, send)
        if kept is not None:  # a star means whatever there is, so there has to be something
            is_known = known == b"*" and kept.status == 200
            await self._answer(scope, send, _unchanged(generation, kind) if is_known else kept)

    async def prepare(self, before: Generation, following: Generation) -> None:
        """Work out from a new file what was asked for most of the one before, until it takes over."""
        for key in before.cache.most_asked(_PREPARED):
            if self.generations is not None and self.generations.current is following:
                return
            await self._worked_out(following, key, _scope_of(key), _gone, _nowhere)

    async def _answer(self, scope: Scope, send: Send, kept: Kept) -> None:
        await send({"type": "http.response.start", "status": kept.status, "headers": kept.headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else kept.body})

    async def _worked_out(
        self, generation: Generation, key: Key, scope: Scope, receive: Receive, send: Send
    ) -> Kept | None:
        """Return what the app answers, or None where it was sent as it came."""
        pending = generation.pending.get(key)
        if pending is not None and (kept := await asyncio.shield(pending)) is not None:
            return kept
        future: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        generation.pending.setdefault(key, future)

        def let_go(kept: Kept | None) -> None:
            """Answer those who wait; None: it is streamed, which each of them has to ask for."""
            if not future.done():
                future.set_result(kept)
            if generation.pending.get(key) is future:
                del generation.pending[key]

        kept = None
        try:
            async with self._places.taken() as give_back:

                def streams() -> None:
                    give_back()
                    let_go(None)

                kept = await self._work_out(generation, key, scope, receive, send, streams)
        except Problem as problem:
            kept = whole(problem)
        finally:
            let_go(kept)
        return kept

    async def _work_out(
        self,
        generation: Generation,
        key: Key,
        scope: Scope,
        receive: Receive,
        send: Send,
        streams: Callable[[], None],
    ) -> Kept | None:
        """Ask the app; keep a whole answer, plain and compressed."""
        streaming = False

        def begins(headers: Headers) -> Headers:
            nonlocal streaming
            if self._streams >= _STREAMS:
                said = f"{self._streams} long answers are being sent already: ask again later, or for a shorter range"
                raise Problem(503, said, headers={"Retry-After": "10"})
            streaming = True
            self._streams += 1
            streams()
            return _with_validators(headers, generation, key)

        plain = generation.cache.peek(key._replace(compressed=False))
        if plain is None:
            inner = {**scope, FILE: generation.file, COMPRESS: key.compressed}
            try:
                found = await ask(self._app, inner, receive, send, begins)
            finally:
                self._streams -= streaming
            if found is None or found.status != 200:
                return found
            plain = Kept(_with_validators(found.headers, generation, key), found.body)
            generation.cache.put(key._replace(compressed=False), plain)
        if not key.compressed:
            return plain
        kept = await _compressed(plain) if len(plain.body) >= 500 else plain
        generation.cache.put(key, kept)
        return kept

    def _not_published(self) -> Kept:
        trouble = self.generations.trouble if self.generations is not None else ""
        said = trouble or "nothing is published yet: run `pricetracker up` or `pricetracker tick` first"
        return whole(Problem(503, said, headers={"Retry-After": "10"}))


async def _compressed(plain: Kept) -> Kept:
    compress = partial(gzip.compress, plain.body, _LEVEL, mtime=0)  # the same bytes whenever it is done
    small = await asyncio.get_running_loop().run_in_executor(None, compress)
    others = [(name, value) for name, value in plain.headers if name != b"content-length"]
    length = str(len(small)).encode()
    return Kept([*others, (b"content-encoding", b"gzip"), (b"content-length", length)], small)


_VALIDATION = [(b"cache-control", b"no-cache"), (b"vary", b"Accept, Accept-Encoding")]


def _unchanged(generation: Generation, kind: str) -> Kept:
    return Kept([(b"etag", generation.etag(kind)), *_VALIDATION], b"", 304)


def _with_validators(headers: Headers, generation: Generation, key: Key) -> Headers:
    return [*headers, (b"etag", generation.etag(key.kind)), *_VALIDATION]


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


async def _gone() -> Message:
    """Be a client that has gone: what turns out too long to be kept is not worked out to its end."""
    return {"type": "http.disconnect"}


async def _nowhere(_: Message) -> None:
    return None
