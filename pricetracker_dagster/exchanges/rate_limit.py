"""The rate limit of an exchange, which all processes of this machine share, and who goes first.

A tick, a backfill and a person's command share one allowance of requests, kept in a small locked file. While a tick is
at work, requests of low priority wait: the newest minute comes before old ones.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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

    Args:
        folder: where the processes that share the allowance keep it.
        name: of the exchange.
        per_second: requests a second.
        low_priority: wait while a tick is at work (see at_work()).
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
        with self._allowance() as allowance:
            now = time.monotonic()
            turn = max(allowance.due, now - BURST * self._interval) + self._interval
            if turn - now > _LONGEST + BURST * self._interval:
                turn = now
            if turn - now >= deadline.remaining:
                raise DeadlineExceeded
            allowance.due = turn
        if turn > now:
            time.sleep(turn - now)

    def block(self, seconds: float) -> None:
        """Block all requests for so many seconds: the exchange has asked for it."""
        with self._allowance() as allowance:
            allowance.due = max(allowance.due, time.monotonic() + seconds)

    @contextmanager
    def _allowance(self) -> "Iterator[_Allowance]":
        with locked(self._file, None) as file:
            file.seek(0)
            # A monotonic time means something in its own boot only. New, cut short by a kill, damaged, of another boot
            # or of an earlier version: begin afresh.
            boot, _, due = file.read().partition(" ")
            allowance = _Allowance(float("-inf"))
            with suppress(ValueError):
                if boot == boot_id() and math.isfinite(moment := float(due)):
                    allowance = _Allowance(moment)
            before = allowance.due
            yield allowance
            if allowance.due != before:
                file.seek(0)
                file.truncate()
                file.write(f"{boot_id()} {allowance.due!r}")


@dataclass
class _Allowance:
    due: float


def at_work(folder: Path, deadline: Deadline) -> AbstractContextManager[object]:
    """Mark a tick as at work. A second tick waits here for the first.

    Raises:
        DeadlineExceeded: the other is still at work at the deadline.
    """
    return locked(folder / StateFile.TICK_LOCK, deadline)
