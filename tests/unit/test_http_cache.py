"""What is kept of answers over HTTP stays within its bounds, and so does what is worked out at the same time."""

import asyncio

import pytest

from pricetracker_dagster.web.cache import Cache, Kept, Key
from pricetracker_dagster.web.places import Places
from pricetracker_dagster.web.problems import Problem


def key(number: int) -> Key:
    return Key("/path", str(number).encode(), "application/json", compressed=False)


def test_what_was_asked_for_longest_ago_makes_room() -> None:
    cache = Cache(100_000)
    for number in range(100):
        cache.put(key(number), Kept([], b"x" * 9_000))
        assert cache.get(key(0)) is not None  # asked for each time
        assert cache.size <= 100_000
    kept = [number for number in range(100) if cache.peek(key(number))]
    assert kept == [0, *range(100 - len(kept) + 1, 100)]
    assert len(kept) == 9
    assert next(iter(cache.most_asked(1))) == key(0)


def test_one_answer_never_takes_all_the_room() -> None:
    cache = Cache(100_000)
    cache.put(key(1), Kept([], b"x" * 50_000))
    assert (cache.size, cache.peek(key(1))) == (0, None)


def test_small_answers_and_long_addresses_count_too() -> None:
    cache = Cache(100_000)
    for number in range(1000):
        cache.put(Key("/path", b"x" * 4000 + str(number).encode(), "text/csv", compressed=True), Kept([], b""))
    assert cache.size <= 100_000
    assert len(list(cache.most_asked(1000))) <= 20


def test_places_are_few_and_who_waits_too_long_or_comes_too_late_is_told() -> None:
    async def tried() -> list[str]:
        places, go_on, told = Places(2, 3, 0.05), asyncio.Event(), []

        async def one() -> None:
            try:
                async with places.taken():
                    told.append("in")
                    await go_on.wait()
            except Problem as problem:
                told.append(str(problem).partition(": ")[2])

        all_of_them = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0.2)
        go_on.set()
        await asyncio.gather(*all_of_them)
        async with places.taken(), places.taken():
            told.append("in again")
        return told

    assert asyncio.run(tried()) == [
        *["in"] * 2,
        *["3 requests wait already. Ask again in a moment"] * 3,
        *["none was free within 0.05 s. Ask again in a moment"] * 3,
        "in again",
    ]


def test_a_place_is_given_back_once() -> None:
    async def tried() -> None:
        places = Places(1, 1, 0.05)
        async with places.taken() as give_back:
            give_back()
            async with places.taken():
                give_back()
                with pytest.raises(Problem):
                    async with places.taken():
                        pass

    asyncio.run(tried())
