"""The rate limit of an exchange, which all processes of this machine share by a small locked file, and who goes first.

While a tick is at work, requests of low priority wait: the newest minute comes before old ones.
"""

import math
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, TextIO

from pricetracker_dagster.exchanges.base import Banned
from pricetracker_dagster.files.data_folder import StateFile, allowance_file
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded, locked

BURST = 5
"""Requests that may go out at once after a pause: a tick of a few metrics need not wait."""

_LONGEST = 60.0
"""Seconds that a turn may lie ahead, beside a burst, whatever the file says: no turn is taken after the deadline of
a tick, and an exchange that asks for it is left alone for some seconds only."""

_LONGEST_BLOCK = 3600.0
"""Seconds for which an exchange is left alone, whatever it or the file says: then it is looked whether it answers."""

_BANNED = b"banned"

_AHEAD = 0.1
"""Seconds for which turns are taken ahead, by who asks more often than that."""


@cache
def boot_id() -> str:
    """Return the identity of this boot of the machine; where the system has none, all boots are one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


class RateLimiter:
    """The allowance of one exchange: ``per_second`` on average, BURST at once (the generic cell rate algorithm).

    The processes that share it keep in a folder the time of the latest turn that was given, and until when nobody may
    ask. Who asks again and again while nobody else does takes several turns ahead, so that not each costs the lock of
    the file. A turn that is not used in time is lost, so those of a process that was killed delay others by no more
    than _AHEAD. With a low priority one turn is taken at a time, and none while a tick is at work.
    """

    def __init__(self, folder: Path, name: str, per_second: float, *, low_priority: bool = False) -> None:
        """Make the folder where it is not there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = allowance_file(folder, name)
        self._folder = folder
        self._name = name
        self.per_second = per_second
        self._interval = 1.0 / per_second
        self._low_priority = low_priority
        self._one_at_a_time = threading.Lock()
        self._turns: deque[float] = deque()
        self._latest_of_mine = -math.inf
        self._at_once = 1
        self._most_at_once = 1 if low_priority else max(1, int(_AHEAD * per_second))

    def wait(self, deadline: Deadline, cost: float = 1.0) -> None:
        """Wait until a request may go out that takes as much of the allowance as ``cost`` usual ones.

        Raises:
            DeadlineExceeded: that is after the deadline; the allowance is then left to others.
            Banned: the exchange has said that it answers nothing until after the deadline.
        """
        while True:
            if self._low_priority:
                with locked(self._folder / StateFile.TICK_LOCK, deadline, shared=True):
                    pass
            turn = self._take(deadline) if cost == 1.0 else self._take_alone(deadline, cost)
            time.sleep(max(0.0, turn - time.monotonic()))
            late = time.monotonic() - turn
            # it may have been stopped meanwhile, and somebody may have been asked to slow down
            if late < max(_AHEAD, BURST * self._interval) and self._kept().blocked <= time.monotonic():
                return

    def block(self, seconds: float, *, banned: bool = False) -> None:
        """Block all requests for so many seconds: the exchange has asked for it, or has banned this address."""
        with self._one_at_a_time, locked(self._file, None) as file:
            self._turns.clear()
            kept, now = _kept_in(file), time.monotonic()
            until = now + min(seconds, _LONGEST_BLOCK)
            banned = banned if until >= kept.blocked else kept.banned
            _keep(file, _Kept(max(kept.latest, min(until, now + _LONGEST)), max(kept.blocked, until), banned))

    def _take(self, deadline: Deadline) -> float:
        """Return the monotonic time of the next turn."""
        with self._one_at_a_time:
            while self._turns and self._is_over(self._turns[0]):
                self._turns.popleft()
                self._at_once = 1
            if not self._turns:
                self._reserve(deadline)
            if self._turns[0] - time.monotonic() >= deadline.remaining:
                raise DeadlineExceeded
            return self._turns.popleft()

    def _take_alone(self, deadline: Deadline, cost: float) -> float:
        """Return the monotonic time of the next turn of a request that costs more or less than others."""
        with self._one_at_a_time, locked(self._file, None) as file:
            kept = _kept_in(file)
            turn = self._next(kept, deadline, cost)
            _keep(file, kept._replace(latest=turn))
            return turn

    def _is_over(self, turn: float) -> bool:
        """Say whether it is too late for a turn: with it more than BURST requests could go out at once."""
        # the first of a burst is so old from the beginning: half a turn is left to use it
        return turn < time.monotonic() - (BURST - 0.5) * self._interval

    def _reserve(self, deadline: Deadline) -> None:
        """Take the next turns of all that are given."""
        with locked(self._file, None) as file:
            kept = _kept_in(file)
            turn = self._next(kept, deadline, 1.0)
            self._turns.extend(turn + i * self._interval for i in range(self._at_once))
            alone = kept.latest == self._latest_of_mine
            self._latest_of_mine = self._turns[-1]
            _keep(file, kept._replace(latest=self._latest_of_mine))
        self._at_once = min(2 * self._at_once, self._most_at_once) if alone else 1

    def _next(self, kept: "_Kept", deadline: Deadline, cost: float) -> float:
        """Return the time of the next turn of all that are given. Errors as of wait()."""
        now = time.monotonic()
        if kept.banned and deadline.remaining <= kept.blocked - now <= _LONGEST_BLOCK:
            raise Banned(f"{self._name}: not asked: it has banned this address, for {self._blocked_for(kept)} more")
        turn = max(kept.latest, now - BURST * self._interval) + cost * self._interval
        if turn - now > _LONGEST + max(BURST, cost) * self._interval:
            turn = now
        if turn - now >= deadline.remaining:
            raise DeadlineExceeded
        return turn

    def _kept(self) -> "_Kept":
        """Return what the file says, without its lock where it can be read as it is."""
        try:
            kept = _read(self._file.read_bytes())
        except OSError:
            kept = None
        if kept is None:  # it is being written just now
            with locked(self._file, None) as file:
                kept = _kept_in(file)
        return kept if kept.blocked - time.monotonic() <= _LONGEST_BLOCK else _Kept(kept.latest)

    def _blocked_for(self, kept: "_Kept") -> str:
        seconds = kept.blocked - time.monotonic()
        return f"{math.ceil(seconds / 60)} min" if seconds > 60 else f"{math.ceil(seconds)} s"


class _Kept(NamedTuple):
    """What the file says, in monotonic time: the latest turn that was given, and until when nobody may ask.

    Nobody may also where the exchange has ``banned`` this address.
    """

    latest: float = -math.inf
    blocked: float = -math.inf
    banned: bool = False


def _kept_in(file: TextIO) -> _Kept:
    """Return what the file says. It may be new, cut short by a kill or damaged: then nothing was given."""
    file.seek(0)
    return _read(file.read().encode("utf-8", "replace")) or _Kept()


def _read(content: bytes) -> _Kept | None:
    """Return what the file says; None where that is nothing. Its times mean something in their own boot only."""
    boot, _, told = content.partition(b" ")
    with suppress(ValueError):
        told, banned, _ = told.partition(b" " + _BANNED)
        times = [float(each) for each in told.split()]
        if boot == boot_id().encode() and 1 <= len(times) <= 2 and all(map(math.isfinite, times)):
            return _Kept(times[0], times[1] if len(times) > 1 else -math.inf, bool(banned))
    return None


def _keep(file: TextIO, kept: _Kept) -> None:
    blocked = f" {kept.blocked!r}" if kept.blocked > time.monotonic() else ""
    blocked += f" {_BANNED.decode()}" if blocked and kept.banned else ""
    file.seek(0)
    file.truncate()
    file.write(f"{boot_id()} {kept.latest!r}{blocked}")


def at_work(folder: Path, deadline: Deadline) -> AbstractContextManager[object]:
    """Mark a tick as at work. A second tick waits here for the first.

    Raises:
        DeadlineExceeded: the other is still at work at the deadline.
    """
    return locked(folder / StateFile.TICK_LOCK, deadline)
