"""Minutes without trades stand at the close of the minute before them, also once that is known better."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.store.prices import UpsertedCandles
from pricetracker_dagster.store.store import Store, store_in

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
START = datetime(2025, 11, 24, 23, 57, tzinfo=UTC)
NOW = datetime(2025, 11, 27, 12, 0, 3, tzinfo=UTC)


def bring(store: Store, closes: Mapping[int, object]) -> UpsertedCandles:
    """Import a file with lines at some minutes after START, so that the day ends after the third."""
    path = store.folder.path.parent / "XBTUSD_1.csv"
    unix = int(START.timestamp())
    lines = [f"{unix + 60 * minute},{close},{close},{close},{close},2,4\n" for minute, close in closes.items()]
    path.write_text("".join(lines))
    [sheet] = ohlcvt.read([path], fetched_at=NOW, now=NOW)
    return store.prices.upsert(sheet.candles, derived=sheet.derived, now=NOW)


def state(store: Store, rows: Mapping[int, tuple[float, int]], metric: str = BTC) -> UpsertedCandles:
    """Upsert close and trades of some minutes after START, as an exchange states them."""
    raw = [
        (metric, int((START + minute * MINUTE).timestamp()), close, close, close, close, trades / 2, trades)
        for minute, (close, trades) in rows.items()
    ]
    return store.prices.upsert(validate_rows(raw, NOW).kept, now=NOW)


def stored(store: Store, metric: str = BTC) -> dict[int, float]:
    """Return the close of each minute after START; of those without trades all prices are the same."""
    found = store.prices.candles([metric], START, START + timedelta(days=2)).to_pylist()
    assert all(row["open"] == row["high"] == row["low"] == row["close"] for row in found)
    return {(row["minute"] - START) // MINUTE: row["close"] for row in found}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that has minutes 0 to 5, of which 1 to 4 had no line in a file."""
    store = store_in(tmp_path / "data")
    bring(store, {0: 100, 5: 101})
    return store


def test_what_was_filled_takes_the_close_of_a_row_that_appears_before_it(store: Store) -> None:
    for updated in (3, 0):
        done = bring(store, {0: 100, 2: 155, 5: 101})
        assert (done.inserted, done.updated, done.doubted) == (0, updated, 0)
        assert stored(store) == {0: 100, 1: 100, 2: 155, 3: 155, 4: 155, 5: 101}


def test_what_was_filled_takes_the_close_of_a_row_that_changes_before_it(store: Store) -> None:
    assert state(store, {0: (102, 9), 5: (103, 9)}).updated == 6
    assert stored(store) == {0: 102, 1: 102, 2: 102, 3: 102, 4: 102, 5: 103}


@pytest.mark.parametrize("missed", [(1, 2), (2, 1)])
def test_what_was_filled_after_broken_lines_takes_the_close_of_their_minutes_once_known(
    tmp_path: Path, missed: tuple[int, int]
) -> None:
    store = store_in(tmp_path / "data")
    bring(store, {0: 100, 1: "x", 2: "x", 5: 101})
    assert stored(store) == {0: 100, 3: 100, 4: 100, 5: 101}
    for minute in missed:
        state(store, {minute: (150 + minute, 4)})
    assert stored(store) == {0: 100, 1: 151, 2: 152, 3: 152, 4: 152, 5: 101}


def test_a_quiet_minute_that_was_stated_outweighs_a_guess_over_a_gap(tmp_path: Path) -> None:
    store = store_in(tmp_path / "data")
    state(store, {3: (155, 0), 4: (155, 0)})  # what was traded in minute 2 is neither stored nor in the file
    bring(store, {0: 100, 5: 101})
    assert stored(store) == {0: 100, 1: 100, 2: 100, 3: 155, 4: 155, 5: 101}


def test_what_one_answer_says_of_both_is_taken_as_it_says(store: Store) -> None:
    assert state(store, {0: (102, 9), 1: (100, 0), 2: (102, 4)}).updated == 4  # 3 and 4 follow 2
    assert stored(store) == {0: 102, 1: 100, 2: 102, 3: 102, 4: 102, 5: 101}


def test_a_doubted_row_moves_nothing_before_it_is_confirmed(store: Store) -> None:
    assert state(store, {0: (99, 1)}).doubted == 1
    assert stored(store)[4] == 100


def test_another_metric_and_what_had_trades_stay(store: Store) -> None:
    state(store, {0: (10, 4), 1: (10, 0), 2: (11, 4), 3: (11, 0)}, ETH)
    state(store, {1: (155, 4)})
    assert stored(store) == {0: 100, 1: 155, 2: 155, 3: 155, 4: 155, 5: 101}
    assert stored(store, ETH) == {0: 10, 1: 10, 2: 11, 3: 11}
