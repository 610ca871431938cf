"""What a process owes to the one that has started it: its end."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
_C = ctypes.CDLL(None)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to send this process a signal when its parent ends. Elsewhere there is no such thing."""
    if sys.platform == "linux":
        _C.prctl(_PR_SET_PDEATHSIG, int(number))
