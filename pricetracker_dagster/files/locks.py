"""Deadlines on the monotonic clock, and locks among processes that are waited for until one."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class DeadlineExceeded(Exception):
    """The deadline passes before it can be done."""


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
def locked(file: Path, deadline: Deadline, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock among processes and threads; it is let go with the process that holds it.

    Raises:
        DeadlineExceeded: others hold it until the deadline.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    deadline.sleep(0.05)
                except DeadlineExceeded:
                    raise DeadlineExceeded(f"another process holds {file} all the time") from None
            else:
                break
        yield


def said_by_holder(file: Path) -> str | None:
    """Return what the process that holds a lock has written into it; None where nobody holds it."""
    if not file.exists():
        return None
    with file.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip() or "is starting"
    return None
