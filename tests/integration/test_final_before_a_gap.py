"""What was stored right after its close is corrected also where what follows it comes some other way."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.collect.turns import Turns
from pricetracker_dagster.exchanges.kraken.client import Kraken
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


def begin(start: Callable[..., Bench]) -> tuple[Bench, datetime, datetime]:
    """Store some minutes, the last ones with values that are corrected later; return the ends of these."""
    bench = start("ETHUSD", extra="[collect]\nbudget_seconds = 10\n")
    tick(bench)
    bench.exchange.faults.add("correction", minutes=3)
    bench.now += 3 * MINUTE
    tick(bench)
    last = bench.minute
    first = last - 2 * MINUTE
    bench.exchange.faults.clear()
    assert [row for row in figures(bench, first, last) if row[3]] != traded(bench, first, last)
    return bench, first, last


@pytest.mark.parametrize("minutes", [2, *(pytest.param(each, marks=pytest.mark.long) for each in (8, 30)), 200])
def test_minutes_before_a_gap_that_is_healed_from_trades_are_final_too(
    start: Callable[..., Bench], minutes: int
) -> None:
    bench, first, _ = begin(start)
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


def by_backfill(bench: Bench) -> None:
    backfill(bench.settings, bench.minute - timedelta(hours=6), bench.minute)


def by_backfill_from_trades(bench: Bench) -> None:
    bench.exchange.faults.add("hole")
    by_backfill(bench)


def by_two_backfills(bench: Bench) -> None:
    """The first one stores the newest minutes only."""
    backfill(bench.settings, bench.minute - 9 * MINUTE, bench.minute)
    by_backfill_from_trades(bench)


def by_import(bench: Bench) -> None:
    """Whatever stores minutes that it did not ask the exchange for."""
    rows = [
        {"metric": ETH, "minute": minute, **dict.fromkeys(("open", "high", "low", "close"), close)}
        | {"volume": 1.0, "trades": trades, "fetched_at": bench.now}
        for minute, close, _, trades in traded(bench, bench.minute - 29 * MINUTE, bench.minute)
    ]
    bench.store.prices.upsert(pa.Table.from_pylist(rows, schema=SCHEMA), now=bench.now)


@pytest.mark.parametrize(
    ("others", "memory"),
    [(by_backfill_from_trades, "kept"), (by_two_backfills, "lost"), (by_import, "kept"), (by_import, "lost")],
)
def test_a_tick_asks_again_for_what_was_stored_right_after_its_close_whoever_stores_later_minutes(
    start: Callable[..., Bench], others: Callable[[Bench], None], memory: str
) -> None:
    bench, first, last = begin(start)
    bench.now += 30 * MINUTE
    if memory == "lost":
        (bench.settings.state / "turns.json").unlink()
    others(bench)
    bench.exchange.faults.clear()
    bench.now += MINUTE
    tick(bench)
    assert [row for row in figures(bench, first, last) if row[3]] == traded(bench, first, last)
    assert [row[0] for row in figures(bench, last, bench.minute)][-1] == bench.minute


@pytest.mark.parametrize("reach", [6, 1])
def test_a_backfill_asks_again_for_the_minutes_before_a_gap(
    start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    monkeypatch.setattr(Kraken, "reach", timedelta(hours=reach))
    bench, first, last = begin(start)
    bench.now += 100 * MINUTE
    by_backfill(bench)
    assert [row for row in figures(bench, first, last) if row[3]] == traded(bench, first, last)


def test_a_tick_asks_for_no_more_than_the_last_minutes_once_candles_have_brought_them(
    start: Callable[..., Bench],
) -> None:
    bench, *_ = begin(start)
    bench.now += 30 * MINUTE
    by_backfill(bench)
    for _ in range(3):
        bench.now += MINUTE
        tick(bench)
    asked = [each for each in bench.exchange.recent if each["endpoint"] == "OHLC"]
    # since is exclusive: the tick's own minute, and four before the newest that the tick before it was for
    assert int(bench.minute.timestamp()) - int(asked[-1]["since"]) == 6 * 60


def test_what_candles_brought_is_remembered_under_a_clock_that_is_behind(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
    turns = Turns(tmp_path, [ETH], noon)
    turns[ETH].asked = turns[ETH].brought = int(noon.timestamp())
    turns.save()
    behind = Turns(tmp_path, [ETH], noon - 7 * MINUTE)
    assert behind[ETH].asked == 0
    assert behind.brought({ETH: noon + timedelta(hours=3)}) == {ETH: noon}


def test_two_gaps_whose_answers_have_minutes_in_common_are_both_filled(
    start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kraken, "reach", timedelta(hours=1))
    bench = start("ETHUSD")
    second = bench.minute - timedelta(hours=3)
    stored = [second - minutes * MINUTE for minutes in (4, 2, 1)]  # the gaps: one minute before, and from it on
    rows = [
        {"metric": ETH, "minute": minute, **dict.fromkeys(("open", "high", "low", "close"), 1.0)}
        | {"volume": 1.0, "trades": 1, "fetched_at": minute + timedelta(seconds=62)}
        for minute in stored
    ]
    bench.store.prices.upsert(pa.Table.from_pylist(rows, schema=SCHEMA), now=bench.now)
    first, last = stored[0], second + 2 * MINUTE
    assert len(bench.store.prices.gaps([ETH], first, last)[ETH]) == 2
    done = backfill(bench.settings, first, last)
    assert (done.missing, done.causes) == ({}, {})
    found = figures(bench, first, last)
    assert [row[0] for row in found] == [first + i * MINUTE for i in range(7)]
    assert [row for row in found if row[3]] == traded(bench, first, last)


def test_a_backfill_of_many_metrics_stores_them_together(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD", "ETHUSD", "GRTETH", "USDTUSD")
    told: list[tuple[int, int]] = []
    first = bench.minute - timedelta(hours=3)
    done = backfill(bench.settings, first, bench.minute, on_progress=lambda done, total, _: told.append((done, total)))
    assert done.missing == {}
    assert {total for _, total in told} == {4 * 181}
    assert sorted(told) == told
    assert told[-1] == (4 * 181, 4 * 181)
    table = bench.store.prices.open()
    assert table is not None
    assert table.version() <= 2  # a commit for each UTC day, beside the one that makes the table
