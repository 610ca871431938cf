"""A webhook on loopback: what a channel receives, and how it may misbehave."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Posted:
    """One message that was received."""

    path: str
    title: str
    lines: list[str]
    kind: str
    at: float


class Webhook:
    """Answers until its context ends. ``behaviour`` by path: ``ok``, ``500``, ``hang``, ``close`` or ``kill``.

    ``kill`` ends the process that ``victim`` names with SIGKILL once it has sent everything, and only then answers: it
    has sent a message and can note nothing.
    """

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.requested: list[str] = []
        self.behaviour: dict[str, str] = {}
        self.victim: Callable[[], int] | None = None
        self._let_go = threading.Event()
        self._more = threading.Condition()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hook.requested.append(self.path)
                self._answer()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook._take(Posted(self.path, body["title"], body["message"].splitlines(), body["type"], time.time()))
                self._answer()

            def _answer(self) -> None:
                how = hook.behaviour.get(self.path, "ok")
                if how == "hang":
                    hook._let_go.wait(60)
                if how in ("hang", "close"):
                    self.close_connection = True
                    return
                if how == "kill":
                    assert hook.victim
                    os.kill(hook.victim(), signal.SIGKILL)
                self.send_response(500 if how == "500" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def channel(self, path: str = "/") -> str:
        """Return the apprise URL of a path."""
        return f"json://{self.address}{path}"

    def to(self, path: str) -> list[Posted]:
        """Return what was received at a path."""
        return [posted for posted in list(self.posted) if posted.path == path]

    def _take(self, posted: Posted) -> None:
        with self._more:
            self.posted.append(posted)
            self._more.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
