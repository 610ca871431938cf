"""Work that can wait for whatever else the machine has to do."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NICE = 10
"""As `nice` has it: beside a process that wants the same core it gets a tenth of that."""


def at_low_priority(work: Callable[[], T]) -> T:
    """Do something in a thread of low priority, which those that it starts inherit, and return what it returns.

    Where a system knows no priority of threads (all but Linux), it is done at the usual one.
    """
    with ThreadPoolExecutor(1, initializer=_give_way) as pool:
        return pool.submit(work).result()


def _give_way() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
