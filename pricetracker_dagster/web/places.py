"""How much is worked out at the same time: who comes then waits for a place, and is told where it takes too long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pricetracker_dagster.web.problems import Problem


class Places:
    """So many places, and so long a queue before them."""

    def __init__(self, count: int, waiting: int, seconds: float) -> None:
        """Begin with all places free.

        Args:
            count: how many there are.
            waiting: how many may wait for one.
            seconds: how long each of them waits.
        """
        self._free = asyncio.Semaphore(count)
        self._most_waiting, self._seconds = waiting, seconds
        self._waiting = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Callable[[], None]]:
        """Take a place, and give it back at the end; or before, by what it yields.

        Raises:
            Problem: too many wait already, or none is given back in time.
        """
        if self._waiting >= self._most_waiting:
            raise _busy(f"{self._waiting} requests wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise _busy(f"none was free within {self._seconds:g} s") from None
        finally:
            self._waiting -= 1
        is_taken = True

        def give_back() -> None:
            nonlocal is_taken
            if is_taken:
                is_taken = False
                self._free.release()

        try:
            yield give_back
        finally:
            give_back()


def _busy(why: str) -> Problem:
    said = f"this server is at work on as many answers as it can be: {why}"
    return Problem(503, f"{said}. Ask again in a moment", headers={"Retry-After": "1"})
