"""Jobs for the tests of warm starts: what a run finds where it is executed, and one that waits to be ended."""

import json
import os
import signal
import sys
import time
import warnings
from multiprocessing import forkserver
from pathlib import Path

import dagster as dg

from pricetracker_dagster.settings import load_settings


def found() -> dict[str, object]:
    """Return what a process has from the one that started it."""
    names = [name for name in os.environ if name != "PYTEST_CURRENT_TEST"]
    return {
        "environment": {name: os.environ[name] for name in sorted(names)},
        "folder": str(Path.cwd()),
        "umask": os.umask(os.umask(0o22)),
        "signals": [
            getattr(handler, "__qualname__", str(handler))
            for handler in map(signal.getsignal, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
        ],
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "path": sys.path,
        "ignored": ("ignore", None, DeprecationWarning, None, 0) in warnings.filters,
        "flags": str(sys.flags),
        "session": os.getsid(0),
        "may_fork": not forkserver._forkserver._lock.locked(),  # type: ignore[attr-defined]
        "data": str(load_settings().folder),
    }


@dg.op
def tell(context: dg.OpExecutionContext) -> None:
    """Write down what was found, and print something."""
    file = Path(context.run.tags["into"])
    file.with_suffix(".new").write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid(), **found()}))
    file.with_suffix(".new").rename(file)
    print("said on stdout")
    print("said on stderr", file=sys.stderr)


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    """Wait to be ended, a second at a time."""
    Path(context.run.tags["into"]).write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


@dg.job(executor_def=dg.in_process_executor)
def look() -> None:
    """Tell what was found."""
    tell()


@dg.job(executor_def=dg.in_process_executor)
def endless() -> None:
    """Wait to be ended."""
    wait()


defs = dg.Definitions(jobs=[look, endless])
