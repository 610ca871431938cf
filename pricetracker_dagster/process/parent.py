"""What a process owes to the one that has started it: its end. And whose child it is where that one ends before it."""

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_C = ctypes.CDLL(None)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent ends. Elsewhere there is no such thing."""
    if sys.platform == "linux":
        _C.prctl(_PR_SET_PDEATHSIG, int(number))


@contextmanager
def adopting() -> Iterator[None]:
    """Let Linux make this process the parent of what its descendants leave when they end meanwhile."""
    _C.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _C.prctl(_PR_SET_CHILD_SUBREAPER, 0)
