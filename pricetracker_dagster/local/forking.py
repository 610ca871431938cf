"""The process from which ``up`` forks its parts: it imports what they need, and then does nothing but fork.

``python -m pricetracker_dagster.local.forking MODULE DESCRIPTOR ROOM`` imports MODULE, says on the socket DESCRIPTOR
whether it is ready, and forks a part for each request there (forked.py asks). ROOM is text over which forks write their
command lines.

The parent of a part is not this process but ``up``: between the two stands a process that ends at once, and ``up``
adopts what it leaves. A part waits until ``up`` knows of it, so none runs that nobody would end.
"""

import fcntl
import json
import os
import runpy
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.process.parent import die_with_parent
from pricetracker_dagster.process.title import set_title

GO = b"."
"""What a part is told by the one that asked for it, once that knows its process."""

_LONGEST = 1 << 20
"""Bytes of a request that are read: more than the system sends at once."""

_HANDED = 16
"""Descriptors that may come with a request."""


class Part(NamedTuple):
    """What a fork is to become.

    Attributes:
        command: as it would be started in a new interpreter: that, ``-m``, the module, its arguments.
        environment: all of its environment.
        descriptors: the numbers by which it knows what it is handed open.
        up: its parent to be.
        handed: descriptors of this process: where it prints, where it is told to go on, and those with these numbers.
    """

    command: Sequence[str]
    environment: dict[str, str]
    descriptors: Sequence[int]
    up: int
    handed: Sequence[int]

    def run(self) -> None:
        """Become it: return, or raise, what its module does."""
        _, told, *_ = self.handed
        if os.read(told, 1) != GO:
            os._exit(0)
        die_with_parent()
        if os.getppid() != self.up:  # it ended before
            os._exit(0)
        self._take_descriptors()
        os.environ.clear()
        os.environ.update(self.environment)
        set_title(" ".join(self.command))
        _, _, module, *arguments = self.command
        sys.orig_argv, sys.argv = list(self.command), [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    def _take_descriptors(self) -> None:
        """Keep open what it was handed, by the numbers that it knows, and nothing else."""
        output, _, *others = self.handed
        numbers = [1, 2, *self.descriptors]
        out_of_the_way = [fcntl.fcntl(each, fcntl.F_DUPFD, max(numbers) + 1) for each in (output, output, *others)]
        for each, number in zip(out_of_the_way, numbers, strict=True):
            os.dup2(each, number)
        for each in [int(link.name) for link in Path("/proc/self/fd").iterdir()]:
            if each not in (0, *numbers):
                with suppress(OSError):  # the one by which they were listed
                    os.close(each)


def main(module: str, descriptor: int) -> Part | None:
    """Import a module, and fork what is asked for on a socket.

    Returns:
        In a fork what it is to become; here, once nobody asks any more, None.
    """
    up = os.getppid()
    set_title(" ".join(sys.orig_argv[:-1]))
    with socket.socket(fileno=descriptor) as asked:
        why_not = _prepare(module)
        asked.send(json.dumps({"why_not": why_not}).encode())
        while not why_not:
            message, handed, _, _ = socket.recv_fds(asked, _LONGEST, _HANDED)
            if not message:
                break
            pid = _fork()
            if pid == 0:
                return Part(**json.loads(message), up=up, handed=handed)
            for each in handed:
                os.close(each)
            asked.send(json.dumps({"pid": pid}).encode())
    return None


def _prepare(module: str) -> str:
    """Import a module; return why nothing may be forked then, empty where it may."""
    try:
        import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    sys.stdout.flush()  # else each fork would print it, too
    threads = len(list(Path("/proc/self/task").iterdir()))
    return "" if threads == 1 else "an import has started a thread, which might hold a lock"


def _fork() -> int:
    """Fork a process in a session of its own, whose parent ends at once; return it here, and 0 there.

    Raises:
        OSError: no process can be started.
    """
    told, tell = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            if os.fork():
                os._exit(0)
        except OSError:
            os._exit(1)
        os.setsid()
        os.write(tell, str(os.getpid()).encode())
        return 0
    os.close(tell)
    pid = os.read(told, 20)
    os.close(told)
    with suppress(ChildProcessError):  # nobody is told of ends where SIGCHLD is ignored
        os.waitpid(between, 0)
    if not pid:
        raise BlockingIOError("no process can be started")
    return int(pid)


if __name__ == "__main__":
    _, name, number, _ = sys.argv
    part = main(name, int(number))
    if part is None:
        os._exit(0)  # what is registered for the end is for those of the parts
    part.run()
