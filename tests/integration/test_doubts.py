"""An answer that takes trades away from a stored minute is stored only once a second one says the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.store.prices import UpsertedCandles
from pricetracker_dagster.store.store import Store, store_in

from .conftest import Bench

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
NOW = datetime(2026, 3, 3, 12, 5, 3, tzinfo=UTC)
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


def answer(
    store: Store,
    after: float,
    trades: int,
    volume: float | None = None,
    *,
    metric: str = BTC,
    minute: datetime = NOON,
) -> UpsertedCandles:
    """Upsert one candle, so many seconds after the first."""
    volume = trades / 2 if volume is None else volume
    now = NOW + timedelta(seconds=after)
    row = (metric, int(minute.timestamp()), 10, 10, 10, 10, volume, trades)
    return store.prices.upsert(validate_rows([row], now).kept, now=now)


def stored(store: Store, metric: str = BTC) -> tuple[int, float]:
    """Return trades and volume of the one stored candle."""
    found = store.prices.candles([metric], NOON, NOON)
    return found.column("trades").to_pylist()[0], found.column("volume").to_pylist()[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that has one candle of 8 trades."""
    store = store_in(tmp_path)
    answer(store, 0, 8)
    return store


@pytest.mark.parametrize(("trades", "volume"), [(7, 4.0), (3, 1.5), (8, 3.9), (9, 3.0), (0, 0.0)])
def test_an_answer_that_takes_away_is_a_doubt_until_a_minute_later_one_says_the_same(
    store: Store, trades: int, volume: float
) -> None:
    done = answer(store, 10, trades, volume)
    assert (done.updated, done.doubted, stored(store)) == (0, 1, (8, 4.0))
    assert [(doubt.metric, doubt.minute, doubt.stored_trades) for doubt in store.prices.doubts(NOW + MINUTE)] == [
        (BTC, NOON, 8)
    ]
    assert answer(store, 69, trades, volume).doubted == 1
    assert stored(store) == (8, 4.0)
    done = answer(store, 70, trades, volume)
    assert (done.updated, done.doubted, stored(store)) == (1, 0, (trades, volume))
    assert store.prices.doubts(NOW + timedelta(hours=1)) == []


@pytest.mark.parametrize(("trades", "volume"), [(9, 4.5), (8, 4.1), (8, 4.0 * (1 - 1e-10)), (800, 400.0)])
def test_an_answer_that_takes_nothing_away_is_a_correction_at_once(store: Store, trades: int, volume: float) -> None:
    done = answer(store, 10, trades, volume)
    assert (done.updated, done.doubted, stored(store)) == (1, 0, (trades, volume))


def test_the_first_answer_is_never_a_doubt(tmp_path: Path) -> None:
    assert answer(store_in(tmp_path), 0, 0).inserted == 1
    assert not (tmp_path / "state" / "doubts.json").exists()


@pytest.mark.parametrize("between", [8, 9])
def test_a_full_answer_between_cancels_the_doubt(store: Store, between: int) -> None:
    answer(store, 0, 3)
    answer(store, 30, between)
    assert store.prices.doubts(NOW + MINUTE) == []
    assert answer(store, 90, 3).doubted == 1
    assert stored(store)[0] == between


def test_another_answer_that_takes_away_begins_a_doubt_anew(store: Store) -> None:
    answer(store, 0, 3)
    answer(store, 50, 4)
    assert answer(store, 100, 4).doubted == 1
    assert answer(store, 110, 4).updated == 1


def test_the_doubts_of_two_metrics_and_minutes_are_apart(store: Store) -> None:
    answer(store, 0, 8, metric=ETH)
    answer(store, 0, 8, minute=NOON + MINUTE)
    answer(store, 0, 3)
    assert answer(store, 70, 3, metric=ETH).doubted == 1
    assert answer(store, 70, 3, minute=NOON + MINUTE).doubted == 1
    assert answer(store, 70, 3).updated == 1
    assert (stored(store), stored(store, ETH)) == ((3, 1.5), (8, 4.0))
    assert len(store.prices.doubts(NOW + timedelta(hours=1))) == 2


def test_beside_a_doubt_the_other_rows_are_stored(store: Store) -> None:
    keys = [(metric, minute) for metric in (BTC, ETH) for minute in (NOON, NOON + MINUTE)]
    rows = [(metric, int(minute.timestamp()), 10, 10, 10, 10, 1, 2) for metric, minute in keys]
    done = store.prices.upsert(validate_rows(rows, NOW).kept, now=NOW)
    assert (done.inserted, done.updated, done.doubted) == (3, 0, 1)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[[",
        b"{}",
        b"[1, null, []]",
        b"\xff\xfe",
        b'[["KRAKEN:BTCUSD", 1772539200, 8, 4.0, [10, 10, 10, 10, 1.5, 3], "2026-03-04T00:00:00+00:00"]]',
        b'[["KRAKEN:BTCUSD", 1e300, 8, 4.0, [10, 10, 10, 10, 1.5, 3], "2026-03-03T00:00:00+00:00"]]',
        b'[["KRAKEN:BTCUSD", 1772539200, 8, 4.0, [10, 10, 10, 10, 1.5, 3], "2026-03-03T00:00:00"]]',
    ],
)
def test_where_the_doubts_are_lost_damaged_or_of_the_future_they_begin_anew(
    store: Store, content: bytes | None
) -> None:
    answer(store, 0, 3)
    file = store.folder.state / "doubts.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert answer(store, 70, 3).doubted == 1
    assert answer(store, 130, 3).updated == 1


def test_where_a_doubt_cannot_be_noted_what_is_stored_stays(store: Store) -> None:
    (store.folder.state / "doubts.json").mkdir(parents=True)
    for after in (0, 70, 140):
        assert answer(store, after, 3).doubted == 1
    assert stored(store)[0] == 8


def test_with_a_node_that_lags_every_minute_is_final(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    begin = bench.minute
    collect_minute(bench.settings, bench.minute)
    bench.exchange.faults.add("lagging", minutes=3)
    doubted = 0
    for _ in range(7):
        bench.now += MINUTE
        doubted += len(collect_minute(bench.settings, bench.minute).doubts)
    bench.exchange.faults.clear()
    last = bench.minute
    seen = bench.store.prices.candles(["SIMULATED:BTCUSD", BTC], begin, last)
    collect_minute(bench.settings, last)
    final = bench.store.prices.candles(["SIMULATED:BTCUSD", BTC], begin, last)
    older = seen.num_rows - 2  # the last two may have been answered by the lagging node alone
    assert doubted > 0
    assert older == 6
    for name in ("trades", "volume", "close"):
        assert seen.column(name).to_pylist()[:older] == final.column(name).to_pylist()[:older]


def test_a_doubt_about_a_minute_that_is_about_to_be_left_alone_is_decided_all_the_same(
    start: Callable[..., Bench],
) -> None:
    bench = start("BTCUSD")

    def tick() -> None:
        collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
        bench.now += MINUTE

    tick()
    last = bench.minute - 5 * MINUTE  # the oldest that the next tick asks for again
    [true] = bench.store.prices.candles(["SIMULATED:BTCUSD"], last, last).to_pylist()
    prices = (true[name] for name in ("open", "high", "low", "close"))
    too_much = validate_rows([("SIMULATED:BTCUSD", int(last.timestamp()), *prices, 9e6, 9000)], bench.now).kept
    assert bench.store.prices.upsert(too_much, now=bench.now).updated == 1
    for expected in (9e6, true["volume"], true["volume"]):
        tick()
        [row] = bench.store.prices.candles(["SIMULATED:BTCUSD"], last, last).to_pylist()
        assert row["volume"] == expected
    assert bench.store.prices.doubts(bench.now) == []
