"""The command line of this process, as ``ps`` and /proc show it: where it was forked it has that of another."""

import ctypes
from pathlib import Path

_ARGUMENTS = slice(45, 47)
"""Where /proc/PID/stat says between which addresses the arguments lie, counted from the state on."""


def set_title(title: str) -> None:
    """Show a command line; what does not fit over the arguments that the process was started with is left out.

    The system takes what stands there for one text once its last byte is not zero (proc(5), setproctitle).

    Raises:
        OSError: this is not Linux.
    """
    stat = Path("/proc/self/stat").read_text(errors="replace")
    begin, end = map(int, stat.rpartition(")")[2].split()[_ARGUMENTS])  # the name before may hold anything
    room = end - begin - 2
    if room > 0:
        shown = title.encode(errors="surrogateescape")[:room]
        ctypes.memmove(begin, shown.ljust(room + 1, b"\0") + b".", room + 2)
