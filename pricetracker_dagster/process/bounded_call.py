"""A blocking call that is given so many seconds: then its connections are shut down, whatever library opened them.

Time-outs of sockets do not do it: they begin anew with each byte, and looking up a name has none at all.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T], name: str) -> T:
    """Return what a function returns, or raise what it raises; wait for it no longer than so many seconds.

    It runs in a thread of its own. When the time is over, the connections that it opened are shut down, which ends the
    thread. The thread is a daemon: one that hangs elsewhere holds up neither the caller nor the end of the process.

    Raises:
        TimeoutError: it is not done by then.
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
        raise TimeoutError
    return answer.result()


class Connections:
    """The connections that one thread opens, which another thread can shut down, below TLS or a mail session too.

    Python's audit events tell of each socket that is about to connect; a duplicate of its descriptor is kept until the
    block ends.
    """

    def __init__(self) -> None:
        """Hold no connection yet."""
        self._lock = threading.Lock()
        self._held: list[int] = []
        self._ended = False

    @contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """Hold the connections that this thread opens while the block lasts."""
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
        """Hold a socket that is about to connect.

        Raises:
            TimeoutError: end() was called already; nothing is sent after that.
        """
        with self._lock:
            if self._ended:
                raise TimeoutError("there is no time left to connect")
            self._held.append(os.dup(connecting.fileno()))

    def end(self) -> None:
        """Shut down every connection, and refuse new ones."""
        with self._lock:
            self._ended = True
            held, self._held = self._held, []
        for descriptor in held:
            with socket.socket(fileno=descriptor) as connection, suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


_this_thread = threading.local()
_listening = threading.Lock()


def _listen_to_connects() -> None:
    """Add the audit hook, once for the process: there is no way to remove one. It costs next to nothing."""
    if _listening.acquire(blocking=False):  # never released: the hook stays
        sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        connections: Connections | None = getattr(_this_thread, "connections", None)
        if connections is not None:
            connections.hold(args[0])
