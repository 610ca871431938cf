"""Work that one thread does for everybody who asks meanwhile and soon after: the event loop never waits for it.

What is worked out is none of this module's business. Answers that depend on the published file alone are in kept.py.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

SOON = 1.0
"""Seconds for which a result holds whatever happens: nobody can make the work be done more often."""


class SharedWork(Generic[T]):
    """A function that is called again only when its last result is too old."""

    def __init__(
        self,
        work: Callable[[], T],
        *,
        keep: float,
        depends_on: Callable[[], Hashable],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without a result.

        Args:
            work: called in a thread of its own, one at a time.
            keep: seconds after which a result is too old.
            depends_on: returns, at once, what makes a result too old when it changes.
            clock: seconds of a clock that cannot be set.
        """
        self._work, self._keep, self._depends_on, self._clock = work, keep, depends_on, clock
        self._future: Future[T] | None = None
        self._began = self._ended = 0.0
        self._of: Hashable = None

    async def result(self, seconds: float) -> T:
        """Return the result, or raise what the work raises.

        Raises:
            TimeoutError: the work began so many seconds ago and is not done. It goes on, and no other is begun.
        """
        now = self._clock()
        future = self._future
        if future is None or (future.done() and self._is_too_old(now)):
            future = self._begin(now)
        if future.done():
            return future.result()
        # whoever goes away ends the wait of nobody else
        async with asyncio.timeout(max(0.0, self._began + seconds - now)):
            return await asyncio.shield(asyncio.wrap_future(future))

    def _is_too_old(self, now: float) -> bool:
        age = now - self._ended
        return age >= self._keep or (age >= SOON and self._depends_on() != self._of)

    def _begin(self, now: float) -> Future[T]:
        future: Future[T] = Future()
        self._began, self._of, self._future = now, self._depends_on(), future

        def do() -> None:
            try:
                result = self._work()
            except BaseException as error:
                self._ended = self._clock()
                future.set_exception(error)
            else:
                self._ended = self._clock()
                future.set_result(result)

        # a daemon: one that hangs does not hold up the end of the process
        threading.Thread(target=do, daemon=True, name="shared work").start()
        return future
