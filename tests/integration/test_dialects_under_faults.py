"""What goes wrong at one simulated exchange is told in its own form, in candles and trades alike, and at no other."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from pricetracker_dagster.simulator import Simulator
from tests.dialects import ALL_DIALECTS

NOON = datetime(2026, 3, 3, 12, 0, 50, tzinfo=UTC)
FORMING = int(NOON.timestamp()) // 60 * 60
NEWEST = FORMING - 60

Rows = dict[int, list[float | None]]
"""Minute to open, high, low, close, volume."""


def _floats(cells: list[Any]) -> list[float | None]:
    return [None if cell is None else float(cell) for cell in cells]


def _kraken(answer: Any) -> Rows:
    [rows] = [rows for key, rows in answer["result"].items() if key != "last"]
    return {row[0]: _floats([*row[1:5], row[6]]) for row in rows}


def _bitstamp(answer: Any) -> Rows:
    fields = ("open", "high", "low", "close", "volume")
    return {int(row["timestamp"]): _floats([row[field] for field in fields]) for row in answer["data"]["ohlc"]}


WRITTEN: dict[str, tuple[str, Callable[[Any], Rows]]] = {
    "kraken": (f"/0/public/OHLC?pair=XBTUSD&since={FORMING - 660}", _kraken),
    "coinbase": (
        f"/products/BTC-USD/candles?granularity=60&start={FORMING - 600}&end={FORMING}",
        lambda answer: {row[0]: _floats([row[3], row[2], row[1], row[4], row[5]]) for row in answer},
    ),
    "binance": (
        f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={(FORMING - 600) * 1000}",
        lambda answer: {row[0] // 1000: _floats(row[1:6]) for row in answer},
    ),
    "bitstamp": ("/api/v2/ohlc/btcusd/?step=60&limit=11", _bitstamp),
    "bitfinex": (
        f"/v2/candles/trade:1m:tBTCUSD/hist?start={(FORMING - 600) * 1000}",
        lambda answer: {row[0] // 1000: _floats([row[1], row[3], row[4], row[2], row[5]]) for row in answer},
    ),
    "gemini": (
        "/v2/candles/btcusd/1m",
        lambda answer: {row[0] // 1000: _floats(row[1:6]) for row in answer if row[0] >= (FORMING - 600) * 1000},
    ),
    "okx": (
        "/api/v5/market/candles?instId=BTC-USD&bar=1m&limit=11",
        lambda answer: {int(row[0]) // 1000: _floats(row[1:6]) for row in answer["data"]},
    ),
}
NAMES = tuple(WRITTEN)


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    with Simulator(clock=lambda: NOON, dialects=ALL_DIALECTS) as simulator:
        yield simulator


def rows(exchange: Simulator, name: str) -> Rows:
    path, read = WRITTEN[name]
    answer = requests.get(exchange.url + path, timeout=60)
    assert answer.status_code == 200, answer.text
    return read(answer.json())


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def well(exchange: Simulator, name: str) -> Rows:
    """The candles without a fault."""
    found = rows(exchange, name)
    assert set(found) >= set(range(FORMING - 600, FORMING + 60, 60))  # XBT/USD trades in each of them
    return found


@pytest.fixture
def others(exchange: Simulator, name: str) -> Iterator[None]:
    """Compare the other exchanges with themselves when the fault is on."""
    elsewhere = [other for other in NAMES if other != name]
    before = {other: rows(exchange, other) for other in elsewhere}
    yield
    assert {other: rows(exchange, other) for other in elsewhere} == before


@pytest.mark.usefixtures("others")
def test_a_hole_is_absent_at_one_exchange(exchange: Simulator, name: str, well: Rows) -> None:
    hole = range(FORMING - 300, FORMING - 180, 60)
    exchange.faults.add("hole", exchange=name, pair="XBTUSD", since=hole[0], until=hole[-1])
    assert rows(exchange, name) == {minute: row for minute, row in well.items() if minute not in hole}


@pytest.mark.usefixtures("others")
def test_a_later_correction_doubles_a_volume_and_changes_a_close(exchange: Simulator, name: str, well: Rows) -> None:
    exchange.faults.add("correction", exchange=name, minutes=1)
    early = rows(exchange, name)
    assert {minute for minute in well if early[minute] != well[minute]} == {NEWEST}
    assert early[NEWEST][4] == pytest.approx(float(well[NEWEST][4] or 0) / 2, abs=1e-8)
    assert early[NEWEST][3] == well[NEWEST][0]


@pytest.mark.usefixtures("others")
def test_an_insane_row_has_no_high_and_a_negative_volume(exchange: Simulator, name: str, well: Rows) -> None:
    exchange.faults.add("insane", exchange=name)
    told = rows(exchange, name)
    assert {minute for minute in well if str(told[minute]) != str(well[minute])} == {NEWEST}
    assert str(told[NEWEST][1]) in ("nan", "None")
    assert told[NEWEST][4] == -1


@pytest.mark.usefixtures("others")
def test_a_burst_multiplies_the_volume_of_one_minute(exchange: Simulator, name: str, well: Rows) -> None:
    exchange.faults.add("burst", exchange=name, pair="XBTUSD", since=NEWEST, until=NEWEST, factor=50)
    told = rows(exchange, name)
    assert {minute for minute in well if told[minute] != well[minute]} == {NEWEST}
    assert told[NEWEST][:4] == well[NEWEST][:4]
    assert told[NEWEST][4] == pytest.approx(50 * float(well[NEWEST][4] or 0), rel=1e-9)


@pytest.mark.usefixtures("others")
def test_every_second_answer_of_a_lagging_node_lacks_trades(exchange: Simulator, name: str, well: Rows) -> None:
    exchange.faults.add("lagging", exchange=name, minutes=2)
    told = [rows(exchange, name) for _ in range(2)]
    behind = next(one for one in told if one != well)
    assert well in told
    assert {minute for minute in well if behind[minute] != well[minute]} == {NEWEST - 60, NEWEST}
    assert float(behind[NEWEST][4] or 0) < float(well[NEWEST][4] or 0)


@pytest.mark.usefixtures("others")
def test_a_clock_that_is_behind_moves_the_forming_minute(exchange: Simulator, name: str, well: Rows) -> None:
    exchange.faults.add("clock_skew", exchange=name, seconds=-120)
    assert max(rows(exchange, name)) == max(well) - 120


def test_the_forming_minute_holds_what_was_traded_so_far(exchange: Simulator, name: str, well: Rows) -> None:
    market = exchange.dialects[name].market
    pair = next(pair for pair in market.pairs if pair.altname == "XBTUSD")
    so_far = [trade for trade in market.trades(pair, FORMING) if trade.time <= int(NOON.timestamp()) * 10**9]
    assert 0 < len(so_far) < len(market.trades(pair, FORMING))
    assert well[FORMING][3] == float(so_far[-1].price)
    assert well[FORMING][4] == pytest.approx(float(sum(trade.volume for trade in so_far)), rel=1e-12)


def test_a_fault_of_one_pair_goes_by_krakens_name_at_every_exchange(exchange: Simulator, name: str) -> None:
    exchange.faults.add("server_error", exchange=name, pair="XBTUSD")
    path = WRITTEN[name][0]
    other = path.replace("XBTUSD", "ETHUSD").replace("BTC", "ETH").replace("btcusd", "ethusd")
    told = [requests.get(exchange.url + one, timeout=60).status_code for one in (path, other)]
    assert told == [502, 200]
