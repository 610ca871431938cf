"""Work that is shared by all who ask: done once at a time, again when it is too old, and given up in time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from pricetracker_dagster.web.shared_work import SharedWork


class Worked:
    """Work that counts how often it is done, on a clock and a file that the test changes."""

    def __init__(self) -> None:
        self.done, self.now, self.file = 0, 1000.0, "first"
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None
        self.shared = SharedWork(self.work, keep=10, depends_on=lambda: self.file, clock=lambda: self.now)

    def work(self) -> int:
        self.may_end.wait(20)
        self.done += 1
        if self.error is not None:
            raise self.error
        return self.done

    async def asked(self) -> int:
        return await self.shared.result(5)


def run(worked: Worked, steps: Callable[[Worked], Awaitable[None]]) -> None:
    async def all_steps() -> None:
        await asyncio.wait_for(asyncio.ensure_future(steps(worked)), 20)

    asyncio.run(all_steps())


def test_who_asks_meanwhile_and_within_the_time_is_given_the_same() -> None:
    async def steps(worked: Worked) -> None:
        assert await asyncio.gather(*(worked.asked() for _ in range(500))) == [1] * 500
        worked.now += 9.9
        assert await worked.asked() == 1
        worked.now += 0.2
        assert await worked.asked() == 2

    run(Worked(), steps)


def test_what_it_depends_on_makes_it_be_done_anew_but_not_more_than_once_a_second() -> None:
    async def steps(worked: Worked) -> None:
        assert await worked.asked() == 1
        worked.file = "second"
        assert await worked.asked() == 1
        worked.now += 1.1
        assert await worked.asked() == 2
        worked.now += 1.1
        assert await worked.asked() == 2

    run(Worked(), steps)


def test_what_hangs_is_given_up_by_all_who_wait_and_never_begun_a_second_time() -> None:
    async def steps(worked: Worked) -> None:
        worked.may_end.clear()
        threads = threading.active_count()
        waiting = [asyncio.ensure_future(worked.shared.result(0.2)) for _ in range(20)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, TimeoutError) for each in told)
        worked.now += 3600
        with pytest.raises(TimeoutError):
            await worked.shared.result(60)  # it began an hour ago
        assert threading.active_count() == threads + 1
        worked.may_end.set()
        while worked.done == 0:
            await asyncio.sleep(0.01)
        worked.now += 1
        assert await worked.asked() == 1

    run(Worked(), steps)


def test_who_goes_away_ends_it_for_nobody_else() -> None:
    async def steps(worked: Worked) -> None:
        worked.may_end.clear()
        gone, stays = (asyncio.ensure_future(worked.asked()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        worked.may_end.set()
        assert await stays == 1
        assert gone.cancelled()

    run(Worked(), steps)


def test_an_error_is_everybodys_and_holds_as_long() -> None:
    async def steps(worked: Worked) -> None:
        worked.error = ValueError("as it is")
        for _ in range(2):
            with pytest.raises(ValueError, match="as it is"):
                await worked.asked()
        assert worked.done == 1
        worked.error = None
        worked.now += 11
        assert await worked.asked() == 2

    run(Worked(), steps)
