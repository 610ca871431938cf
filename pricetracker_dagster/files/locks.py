"""Deadlines on the monotonic clock, and file locks among processes, which are waited for until a deadline."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pricetracker_dagster.errors import PricetrackerError

_POLLED_EVERY = 0.05


class DeadlineExceeded(PricetrackerError):
    """The deadline passes before it can be done."""

    def __init__(self, message: str = "the time for it is over") -> None:
        """Say what takes so long, where that is known."""
        super().__init__(message)


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock after which no more is asked."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def earlier(self, seconds: float) -> "Deadline":
        """Return a deadline that leaves so many seconds for what comes next."""
        return Deadline(self.at - seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            DeadlineExceeded: the deadline would pass meanwhile; then it does not sleep at all.
        """
        if seconds >= self.remaining:
            raise DeadlineExceeded
        time.sleep(seconds)


@contextmanager
def locked(file: Path, deadline: Deadline | None, *, shared: bool = False) -> Iterator[TextIO]:
    """Hold a lock among processes and threads; it ends with the process that holds it.

    Args:
        file: which file stands for the lock. It is made where it is not there yet, its folder as well.
        deadline: how long to wait for others; None: as long as it takes.
        shared: others that hold it shared are no obstacle.

    Yields:
        The file, open to read and to append.

    Raises:
        DeadlineExceeded: others hold it until the deadline.
    """
    try:
        lock = file.open("a+", encoding="utf-8", errors="replace")
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("a+", encoding="utf-8", errors="replace")
    with lock:
        while not _locks(lock, shared=shared, waits=deadline is None):
            try:
                assert deadline is not None  # noqa: S101 - without one it waits
                deadline.sleep(_POLLED_EVERY)
            except DeadlineExceeded:
                raise DeadlineExceeded(f"another process holds {file} all the time") from None
        yield lock


def said_by_holder(file: Path) -> str | None:
    """Return what the process that holds a lock has written into it; None where nobody holds it."""
    if not file.exists():
        return None
    with file.open(encoding="utf-8") as lock:
        return None if _locks(lock, shared=True) else lock.read().strip() or "is starting"


def _locks(file: TextIO, *, shared: bool, waits: bool = False) -> bool:
    """Take a lock; False where another process holds it."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
