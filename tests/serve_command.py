"""``pricetracker serve`` in a process of its own, and how it is asked: with care, or byte by byte."""

import contextlib
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.commands import COMMAND
from tests.waiting import until


class Answer(NamedTuple):
    """What was answered; of headers, names in any case."""

    status: int
    headers: Any
    body: bytes


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
    """Ask, and return whatever is answered, a redirection too."""
    request = urllib.request.Request(url, body, dict(headers or {}))  # noqa: S310
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Served:
    """A server that runs, and what it has printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """Start it, and wait until it says where it listens."""
        self._output = folder / f"serve-{len(list(folder.glob('serve-*')))}.txt"
        with self._output.open("w") as output:
            command = [*COMMAND, "serve", *arguments]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
        self.url = until(self._printed, 60, "it says where it listens")
        self.port = int(self.url.rpartition(":")[2])

    def _printed(self) -> str | None:
        assert self.process.poll() is None, self.said()
        found = re.search(r"^prices    (http://\S+)$", self.said(), re.MULTILINE)
        return found[1] if found else None

    def said(self) -> str:
        """Return all that it has printed."""
        return self._output.read_text()

    def workers(self) -> set[int]:
        """Return the numbers of the processes that it has started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(child) for child in children}

    def answers(self) -> bool:
        """Say whether it answers from a published file."""
        with contextlib.suppress(OSError):
            return ask(f"{self.url}/pricetracker/metrics").status == 200
        return False

    @contextlib.contextmanager
    def wire(self) -> Iterator["Wire"]:
        """A connection on which any bytes can be sent."""
        wire = Wire(self.port)
        try:
            yield wire
        finally:
            wire.close()


class Wire:
    """Requests as bytes on a connection, which is opened anew where the server has closed it."""

    def __init__(self, port: int) -> None:
        """Connect when the first request is sent."""
        self._port = port
        self._connection: socket.socket | None = None
        self._got = b""

    def send(self, request: bytes) -> Answer:
        """Send a request, and read one answer; names of headers are in lower case."""
        if self._connection is None:
            self._connection, self._got = socket.create_connection(("127.0.0.1", self._port), timeout=30), b""
        self._connection.sendall(request)
        while b"\r\n\r\n" not in self._got:
            self._read()
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        status = int(first.split()[1])
        empty = request.startswith(b"HEAD ") or status in (204, 304)
        body = b"" if empty else self._body(headers)
        if headers.get("connection") == "close" or "content-length" not in headers:
            self.close()
        return Answer(status, headers, body)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "content-length" in headers:
            size = int(headers["content-length"])
            while len(self._got) < size:
                self._read()
            body, self._got = self._got[:size], self._got[size:]
            return body
        while not self._got.endswith(b"0\r\n\r\n"):  # in chunks: enough to look for what must not be in it
            self._read()
        return self._got

    def _read(self) -> None:
        assert self._connection is not None
        part = self._connection.recv(1_000_000)
        assert part, f"closed after {self._got[:200]!r}"
        self._got += part

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file and folder in it, with its size and the time of its last change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}
