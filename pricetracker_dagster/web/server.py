"""The server process: uvicorn with an application, on a socket that listens already, until a signal ends it.

Where it listens and how many processes answer is decided elsewhere (local/serving.py).
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from pricetracker_dagster.web.connection import IDLE_SECONDS, Connection

STOP_SECONDS = 2
"""How long answers that are being sent may take after the end is asked for: `up` kills a part after three seconds."""

_END_SECONDS = 5.0
"""After so many seconds the process ends whatever it is at: a thread that asks the engine may not heed anything."""


def serve(app: ASGIApp, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Answer requests on a socket until SIGINT or SIGTERM.

    Args:
        app: the application.
        listening: the socket; other processes may answer on it, too.
        ready: called once requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="uvloop",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        log_level=logging.ERROR,  # an odd request is no matter of the log, a mistake of ours is
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_end)
    _Server(config, ready).run([listening])


def _is_no_end(record: logging.LogRecord) -> bool:
    """Say whether a line of the log is more than that an answer was cut when the end was asked for."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Server(uvicorn.Server):
    """uvicorn's server, which also ends slow clients, and whose process ends well by a signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # each second
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.end_if_late(now)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop by a signal, but do not raise it again once all is done, as uvicorn does: it was heeded."""

        def stop(*_: object) -> None:
            if not self.should_exit:
                self.should_exit = True
                end = threading.Timer(_END_SECONDS, os._exit, (0,))
                end.daemon = True
                end.start()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
