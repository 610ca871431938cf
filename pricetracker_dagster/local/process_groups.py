"""Processes and what they have started: signals to all of a group, waiting."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Protocol


class Process(Protocol):
    """A child of this process that leads a group of its own; subprocess.Popen has more of the same."""

    pid: int

    @property
    def stdout(self) -> IO[str] | None:
        """What it prints."""

    @property
    def returncode(self) -> int | None:
        """Its exit status once it is known, as Python has it."""

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""

    def wait(self) -> int:
        """Wait for its end; return the exit status."""


def python(module: str, *arguments: str) -> list[str]:
    """Return how a module is run, by the interpreter that runs this."""
    return [sys.executable, "-m", module, *arguments]


def end_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and all it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def how_ended(status: int) -> str:
    """Say how a process ended, by its exit status as Python has it."""
    if status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def until(condition: Callable[[], bool], patience: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Wait until a condition holds, doing something meanwhile; False where it does not within so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(0.1)
    return True
