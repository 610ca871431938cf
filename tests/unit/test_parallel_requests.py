"""How many metrics are asked for at the same time follows what their exchange grants."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from pricetracker_dagster.collect.asking import in_turns
from pricetracker_dagster.exchanges.base import Allowance
from pricetracker_dagster.files.locks import Deadline


class Asked:
    """Counts what is asked for, and how much at the same time at most."""

    def __init__(self, answer: Callable[[int], object]) -> None:
        self.items: list[int] = []
        self.at_once = self.most = 0
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, item: int, _: int) -> None:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self._answer(item)
        with self._lock:
            self.at_once -= 1
            self.items.append(item)


def granting(per_second: float, timeout: float = 10) -> Allowance:
    return Allowance(per_second, timeout)


def test_as_many_are_asked_for_as_are_granted_while_one_answer_is_waited_for() -> None:
    for per_second, timeout, most in ((1, 10, 10), (0.5, 5, 3), (0.1, 5, 1), (500, 10, 10)):
        ends = threading.Event()
        asked = Asked(lambda _, ends=ends: ends.wait(10))  # type: ignore[misc]
        in_turns(range(100), asked, granting(per_second, timeout), deadline=Deadline.after(0.2), name="test")
        assert asked.most == most
        ends.set()


def test_more_are_asked_for_where_answers_are_slower_than_granted() -> None:
    ends = threading.Event()

    def slow(_: int) -> None:
        if asked.most >= 100:
            ends.set()
        ends.wait(20)

    asked = Asked(slow)
    in_turns(range(300), asked, granting(500), deadline=Deadline.after(20), name="test")
    assert sorted(asked.items) == [*range(300)]
    assert asked.most <= 128


@pytest.mark.parametrize("hanging", [40, 100])
def test_those_that_hang_hold_up_no_others(hanging: int) -> None:
    ends = threading.Event()
    asked = Asked(lambda item: item < hanging and ends.wait(20))
    done = threading.Thread(
        target=in_turns,
        args=(range(150), asked, granting(200)),
        kwargs={"deadline": Deadline.after(20), "name": "test"},
    )
    done.start()
    while len(asked.items) < 150 - hanging and not ends.wait(0.01):
        assert done.is_alive()
    assert all(one < other for one, other in pairwise(sorted(asked.items)))
    assert min(asked.items) == hanging
    ends.set()
    done.join()


def test_who_was_not_asked_yet_comes_before_who_is_to_be_asked_again_and_has_the_longer_deadline() -> None:
    asked: list[tuple[int, int]] = []

    def ask(item: int, times: int) -> float:
        time.sleep(0.05)
        asked.append((times, item))
        return 0.0

    again_until, deadline = Deadline.after(0.1), Deadline.after(10)
    # one thread: the tenth is asked for after half a second
    in_turns(range(10), ask, granting(0.1, 5), deadline=deadline, again_until=again_until, name="test")
    assert asked[:10] == [(0, item) for item in range(10)]
    assert deadline.remaining > 5  # the last ones were waited for, and nobody else
