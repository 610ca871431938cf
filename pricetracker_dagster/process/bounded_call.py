"""A blocking call that is given so many seconds: then its connections are shut down, whatever library opened them.

Time-outs of sockets do not do it: they begin anew with each byte, and looking up a name has none at all.
"""

import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T], name: str) -> T:
    """Return what a function returns, or raise what it raises; wait for it no longer than so many seconds.

    It runs in another thread. When the time is over, the connections that it opened are shut down, which ends it. That
    thread is a daemon: one that hangs elsewhere holds up neither the caller nor the end of the process.

    Raises:
        TimeoutError: it is not done by then.
    """
    helper: _Helper | None = getattr(_this_thread, "helper", None)
    if helper is None or helper.process != os.getpid():  # a fork has the object and not its thread
        helper = _this_thread.helper = _Helper()
    connections = Connections()
    answered = queue.SimpleQueue[Callable[[], T]]()

    def do() -> None:
        threading.current_thread().name = name
        with connections.of_this_thread():
            try:
                answer = ask()
            except BaseException as error:
                answered.put(partial(_raised, error))
            else:
                answered.put(lambda: answer)

    helper.calls.put(do)
    try:
        answer = answered.get(timeout=max(0.0, seconds))
    except queue.Empty:
        _this_thread.helper = None
        helper.calls.put(None)  # it ends once this call does
        connections.end()
        raise TimeoutError from None
    return answer()


def _raised(error: BaseException) -> NoReturn:
    raise error


class _Helper:
    """A thread that makes the calls of another, one after the other: to start one for each takes 0.3 ms of CPU."""

    def __init__(self) -> None:
        """Start it. It ends when nobody has this object any more."""
        self.process = os.getpid()
        self.calls = queue.SimpleQueue[Callable[[], None] | None]()
        threading.Thread(target=_make, args=(self.calls,), daemon=True).start()

    def __del__(self) -> None:
        self.calls.put(None)


def _make(calls: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # with what it holds
        threading.current_thread().name = "waits for a call"


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
