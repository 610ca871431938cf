"""An end for what is stuck, where nothing else can end it."""

import faulthandler
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from pricetracker_dagster.files.locks import OutOfTime

T = TypeVar("T")


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


def within(seconds: float, ask: Callable[[], T], name: str) -> T:
    """Return what a function returns, or raise what it raises; it is waited for no longer than so many seconds.

    It is done in a thread of its own: time-outs of sockets begin anew with each byte, and looking up a name has none at
    all. Daemon, so that one which hangs holds up neither the caller nor the end of the process.

    Raises:
        OutOfTime: it is not done by then.
    """
    answer: Future[T] = Future()

    def do() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=do, daemon=True, name=name).start()
    if not wait([answer], seconds).done:
        raise OutOfTime
    return answer.result()
