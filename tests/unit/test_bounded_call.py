"""What takes too long is ended with the connections it opened; what others opened goes on."""

import socket
import threading
from collections.abc import Iterator

import pytest

from pricetracker_dagster.process.bounded_call import Connections, within
from tests.waiting import until


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def read_of(server: socket.socket, ended: threading.Event) -> bytes:
    with socket.create_connection(server.getsockname()) as connection:
        try:
            return connection.recv(1)  # no time-out of its own
        finally:
            ended.set()


def test_what_reads_for_ever_ends_with_the_time(silent: socket.socket) -> None:
    ended = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.1, lambda: read_of(silent, ended), "reads")
    assert ended.wait(5)
    until(lambda: not any(each.name == "reads" for each in threading.enumerate()), 5, "the thread ends")


def test_what_others_opened_goes_on(silent: socket.socket) -> None:
    with socket.create_connection(silent.getsockname()) as mine:
        with pytest.raises(TimeoutError):
            within(0.1, lambda: read_of(silent, threading.Event()), "reads")
        there, _ = silent.accept()
        with there:
            there.sendall(b"x")
            assert mine.recv(1) == b"x"


def test_what_is_done_in_time_leaves_its_connection_open(silent: socket.socket) -> None:
    with within(5, lambda: socket.create_connection(silent.getsockname()), "connects") as connection:
        there, _ = silent.accept()
        with there:
            there.sendall(b"x")
            assert connection.recv(1) == b"x"
        assert connection.recv(1) == b""  # no other descriptor holds it open


def test_after_the_end_nothing_is_opened(silent: socket.socket) -> None:
    connections = Connections()
    with connections.of_this_thread():
        connections.end()
        with pytest.raises(TimeoutError):
            socket.create_connection(silent.getsockname())
    socket.create_connection(silent.getsockname()).close()


def test_what_is_raised_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0, "fails")
