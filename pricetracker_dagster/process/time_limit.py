"""An end for what is stuck, where nothing else can end it."""

import faulthandler
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from pricetracker_dagster.files.locks import DeadlineExceeded

T = TypeVar("T")


@contextmanager
def time_limit(limit: timedelta) -> Iterator[None]:
    """End the process if the block takes longer, with a trace of every thread on stderr.

    It works where a time-out cannot: in a library that holds the interpreter's lock. Dagster sees the process gone and
    marks the run failed; the store survives it, as it survives a SIGKILL.
    """
    faulthandler.dump_traceback_later(limit.total_seconds(), exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def within(seconds: float, ask: Callable[[], T], name: str) -> T:
    """Return what a function returns, or raise what it raises; it is waited for no longer than so many seconds.

    It is done in a thread of its own: time-outs of sockets begin anew with each byte, and looking up a name has none at
    all. Then the connections that it opened are ended, and with them the thread. Daemon, so that one which hangs
    elsewhere holds up neither the caller nor the end of the process.

    Raises:
        DeadlineExceeded: it is not done by then.
    """
    answer: Future[T] = Future()
    connections = Connections()

    def do() -> None:
        with connections.of_this_thread():
            try:
                answer.set_result(ask())
            except BaseException as error:
                answer.set_exception(error)

    threading.Thread(target=do, daemon=True, name=name).start()
    if not wait([answer], seconds).done:
        connections.end()
        raise DeadlineExceeded
    return answer.result()


class Connections:
    """The connections that one thread opens, which another can end, whatever library opened them.

    A thread that reads cannot be ended from without, but what it reads from can: it is shut down, under TLS or a mail
    session too. Python tells of each socket that is about to connect, with its own means of auditing; of each another
    descriptor is kept meanwhile.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = threading.Lock()
        self._held: list[int] = []
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether end() was called."""
        return self._ended

    @contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """Hold what this thread connects while the block lasts."""
        _listen_to_connects()
        before = getattr(_this_thread, "connections", None)
        _this_thread.connections = self
        try:
            yield
        finally:
            _this_thread.connections = before
            with self._lock:
                held, self._held = self._held, []
            for descriptor in held:
                os.close(descriptor)

    def hold(self, connecting: socket.socket) -> None:
        """Keep a socket that is about to connect.

        Raises:
            TimeoutError: this was ended already; nothing is sent after the end.
        """
        with self._lock:
            if self._ended:
                raise TimeoutError("there is no time left to connect")
            self._held.append(os.dup(connecting.fileno()))

    def end(self) -> None:
        """End everything that was opened, and let nothing be opened any more."""
        with self._lock:
            self._ended = True
            held, self._held = self._held, []
        for descriptor in held:
            with socket.socket(fileno=descriptor) as connection, suppress(OSError):  # ended already
                connection.shutdown(socket.SHUT_RDWR)


_this_thread = threading.local()
_listening = threading.Lock()


def _listen_to_connects() -> None:
    """Hear of each connection from now on. There is no way to stop, so it is done once; it costs next to nothing."""
    if _listening.acquire(blocking=False):  # never released: it listens for good
        sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        connections: Connections | None = getattr(_this_thread, "connections", None)
        if connections is not None:
            connections.hold(args[0])
