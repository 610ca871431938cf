"""What clients may do to a connection of the real server: be slow, loud, stuck, odd; and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

HERE = b"Host: 127.0.0.1\r\n"


@dataclass
class Served:
    """A server process."""

    process: subprocess.Popen[str]
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, sent: bytes) -> bytes:
        """Send bytes, and return all that comes until the server closes."""
        with self.connect() as connection:
            connection.sendall(sent)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    got = b""
    while part := connection.recv(65536):
        got += part
    return got


def start() -> Served:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.served"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    return Served(process, int(process.stdout.readline().rpartition(":")[2]))


def end(served: Served) -> str:
    served.process.kill()
    assert served.process.stdout is not None
    with closing(served.process.stdout) as output:
        said = output.read()
    served.process.wait()
    return said


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = start()
    yield served
    said = end(served)
    assert said.count("Traceback") == said.count("RuntimeError: a mistake of ours") == 1
    assert "Invalid HTTP request" not in said


def is_refused(answer: bytes, status: int, said: str) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    assert fields["content-type"] == "application/problem+json"
    assert fields["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in fields["content-security-policy"]
    assert "server" not in fields
    assert b"uvicorn" not in answer.lower()
    told = json.loads(body)
    assert told["status"] == status
    return said in told["detail"]


def test_a_request_is_answered_and_the_connection_stays(served: Served) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\n" + HERE + b"\r\n")
            answer = b""
            while not answer.endswith(b"inside"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"inside")
            assert b"\r\nserver:" not in answer.lower()


def test_requests_that_are_sent_at_once_are_answered_in_their_order(served: Served) -> None:
    one = b"GET / HTTP/1.1\r\n" + HERE + b"X-Filler: " + b"x" * 1000 + b"\r\n"
    assert served.ask((one + b"\r\n") * 49 + one + b"Connection: close\r\n\r\n").count(b"inside") == 50


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HERE + b"\r\n", 414, "more than 8192"),
        (b"GET / HTTP/1.1\r\n" + HERE + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431, "more than 16384"),
        (b"GET / HTTP/1.1\r\n" + HERE + b"X: y\r\n" * 20_000 + b"\r\n", 431, "more than 16384"),
        (b"GET / HTTP/1.1\r\n" + HERE + b"X: " + b"a" * 2_000_000, 431, "more than 16384"),
        (b"GET /" + b"a" * 2_000_000, 431, "more than 16384"),
        (b"POST / HTTP/1.1\r\n" + HERE + b"Content-Length: 5000\r\n\r\n", 413, "more than 4096"),
        (b"POST / HTTP/1.1\r\n" + HERE + b"Content-Length: 99999999999999999999\r\n\r\n", 400, "no HTTP request"),
        (b"POST / HTTP/1.1\r\n" + HERE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 413, "unknown"),
        (b"POST / HTTP/1.1\r\n" + HERE + b"Content-Length: -1\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n" + HERE + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "no HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n" + HERE + b"A b: c\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/9.9\r\n" + HERE + b"\r\n", 400, "no HTTP request"),
        (b"GET \xff\xfe HTTP/1.1\r\n" + HERE + b"\r\n", 400, "no HTTP request"),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HERE + b"\r\n", 400, "no HTTP request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no HTTP request"),
        (b"GET / HTTP/1.1\r\n\r\n", 421, "not called so"),
    ],
    ids=range(17),
)
def test_what_is_too_large_or_no_request_is_refused_in_one_form(
    served: Served, sent: bytes, status: int, said: str
) -> None:
    with served.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert is_refused(everything(connection), status, said)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\n" + HERE,
        b"POST /reads HTTP/1.1\r\n" + HERE + b"Content-Length: 100\r\n\r\nab",
    ],
)
def test_a_client_that_does_not_finish_its_request_is_ended(served: Served, sent: bytes) -> None:
    began = time.monotonic()
    answers = served.ask(sent)
    assert is_refused(answers[answers.rindex(b"HTTP/1.1") :], 408, "within 1 s")
    assert 0.5 < time.monotonic() - began < 5


def test_a_client_that_drips_is_ended_as_well(served: Served) -> None:
    with served.connect() as connection:
        connection.settimeout(0.2)
        began = time.monotonic()
        got = b""
        connection.sendall(b"GET / HTTP/1.1\r\nX:")
        while not got:
            connection.sendall(b"x")
            try:
                got = connection.recv(1000)
            except TimeoutError:
                assert time.monotonic() - began < 6
        assert is_refused(got, 408, "within 1 s")


def test_a_client_that_takes_nothing_of_its_answer_is_ended_and_a_slow_one_is_not(served: Served) -> None:
    with served.connect() as idle, served.connect() as slow:
        for connection in (idle, slow):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.sendall(b"GET /large HTTP/1.1\r\n" + HERE + b"Connection: close\r\n\r\n")
        began, taken = time.monotonic(), 0
        while time.monotonic() - began < 6:  # three times as long as one that stalls is borne
            taken += len(slow.recv(200_000))
            time.sleep(0.05)
        while part := slow.recv(1_000_000):
            taken += len(part)
        assert taken > 64_000_000
        assert len(everything(idle)) < 30_000_000


def test_more_connections_than_it_bears_are_told_to_try_again(served: Served) -> None:
    ask = b"GET / HTTP/1.1\r\n" + HERE + b"Connection: close\r\n\r\n"
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(served.connect()).sendall(b"GET /stuck HTTP/1.1\r\n" + HERE + b"\r\n")
        assert is_refused(served.ask(ask), 503, "try again")
    deadline = time.monotonic() + 10
    while not served.ask(ask).endswith(b"inside"):
        assert time.monotonic() < deadline


def test_a_mistake_of_ours_is_a_problem_of_that_request_alone(served: Served) -> None:
    assert is_refused(served.ask(b"GET /fails HTTP/1.1\r\n" + HERE + b"\r\n"), 500, "a mistake of pricetracker")
    assert served.ask(b"GET / HTTP/1.0\r\n" + HERE + b"\r\n").endswith(b"inside")


def test_a_web_socket_is_not_spoken(served: Served) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + HERE + upgrade + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_seconds_whatever_is_being_answered(number: signal.Signals) -> None:
    served = start()
    try:
        with served.connect() as streaming, served.connect() as stuck, served.connect() as idle:
            streaming.sendall(b"GET /drip HTTP/1.1\r\n" + HERE + b"\r\n")
            stuck.sendall(b"GET /stuck HTTP/1.1\r\n" + HERE + b"\r\n")
            assert b"drop" in streaming.recv(1000) + streaming.recv(1000)
            began = time.monotonic()
            served.process.send_signal(number)
            assert idle.recv(10) == b""
            assert served.process.wait(10) == 0
            assert time.monotonic() - began < 4
            assert b"0\r\n\r\n" not in everything(streaming)  # it is cut, and does not pass for whole
            assert is_refused(everything(stuck), 503, "being stopped")
    finally:
        said = end(served)
    assert "Traceback" not in said
