"""What was stored right after its close is corrected also where what follows it is healed from trades."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import load_settings
from tests.integration.conftest import Bench

ETH = "SIMULATED:ETHUSD"


def tick(bench: Bench) -> Collected:
    return collect_minute(load_settings(), bench.minute, now=lambda: bench.now)


def figures(bench: Bench, first: datetime, last: datetime) -> list[tuple[Any, ...]]:
    columns = bench.store.prices.candles([ETH], first, last)
    names = ("minute", "close", "volume", "trades")
    return [*zip(*(columns.column(name).to_pylist() for name in names), strict=True)]


def traded(bench: Bench, first: datetime, last: datetime) -> list[tuple[Any, ...]]:
    """Add up the trades of each minute that has some."""
    [pair] = [pair for pair in bench.exchange.market.pairs if pair.altname == "ETHUSD"]
    found = []
    for i in range((last - first) // MINUTE + 1):
        minute = first + i * MINUTE
        trades = bench.exchange.market.trades(pair, int(minute.timestamp()))
        if trades:
            volume = float(sum(trade.volume for trade in trades))
            found.append((minute, float(trades[-1].price), pytest.approx(volume, rel=1e-12), len(trades)))
    return found


@pytest.mark.parametrize("minutes", [2, *(pytest.param(each, marks=pytest.mark.long) for each in (8, 30)), 200])
def test_minutes_before_a_gap_that_is_healed_from_trades_are_final_too(
    start: Callable[..., Bench], minutes: int
) -> None:
    bench = start("ETHUSD", extra="[collect]\nbudget_seconds = 10\n")
    tick(bench)
    bench.exchange.faults.add("correction", minutes=3)
    bench.now += 3 * MINUTE
    tick(bench)
    provisional = bench.minute
    first = provisional - 2 * MINUTE
    bench.exchange.faults.clear()
    assert [row for row in figures(bench, first, provisional) if row[3]] != traded(bench, first, provisional)
    bench.exchange.faults.add("hole")
    bench.now += timedelta(minutes=minutes)
    assert tick(bench).missing == {}
    bench.exchange.faults.clear()
    bench.now += 7 * MINUTE
    tick(bench)
    assert [row for row in figures(bench, first, bench.minute) if row[3]] == traded(bench, first, bench.minute)
    assert bench.store.prices.gaps([ETH], first, bench.minute) == {}


def test_where_candles_came_no_more_is_rebuilt_than_what_they_lack(start: Callable[..., Bench]) -> None:
    bench = start("ETHUSD")
    tick(bench)
    unix = int(bench.now.timestamp()) // 60 * 60
    bench.exchange.faults.add("hole", since=unix + 60, until=unix + 120)
    bench.now += 6 * MINUTE
    assert tick(bench).inserted == 6
    asked = [each for each in bench.exchange.recent if each["endpoint"] == "Trades"]
    assert [int(each["since"]) // 10**9 + 1 for each in asked[:1]] == [unix + 60]
