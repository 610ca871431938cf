"""Waiting for a condition, never for luck."""

import threading
import time
from collections.abc import Callable
from typing import Any

_pause = threading.Event()


def until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.1) -> Any:
    """Wait for a condition and return what it gave; fail with a sentence where it does not come in time.

    It is asked for every so many seconds: less often where the answer costs somebody work.
    """
    deadline = time.monotonic() + seconds
    while not (given := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        _pause.wait(every)
    return given
