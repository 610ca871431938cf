"""No row of a minute that is not closed is stored, and no derived row replaces an observed one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes, not_in
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.exchanges.kraken.ohlcvt import read
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import store_in

BTC = "KRAKEN:BTCUSD"
NOW = datetime(2026, 3, 3, 12, 5, 3, tzinfo=UTC)
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


def candle(minute: datetime, price: float = 10.0, trades: int = 3) -> tuple[object, ...]:
    """Return a candle as an exchange writes it."""
    return (BTC, int(minute.timestamp()), price, price, price, price, trades / 2, trades)


@pytest.mark.parametrize("ahead", [timedelta(), MINUTE, timedelta(hours=2), timedelta(days=3), timedelta(days=400)])
def test_a_minute_that_is_not_closed_is_not_stored_and_named(tmp_path: Path, ahead: timedelta) -> None:
    store = store_in(tmp_path)
    future = NOW.replace(second=0) + ahead
    done = store.prices.upsert(validate_rows([candle(NOON + 4 * MINUTE), candle(future)], NOW).kept, now=NOW)
    assert (done.inserted, [row.minute for row in done.rejected]) == (1, [future])
    assert "not closed" in str(done.rejected[0])
    assert store.prices.rows() == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=3), timedelta(days=400)])
def test_what_was_stored_and_published_by_a_clock_ahead_moves_as_of_no_more(tmp_path: Path, ahead: timedelta) -> None:
    store = store_in(tmp_path)
    rows = [candle(NOON + k * MINUTE, 10.0 + k) for k in range(5)]
    store.prices.upsert(validate_rows([*rows, candle(NOON + ahead)], NOW).kept, now=NOW + ahead)
    assert publish(store, [BTC], now=NOW + ahead).as_of == NOON + ahead
    right = publish(store, [BTC], now=NOW)
    assert (right.as_of, right.values) == (NOON + 4 * MINUTE, 20)
    assert publish(store, [BTC], now=NOW).as_of == NOON + 4 * MINUTE
    assert [row.minute for row in store.prices.future_rows(NOW)] == [NOON + ahead]
    assert store.prices.newest([BTC], NOON, NOON + 4 * MINUTE) == {BTC: NOON + 4 * MINUTE}


@pytest.mark.parametrize("line", ["1798761600", "1893456000", "4102444740"])
def test_an_import_fills_nothing_up_to_a_line_of_the_future(tmp_path: Path, line: str) -> None:
    file = tmp_path / "XBTUSD_1.csv"
    begin = int(NOON.timestamp())
    file.write_text(f"{begin},1,1,1,1,1,1\n{begin + 180},1,1,1,1,1,1\n{line},1,1,1,1,1,1\n")
    [sheet] = read([file], fetched_at=NOW, now=NOW)
    assert (sheet.candles.num_rows, sheet.filled, len(sheet.rejected)) == (4, 2, 1)


def test_a_derived_row_is_inserted_and_replaces_nothing_and_an_observed_one_replaces_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.prices.upsert(validate_rows([candle(NOON + MINUTE, 20.0)], NOW).kept, now=NOW)
    ends = validate_rows([candle(NOON), candle(NOON + 3 * MINUTE)], NOW).kept
    filled = fill_no_trade_minutes(ends, {BTC: MinuteRange(NOON, NOON + 3 * MINUTE)})
    done = store.prices.upsert(filled, derived=not_in(filled, ends), now=NOW)
    assert (done.inserted, done.updated) == (3, 0)
    found = store.prices.candles([BTC], NOON, NOON + 3 * MINUTE)
    assert found.column("trades").to_pylist() == [3, 3, 0, 3]
    assert found.column("close").to_pylist() == [10.0, 20.0, 10.0, 10.0]
    assert store.prices.upsert(validate_rows([candle(NOON + 2 * MINUTE, 11.0)], NOW).kept, now=NOW).updated == 1


@pytest.mark.parametrize("count", ["1e20", "9223372036854775808", "-1", "1.5", "\ud800", "nan"])
def test_what_the_schema_cannot_hold_is_refused(count: str) -> None:
    rows = [(BTC, int(NOON.timestamp()), 1, 1, 1, 1, 1, count)]
    validated = validate_rows(rows, NOW)
    assert validated.kept.num_rows == 0
    assert "trades" in validated.rejected[0].problem
