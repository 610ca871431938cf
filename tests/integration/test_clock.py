"""This machine's clock against the exchange's, and ticks that were stopped: nothing that came late goes unnamed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.store.clock import clock_differences
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench


def tick(bench: Bench, *, ahead: timedelta = timedelta(), **how: Any) -> Collected:
    """A tick of a machine whose clock is so far ahead of the exchange's."""

    def now() -> datetime:
        return bench.now + ahead

    minute = now().replace(second=0) - MINUTE
    return collect_minute(bench.settings, minute, **{"now": now, **how})


def named(bench: Bench) -> set[str]:
    """The minutes of BTCUSD of which it is noted that nobody asked for them in time."""
    rows = open_store(bench.settings).records.causes.rows()
    return {f"{row['minute']:%H:%M}" for row in rows if row["cause"] == "not run" and "BTCUSD" in row["metric"]}


@pytest.mark.parametrize("seconds", [-20, 0, 20, 40])
def test_a_tick_measures_the_difference_and_keeps_it(start: Callable[..., Bench], seconds: int) -> None:
    bench = start("BTCUSD", now=datetime(2026, 3, 3, 12, 0, 10, tzinfo=UTC))
    ahead = timedelta(seconds=seconds)
    collected = collect_minute(bench.settings, bench.minute, now=lambda: bench.now + ahead)
    assert collected.clocks == {"SIMULATED": seconds}
    assert clock_differences(bench.settings.state, bench.now + timedelta(minutes=1)) == {"SIMULATED": float(seconds)}


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (
            timedelta(minutes=2),
            "SIMULATED's clock says 12:00:05, this machine's 12:02:05: the minute is not over there; check",
        ),
        (timedelta(hours=2), "SIMULATED's clock says 12:00:05, this machine's 14:00:05"),
        (timedelta(days=3), "SIMULATED's clock says 2026-03-03 12:00:05, this machine's 2026-03-06 12:00:05"),
    ],
)
def test_a_minute_that_is_over_here_and_not_there_is_told_as_a_matter_of_the_clock(
    start: Callable[..., Bench], ahead: timedelta, said: str
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    collected = tick(bench, ahead=ahead)
    assert set(collected.missing) == {"SIMULATED:BTCUSD", "SIMULATED:ETHUSD"}
    assert collected.summary().count(said) == 2
    kept = json.loads((bench.settings.state / "clock.json").read_text())
    assert kept["SIMULATED"]["ahead"] == ahead.total_seconds()


def test_after_a_stop_of_all_every_minute_that_had_no_tick_of_its_own_is_named(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    tick(bench)  # for 11:59
    bench.now += timedelta(minutes=5)  # 12:00 to 12:03 were never asked for, 12:04 is in time
    assert tick(bench).missing == {}
    assert named(bench) == {"12:00", "12:01", "12:02", "12:03"}


@pytest.mark.parametrize(("minutes", "expected"), [(1, set()), (2, set()), (3, {"12:00", "12:01"})])
def test_a_tick_or_two_that_were_skipped_are_within_the_grace(
    start: Callable[..., Bench], minutes: int, expected: set[str]
) -> None:
    bench = start("BTCUSD")
    tick(bench)
    bench.now += timedelta(minutes=minutes)
    tick(bench)
    assert named(bench) == expected


def test_a_tick_that_was_stopped_in_its_middle_names_its_own_minute(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    tick(bench)
    bench.now += MINUTE
    minute = bench.minute
    times = iter([bench.now, bench.now + timedelta(minutes=4)])
    collected = collect_minute(bench.settings, minute, now=lambda: next(times, bench.now + timedelta(minutes=4)))
    assert collected.missing == {}
    assert named(bench) == {"12:00"}
    bench.now += timedelta(minutes=4)  # the next one names what came between
    tick(bench)
    assert named(bench) == {"12:00", "12:01", "12:02", "12:03"} - {f"{bench.minute:%H:%M}"}


def test_the_first_tick_of_a_new_folder_names_nothing_however_late(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    collect_minute(bench.settings, bench.minute - timedelta(minutes=30), now=lambda: bench.now)
    assert named(bench) == set()
