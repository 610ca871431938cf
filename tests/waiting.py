"""Waiting for a condition, never for luck."""

import threading
import time
from collections.abc import Callable
from typing import Any

_pause = threading.Event()


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for a condition and return what it gave; fail with a sentence where it does not come in time."""
    deadline = time.monotonic() + seconds
    while not (given := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        _pause.wait(0.1)
    return given
