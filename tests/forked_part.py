"""A part for the tests of parts that are forked: what it finds, on one line; then it does what it is told to."""

import atexit
import ctypes
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path


def found() -> dict[str, object]:
    """Return what a process has from the one that started it."""
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(death))  # PR_GET_PDEATHSIG
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "command": sys.orig_argv,
        "main": vars(sys.modules["__main__"])["__spec__"].name,
        "folder": str(Path.cwd()),
        "umask": os.umask(os.umask(0o22)),
        "signals": {
            number.name: getattr(signal.getsignal(number), "__qualname__", str(signal.getsignal(number)))
            for number in signal.valid_signals()
            if isinstance(number, signal.Signals)
        },
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "ends_with_its_parent_by": death.value,
        "path": sys.path,
        "warnings": [str(each) for each in warnings.filters],
        "flags": str(sys.flags),
        "leads": (os.getsid(0), os.getpgid(0)) == (os.getpid(), os.getpid()),
        "parent": os.getppid(),
        "threads": threading.active_count(),
        "log": [str(each) for each in logging.root.handlers],
        "output": [
            (each.encoding, each.errors, each.line_buffering, each.seekable()) for each in (sys.stdout, sys.stderr)
        ],
        "open": {
            link.name: str(link.readlink()).partition(":")[0]
            for link in Path("/proc/self/fd").iterdir()
            if link.exists()  # the one by which they are listed is gone
        },
    }


if __name__ == "__main__":
    if sys.argv[1] == "mark":
        Path(sys.argv[2], str(os.getpid())).touch()
    atexit.register(print, "registered for the end")
    print(json.dumps(found() | {"drawn": random.random()}))  # noqa: S311 - no secret
    match sys.argv[1:]:
        case ["exit", status, *_]:
            sys.exit(int(status))
        case ["raise", *_]:
            raise ValueError("of the part")
        case _:
            time.sleep(100)
