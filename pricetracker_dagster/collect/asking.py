"""Threads that ask, and the queue by which what they find comes back to the one thread that notes and stores."""

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.validate import Answer
from pricetracker_dagster.exchanges.base import Allowance
from pricetracker_dagster.exchanges.http import CONNECTIONS
from pricetracker_dagster.files.locks import Deadline

T = TypeVar("T")

_AT_FIRST = 10
"""Most metrics that are asked for at the same time from the beginning; up to CONNECTIONS where answers are slow.
Threads that only wait for their turn cost CPU: with 32 of them a tick of 1,000 metrics takes a second more."""

_LOOKED_EVERY = 0.25
"""Seconds after which it is looked at whether that is enough, where four requests are granted meanwhile."""

_LAST_ANSWERS = 2.0
"""Seconds in which those that were asked last may answer, where there is no time to ask again."""

_ENOUGH = 0.75
"""Of the requests that an exchange grants, the share that has to be answered, or more are sent at the same time."""


class Finding(NamedTuple):
    """What a thread that asks has found of a metric.

    Attributes:
        metrics: of which; none: the thread is done.
        what: the answer, or what went wrong.
        late: whether the answer lacks the tick's own minute.
    """

    metrics: tuple[str, ...]
    what: Answer | Exception | None
    late: bool = False


class Findings:
    """What threads have found, in the order in which they found it.

    Attributes:
        askers: how many threads are not done yet.
    """

    def __init__(self) -> None:
        """Nobody asks yet."""
        self.askers = 0
        self._queue = queue.SimpleQueue[Finding]()

    def start(self, ask: Callable[[], None], metrics: Sequence[Metric]) -> None:
        """Let a thread ask, and hear when it is done. It is a daemon: what hangs keeps nothing from ending."""
        self.askers += 1

        def run() -> None:
            try:
                ask()
            except Exception as error:
                self._queue.put(Finding(tuple(map(str, metrics)), error))
            finally:
                self._queue.put(Finding((), None))

        threading.Thread(target=run, daemon=True).start()

    def put(self, metric: Metric, what: Answer | Exception, *, late: bool = False) -> None:
        """Tell what was found of a metric."""
        self._queue.put(Finding((str(metric),), what, late))

    def get(self, timeout: float) -> Finding:
        """Return what was found next, of no metric where nothing was within so many seconds."""
        try:
            found = self._queue.get(timeout=timeout)
        except queue.Empty:
            return Finding((), None)
        self.askers -= not found.metrics
        return found

    def empty(self) -> bool:
        """Say whether nothing waits."""
        return self._queue.empty()


def in_turns(
    items: Sequence[T],
    ask: Callable[[T, int], float | None],
    allowance: Allowance,
    *,
    deadline: Deadline,
    name: str,
    again_until: Deadline | None = None,
) -> None:
    """Ask for each item, several at the same time, first all of them in their order, then again what needs it.

    How many follows from what the exchange allows: as many as it grants while one answer is waited for, so that
    some which hang hold up no other; and more where fewer answers come than requests are granted.

    It returns when all are done or the deadline, after which nothing is begun, has passed, whatever still hangs: the
    threads are daemons. ``ask`` is given an item and how often it was asked for before, and returns after how many
    seconds to ask again; None: it is done. It must not raise. Once each was asked for, ``again_until`` is the deadline.
    """
    board = _Board(items, deadline, again_until or deadline)
    threads = 0
    while not board.wait(0.0):
        for _ in range(min(threads or at_first(allowance), CONNECTIONS - threads, len(items) - threads)):
            threading.Thread(target=board.work, args=(ask,), daemon=True, name=f"{name}-{threads}").start()
            threads += 1
        board.wait_while_enough(allowance.requests_per_second)


def at_first(allowance: Allowance) -> int:
    """Return how many are asked for at the same time from the beginning."""
    return max(1, min(_AT_FIRST, math.ceil(allowance.requests_per_second * allowance.timeout_seconds)))


class _Board(Generic[T]):
    """What is to be asked, and what is being asked."""

    def __init__(self, items: Sequence[T], deadline: Deadline, again_until: Deadline) -> None:
        self._deadline = deadline
        self._again_until = again_until
        self._changed = threading.Condition()
        self._fresh = list(reversed(items))
        self._again: list[tuple[float, int, int, T]] = []
        self._running = 0
        self._asked = 0

    def work(self, ask: Callable[[T, int], float | None]) -> None:
        while (taken := self._take()) is not None:
            item, times = taken
            pause = None
            try:
                pause = ask(item, times)
            finally:
                with self._changed:
                    self._running -= 1
                    self._asked += 1
                    if pause is not None:
                        heappush(self._again, (time.monotonic() + pause, id(item), times + 1, item))
                    self._changed.notify_all()

    @property
    def _remaining(self) -> float:
        return (self._deadline if self._fresh else self._again_until).remaining

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; say whether all is done or time is up."""
        with self._changed:
            ends = Deadline.after(seconds)
            while not (over := self._is_over() or self._remaining <= 0) and ends.remaining > 0:
                self._changed.wait(timeout=min(ends.remaining, self._remaining, _LOOKED_EVERY))
            return over

    def wait_while_enough(self, per_second: float) -> None:
        """Wait until all is done or time is up, or less is answered than is granted while some wait to be asked."""
        every = max(_LOOKED_EVERY, 4 / per_second)
        answered = math.inf
        while answered >= _ENOUGH * per_second * every or not self._fresh:
            before = self._asked
            if self.wait(every):
                return
            answered = self._asked - before

    def _is_over(self) -> bool:
        return not (self._fresh or self._again or self._running)

    def _take(self) -> tuple[T, int] | None:
        with self._changed:
            while not self._is_over() and self._remaining > 0:
                pause = self._remaining
                if self._fresh:
                    self._running += 1
                    item = self._fresh.pop()
                    if not self._fresh:
                        last = Deadline.after(min(_LAST_ANSWERS, self._deadline.remaining))
                        self._again_until = max(self._again_until, last, key=lambda each: each.at)
                    return item, 0
                if self._again:
                    pause = min(pause, self._again[0][0] - time.monotonic())
                    if pause <= 0:
                        _, _, times, item = heappop(self._again)
                        self._running += 1
                        return item, times
                self._changed.wait(timeout=pause)
        return None
