"""The rate limit of an exchange, which all processes of this machine share by a small locked file, and who goes first.

While a tick is at work, requests of low priority wait: the newest minute comes before old ones.
"""

import math
import time
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from typing import TextIO

from pricetracker_dagster.files.data_folder import StateFile, allowance_file
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked

BURST = 5
"""Requests that may go out at once after a pause: a tick of a few metrics need not wait."""

_LONGEST = 60.0
"""Seconds that a turn may lie ahead, beside a burst, whatever the file says: no turn is taken after the deadline of
a tick, and an exchange that asks for it is left alone for some seconds only."""


@cache
def boot_id() -> str:
    """Return the identity of this boot of the machine; where the system has none, all boots are one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


class RateLimiter:
    """The allowance of one exchange: ``per_second`` on average, BURST at once (the generic cell rate algorithm).

    The processes that share it keep it in a folder. With a low priority they wait while a tick is at work.
    """

    def __init__(self, folder: Path, name: str, per_second: float, *, low_priority: bool = False) -> None:
        """Make the folder where it is not there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = allowance_file(folder, name)
        self._folder = folder
        self._interval = 1.0 / per_second
        self._low_priority = low_priority

    def wait(self, deadline: Deadline) -> None:
        """Wait until a request may go out.

        Raises:
            DeadlineExceeded: that is after the deadline; the allowance is then left to others.
        """
        if self._low_priority:
            with locked(self._folder / StateFile.TICK_LOCK, deadline, shared=True):
                pass
        with locked(self._file, None) as file:
            now = time.monotonic()
            turn = max(_latest_turn(file), now - BURST * self._interval) + self._interval
            if turn - now > _LONGEST + BURST * self._interval:
                turn = now
            if turn - now >= deadline.remaining:
                raise DeadlineExceeded
            _keep_turn(file, turn)
        time.sleep(max(0.0, turn - now))

    def block(self, seconds: float) -> None:
        """Block all requests for so many seconds: the exchange has asked for it."""
        with locked(self._file, None) as file:
            _keep_turn(file, max(_latest_turn(file), time.monotonic() + seconds))


def _latest_turn(file: TextIO) -> float:
    """Return the monotonic time of the latest turn that was given; where none is readable, one long ago.

    Such a time means something in its own boot only. The file may be new, cut short by a kill or damaged.
    """
    file.seek(0)
    boot, _, told = file.read().partition(" ")
    with suppress(ValueError):
        if boot == boot_id() and math.isfinite(turn := float(told)):
            return turn
    return -math.inf


def _keep_turn(file: TextIO, turn: float) -> None:
    file.seek(0)
    file.truncate()
    file.write(f"{boot_id()} {turn!r}")


def at_work(folder: Path, deadline: Deadline) -> AbstractContextManager[object]:
    """Mark a tick as at work. A second tick waits here for the first.

    Raises:
        DeadlineExceeded: the other is still at work at the deadline.
    """
    return locked(folder / StateFile.TICK_LOCK, deadline)
