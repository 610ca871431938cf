"""Ctrl-C: whatever a command is doing, it ends with one word and the exit status that shells expect.

It is in force before anything that takes its time, so this imports nothing that Python can start without for long.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STATUS = 128 + signal.SIGINT
"""The exit status of what Ctrl-C has ended, as shells have it."""

_asked = False


def asked() -> bool:
    """Say whether Ctrl-C was pressed: an exception that is raised within a library may be lost, or become another."""
    return _asked


@contextmanager
def at_once() -> Iterator[None]:
    """End the process by Ctrl-C without a further step: for the time in which it does nothing yet but import."""
    with _handled_by(_end):
        yield


@contextmanager
def noted(first: Callable[[], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt by Ctrl-C as Python does, and remember it.

    Args:
        first: done before, for a library that does not heed the exception.
    """
    global _asked  # noqa: PLW0603 - signals are the process's
    _asked = False

    def note(*_: object) -> None:
        global _asked  # noqa: PLW0603
        _asked = True
        first()
        raise KeyboardInterrupt

    with _handled_by(note):
        yield


@contextmanager
def _handled_by(handler: Callable[..., None]) -> Iterator[None]:
    """Let a handler heed SIGINT, but where a program around us has one of its own or a shell has made us deaf to it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        if before in (signal.default_int_handler, _end):
            signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread, which alone hears of signals
        before = None
    try:
        yield
    finally:
        if before is not None and signal.getsignal(signal.SIGINT) is handler:
            signal.signal(signal.SIGINT, before)


def _end(*_: object) -> None:
    os.write(2, b"Interrupted\n")
    os._exit(STATUS)  # an exception would become another one, or a crash, in the middle of an import
