"""Channels on loopback, for what measures the alarms: what each was sent, when, and what it took."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """What a channel answers."""

    status: int = 200
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class Post:
    """One request that a channel was sent.

    Attributes:
        path: which channel.
        at: the time by the clock of the benchmark, UTC.
        title: the message's.
        lines: those of its text.
        size: how many bytes its body had.
        taken: whether the channel took it.
    """

    path: str
    at: datetime
    title: str
    lines: list[str]
    size: int
    taken: bool


class Hook:
    """A server on loopback while its context lasts; each path is a channel.

    Attributes:
        now: the time by the clock of the benchmark, UTC.
        answers: by path, what is answered at a time; by default 200.
        posts: what was sent, oldest first.
    """

    def __init__(self) -> None:
        """Listen on a free port."""
        self.now = datetime.now(UTC)
        self.answers: dict[str, Callable[[datetime], Answer]] = {}
        self.posts: list[Post] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                how = hook.answers.get(self.path)
                answer = how(hook.now) if how is not None else Answer()
                told = json.loads(body)
                lines = told["message"].splitlines()
                hook.posts.append(
                    Post(self.path, hook.now, told["title"], lines, len(body), 200 <= answer.status < 300)
                )
                self.send_response(answer.status)
                for name, value in {"Content-Length": "0", **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def channel(self, path: str) -> str:
        """Return the apprise URL of a path."""
        return f"json://127.0.0.1:{self._server.server_port}{path}"

    def to(self, path: str) -> list[Post]:
        """Return what was sent to a path."""
        return [post for post in self.posts if post.path == path]

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
