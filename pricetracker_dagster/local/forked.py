"""Parts of ``up`` that are forked from one process (forking.py): what they have imported is in memory once.

Where that cannot be, or where that process ends, does not answer in time or answers anything else, a line says so, and
parts are started in interpreters of their own.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from pricetracker_dagster.local.forking import GO
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.local.terminal import say
from pricetracker_dagster.process.parent import adopting, die_with_parent

_FORKING = "pricetracker_dagster.local.forking"
_PRELOADED = "pricetracker_dagster.local.preload_parts"

_IMPORT_PATIENCE = 90.0
_FORK_PATIENCE = 10.0

_ROOM = 4000
"""Bytes of a command line that ``ps`` shows of a part: the system shows some 4,096."""


@dataclass
class ForkedProcess:
    """A child that another process has forked for us; of subprocess.Popen as much as is used.

    Attributes:
        pid: its process, which leads a group of its own.
        stdout: what it prints, errors included.
        returncode: its exit status once it is known, as Python has it.
    """

    pid: int
    stdout: IO[str]
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._waited(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        status = self._waited(0)
        assert status is not None  # noqa: S101 - it has ended
        return status

    def _waited(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, how)
            except ChildProcessError:  # somebody else was told
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class CannotFork(Exception):
    """The process that forks is not what it should be; the message says why."""


class Preloaded:
    """A process that has imported what parts need; parts are forked from it until it is closed."""

    def __init__(self, environment: Mapping[str, str], stop: threading.Event, preloaded: str = _PRELOADED) -> None:
        """Start it; it imports while this process goes on.

        Args:
            environment: in which it imports.
            stop: set when the end is asked for: nothing is waited for then.
            preloaded: the module that it imports.

        Raises:
            OSError: no process can be started.
        """
        self._stop = stop
        self._ready_by: float | None = time.monotonic() + _IMPORT_PATIENCE
        self._asked, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ExitStack() as opened, other:
            opened.enter_context(self._asked)
            self._process = subprocess.Popen(  # noqa: S603 - a command of our own making
                [*python(_FORKING, preloaded, str(other.fileno())), " " * _ROOM],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as parts have it: what Python finds out about it at its start holds for them
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[other.fileno()],
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock that a thread could hold
            )
            opened.pop_all()

    def fork(
        self, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> ForkedProcess | None:
        """Fork a process that becomes what a command would start; it dies with this one.

        Args:
            command: this interpreter, ``-m``, a module and its arguments.
            environment: all of its environment.
            descriptors: what it is handed open, by number.

        Returns:
            The process, in a session of its own; None where that cannot be: then it is closed.
        """
        if self._asked.fileno() < 0:
            return None
        try:
            return self._fork(command, environment, descriptors)
        except (OSError, CannotFork) as error:
            self.close()
            if not self._stop.is_set():
                _say_why(error)
            return None

    def _fork(
        self, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> ForkedProcess:
        if self._ready_by is not None:
            if why_not := self._answer("why_not", str, self._ready_by):
                raise CannotFork(why_not)
            self._ready_by = None
        what = {"command": list(command), "environment": dict(environment), "descriptors": list(descriptors)}
        with _pipe() as (said, output), _pipe() as (go, tell), adopting():
            socket.send_fds(self._asked, [json.dumps(what).encode()], [output, go, *descriptors])
            pid = self._answer("pid", int, time.monotonic() + _FORK_PATIENCE)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # an error where it is no child of ours
            os.write(tell, GO)
            return ForkedProcess(pid, os.fdopen(os.dup(said), errors="replace"))

    def _answer(self, name: str, kind: type, deadline: float) -> Any:
        """Wait for an answer of one value, and return that."""
        self._asked.settimeout(0.1)
        answer = None
        while answer is None:
            try:
                answer = self._asked.recv(65536)
            except TimeoutError:
                if self._stop.is_set() or time.monotonic() > deadline:
                    raise CannotFork("it does not answer") from None
        if not answer:
            raise CannotFork("it has ended")
        with suppress(ValueError, TypeError, KeyError):
            value = json.loads(answer)[name]
            if isinstance(value, kind):
                return value
        raise CannotFork(f"it answers {answer.decode(errors='replace')}")

    def close(self) -> None:
        """End it; what was forked from it lives on."""
        self._asked.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def preloaded(environment: Mapping[str, str], stop: threading.Event) -> Preloaded | None:
    """Start the process from which parts are forked, as Preloaded does; return None where that cannot be."""
    if sys.platform != "linux":  # which alone can adopt
        return None
    try:
        return Preloaded(environment, stop)
    except OSError as error:
        _say_why(error)
        return None


def _say_why(error: Exception) -> None:
    why = "it has ended" if isinstance(error, ConnectionError) else getattr(error, "strerror", None) or error
    say("", f"parts cannot be forked from one process: {why}; each imports all that it needs", error=True)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)
