"""The watchdog of a tick: it ends a process that is stuck, where nothing else can."""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


@contextmanager
def time_limit(limit: timedelta) -> Iterator[None]:
    """End the process if the block takes longer, with a trace of every thread on stderr.

    It works where a time-out cannot: in a library that holds the interpreter's lock. Dagster sees the process gone and
    marks the run failed; the store survives it, as it survives a SIGKILL.
    """
    faulthandler.dump_traceback_later(limit.total_seconds(), exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
