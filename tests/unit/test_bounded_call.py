"""What takes too long is ended with the connections it opened; what others opened goes on."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

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


def test_the_calls_of_a_thread_are_made_by_one_other_which_ends_with_it(silent: socket.socket) -> None:
    made: list[threading.Thread] = []

    def calls() -> None:
        for _ in range(3):
            within(5, lambda: made.append(threading.current_thread()), "is asked")
        with pytest.raises(TimeoutError):  # that one is lost to it, and there is another
            within(0.1, lambda: read_of(silent, threading.Event()), "reads")
        within(5, lambda: made.append(threading.current_thread()), "is asked again")

    caller = threading.Thread(target=calls)
    caller.start()
    caller.join(20)
    assert len(made) == 4
    assert made[0] is made[1] is made[2] is not made[3]
    assert threading.get_ident() not in {each.ident for each in made}
    until(lambda: not any(each.is_alive() for each in made), 5, "its threads end")


def test_a_forked_process_has_calls_made_too() -> None:
    assert within(5, lambda: 1, "before") == 1
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        answer = 1
        with suppress(BaseException):
            answer = within(20, lambda: 0, "after")
        os._exit(answer)
    assert os.waitpid(child, 0)[1] == 0
