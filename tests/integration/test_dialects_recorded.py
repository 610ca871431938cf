"""Each simulated dialect beside recorded answers of the real exchange: fields, order, text or number, digits."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from pricetracker_dagster.simulator import Simulator, SyntheticMarket
from pricetracker_dagster.simulator.faults import Faults
from pricetracker_dagster.simulator.limits import Bucket, Weights
from tests.dialects import ALL_DIALECTS

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "exchanges.json").read_text())
NOON = datetime(2026, 3, 3, 12, 0, 20, tzinfo=UTC)
FORMING = int(NOON.timestamp()) // 60 * 60
MS = FORMING * 1000

type_of = {int: "number", float: "number", str: "text", bool: "bool", type(None): "null"}


@pytest.fixture
def clock() -> list[datetime]:
    return [NOON]


@pytest.fixture
def exchange(clock: list[datetime]) -> Iterator[Simulator]:
    with Simulator(clock=lambda: clock[0], dialects=ALL_DIALECTS) as simulator:
        yield simulator


@pytest.fixture
def ask(exchange: Simulator) -> Callable[..., requests.Response]:
    return lambda path, **query: requests.get(exchange.url + path, params=query, timeout=60)


def shape(value: Any) -> Any:
    """Return the kinds of an answer's values: whole numbers and others are the same kind in JSON."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type_of[type(value)]


def digits(row: list[Any]) -> list[int | None]:
    """Return the digits after the point of each text of a row."""
    return [len(cell.partition(".")[2]) if isinstance(cell, str) else None for cell in row]


def test_klines_of_binance_look_like_the_recorded_ones(ask: Callable[..., requests.Response]) -> None:
    theirs = RECORDED["binance"]["klines"]
    ours = ask("/api/v3/klines", symbol="GRTETH", interval="1m", limit=600).json()
    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs}
    assert {str(digits(row)) for row in ours} == {str(digits(row)) for row in theirs}
    assert [row[0] for row in ours] == list(range(MS - 599 * 60_000, MS + 1, 60_000))
    assert {row[6] - row[0] for row in ours} == {row[6] - row[0] for row in theirs} == {59_999}
    quiet = [row for row in ours if row[8] == 0]
    assert len(quiet) > 400
    for before, row in itertools.pairwise(ours):
        if row[8] == 0:
            assert row[1:5] == [before[4]] * 4
            assert row[5] == row[7] == row[9] == row[10] == "0.00000000"


def test_symbols_and_errors_of_binance_look_like_the_recorded_ones(ask: Callable[..., requests.Response]) -> None:
    theirs = RECORDED["binance"]["symbol"]
    info = ask("/api/v3/exchangeInfo").json()
    assert [limit for limit in info["rateLimits"] if limit not in RECORDED["binance"]["rateLimits"]] == []
    [ours] = [symbol for symbol in info["symbols"] if symbol["symbol"] == theirs["symbol"]]
    flat = {key: shape(value) for key, value in ours.items() if not isinstance(value, list)}
    assert {key: shape(theirs.get(key)) for key in flat if key in theirs} == {
        k: v for k, v in flat.items() if k in theirs
    }
    assert flat.keys() <= theirs.keys()
    assert [shape(one) for one in ours["filters"]] == [shape(one) for one in theirs["filters"]]
    answer = ask("/api/v3/klines", symbol="NOPE", interval="1m")
    assert (answer.status_code, shape(answer.json())) == (400, shape(RECORDED["binance"]["error"]))
    assert answer.json() == {"code": -1121, "msg": "Invalid symbol."}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"interval": "1m"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "1 minute"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": "yesterday"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "-5"}, -1100),
        ({"symbol": "BTCUSD", "interval": "1m"}, -1121),
    ],
)
def test_a_wrong_query_is_refused_as_binance_does(
    ask: Callable[..., requests.Response], query: dict[str, str], code: int
) -> None:
    answer = ask("/api/v3/klines", **query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_candles_of_coinbase_look_like_the_recorded_ones_and_leave_quiet_minutes_out(
    ask: Callable[..., requests.Response],
) -> None:
    ours = ask("/products/BTC-USD/candles", granularity=60).json()
    theirs = RECORDED["coinbase"]["candles"]
    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs}
    assert [row[0] for row in ours] == sorted((row[0] for row in ours), reverse=True)
    assert ours[0][0] == FORMING
    for _, low, high, opening, close, volume in [*theirs, *ours]:
        assert low <= min(opening, close) <= max(opening, close) <= high
        assert volume > 0
    thin = ask("/products/GRT-ETH/candles", granularity=60).json()
    assert 0 < len(thin) < 100


def test_products_of_coinbase_look_like_the_recorded_ones(
    exchange: Simulator, ask: Callable[..., requests.Response]
) -> None:
    ours = {product["id"]: product for product in ask("/products").json()}
    assert shape(ours["ETH-USD"]) == shape(RECORDED["coinbase"]["product"])
    assert list(ours["ETH-USD"]) == list(RECORDED["coinbase"]["product"])
    assert ours["BTC-USD"]["status"] == RECORDED["coinbase"]["product"]["status"]
    exchange.faults.add("delisted", pair="XBTUSD", exchange="coinbase")
    answer = ask("/products/BTC-USD/candles", granularity=60)
    assert (answer.status_code, answer.json()) == (404, {"message": "NotFound"})
    [ended] = [product for product in ask("/products").json() if product["id"] == "BTC-USD"]
    assert {key: ended[key] for key in ("status", "trading_disabled")} == {
        key: RECORDED["coinbase"]["delisted"][key] for key in ("status", "trading_disabled")
    }
    assert ask("/0/public/OHLC", pair="XBTUSD").json()["error"] == []


def test_coinbase_takes_300_minutes_both_ends_included_and_refuses_more(ask: Callable[..., requests.Response]) -> None:
    def rows(start: int, end: int) -> requests.Response:
        told = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (start, end)]
        return ask("/products/BTC-USD/candles", granularity=60, start=told[0], end=told[1])

    end = FORMING - 86_400
    full = rows(end - 299 * 60, end).json()
    assert (full[0][0], full[-1][0]) == (end, end - 299 * 60)
    few = rows(end - 120, end).json()
    assert [row[0] for row in few] == [end, end - 60, end - 120, end - 180]  # one from before the start
    refused = rows(end - 300 * 60, end)
    assert refused.status_code == 400
    assert "exceeds 300" in refused.json()["message"]
    assert ask("/products/BTC-USD/candles", granularity=7).json() == {"message": "Unsupported granularity"}
    assert ask("/products/BTC-USD/candles", granularity=60, start="soon", end="later").status_code == 400


def test_trades_of_coinbase_are_paged_by_their_numbers(ask: Callable[..., requests.Response]) -> None:
    whole = [trade["trade_id"] for trade in ask("/products/ETH-USD/trades", limit=60).json()]
    paged: list[int] = []
    while len(paged) < 60:
        after = {"after": paged[-1]} if paged else {}
        paged += [trade["trade_id"] for trade in ask("/products/ETH-USD/trades", limit=20, **after).json()]
    assert paged == whole == sorted(whole, reverse=True)


def test_rows_of_bitstamp_look_like_the_recorded_ones(ask: Callable[..., requests.Response]) -> None:
    theirs = RECORDED["bitstamp"]["ohlc"]
    ours = ask("/api/v2/ohlc/grteth/", step=60, limit=1000).json()
    assert shape(ours["data"]["ohlc"][0]) == shape(theirs["data"]["ohlc"][0])
    assert list(ours["data"]["ohlc"][0]) == list(theirs["data"]["ohlc"][0])
    assert list(ours["data"]) == list(theirs["data"])
    assert ours["data"]["pair"] == "GRT/ETH"
    assert {row["volume"] for row in ours["data"]["ohlc"]} >= {"0.00000000"}
    assert [int(row["timestamp"]) for row in ours["data"]["ohlc"]] == list(range(FORMING - 999 * 60, FORMING + 60, 60))
    assert shape(ask("/api/v2/trading-pairs-info/").json()[0]) == shape(RECORDED["bitstamp"]["pair"])


def test_a_range_wider_than_its_limit_gives_the_newest_at_bitstamp(ask: Callable[..., requests.Response]) -> None:
    query = {"step": 60, "limit": 10, "start": FORMING - 7200, "end": FORMING - 3600}
    rows = ask("/api/v2/ohlc/btcusd/", **query).json()["data"]["ohlc"]
    assert [int(row["timestamp"]) for row in rows] == list(range(FORMING - 3600 - 540, FORMING - 3540, 60))
    assert ask("/api/v2/ohlc/btcusd/", step=60, limit=1001).status_code == 400


def test_rows_of_bitfinex_look_like_the_recorded_ones(ask: Callable[..., requests.Response]) -> None:
    path = "/v2/candles/trade:1m:tGRTETH/hist"
    ours = ask(path, start=MS - 86_400_000, sort=1, limit=10_000).json()
    theirs = RECORDED["bitfinex"]["candles"]
    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs}
    for _, opening, close, high, low, volume in [*theirs, *ours]:
        assert low <= min(opening, close) <= max(opening, close) <= high
        assert volume > 0
    times = [row[0] for row in ours]
    assert times == sorted(times)
    assert 20 < len(times) < 400
    assert [row[0] for row in ask(path, limit=5).json()] == times[:-6:-1]
    [first, last] = times[3], times[7]
    assert [row[0] for row in ask(path, start=first, end=last, sort=1).json()] == times[3:8]
    assert ask("/v2/candles/trade:1m:tNOPE/hist").json() == ["error", 10020, "symbol: invalid"]
    names = ask("/v2/conf/pub:list:pair:exchange,pub:list:currency").json()
    assert {"BTCUSD", "USTUSD", "DOGE:USD"} <= set(names[0])
    assert {shape(name) for name in names[0]} == {shape(name) for name in RECORDED["bitfinex"]["pairs"]}
    assert "UST" in names[1]


def test_rows_trades_pairs_and_errors_of_gemini_look_like_the_recorded_ones(
    ask: Callable[..., requests.Response],
) -> None:
    theirs = RECORDED["gemini"]
    ours = ask("/v2/candles/grteth/1m").json()
    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs["candles"]}
    assert [row[0] for row in ours] == list(range(MS, MS - 1440 * 60_000, -60_000))
    assert any(row[5] == 0 and row[1] == row[2] == row[3] == row[4] for row in ours)
    trades = ask("/v1/trades/BTCUSD").json()
    assert shape(trades[0]) == shape(theirs["trades"][0])
    assert list(trades[0]) == list(theirs["trades"][0])
    assert [trade["tid"] for trade in trades] == sorted((trade["tid"] for trade in trades), reverse=True)
    assert shape(ask("/v1/symbols").json()[:5]) == shape(theirs["symbols"])
    assert shape(ask("/v1/symbols/details/btcusd").json()) == shape(theirs["details"])
    answer = ask("/v2/candles/bla/1m")
    assert (answer.status_code, shape(answer.json())) == (400, shape(theirs["error"]))
    assert answer.json()["message"].partition("[")[0] == theirs["error"]["message"].partition("[")[0]


def test_rows_and_instruments_of_okx_look_like_the_recorded_ones(ask: Callable[..., requests.Response]) -> None:
    theirs = RECORDED["okx"]
    ours = ask("/api/v5/market/candles", instId="BTC-USD", bar="1m", limit=300).json()
    assert shape(ours | {"data": ours["data"][:2]}) == shape(theirs["candles"])
    assert list(ours) == list(theirs["candles"])
    assert [int(row[0]) for row in ours["data"]] == list(range(MS, MS - 300 * 60_000, -60_000))
    assert [row[8] for row in ours["data"]] == ["0"] + ["1"] * 299
    assert not [cell for row in ours["data"] for cell in row if "." in cell and cell.endswith("0")]
    history = ask("/api/v5/market/history-candles", instId="BTC-USD", after=MS - 120_000, before=MS - 300_000).json()
    assert shape(history["data"][:1]) == shape(theirs["history"]["data"])
    assert [int(row[0]) for row in history["data"]] == [MS - 180_000, MS - 240_000]  # both ends excluded
    [instrument] = [
        one for one in ask("/api/v5/public/instruments", instType="SPOT").json()["data"] if one["instId"] == "BTC-EUR"
    ]
    assert {key: shape(theirs["instrument"][key]) for key in instrument} == shape(instrument)
    unknown = ask("/api/v5/market/candles", instId="NOPE-USD")
    assert (unknown.status_code, unknown.json()["code"], unknown.json()["data"]) == (200, "51001", [])


@pytest.mark.parametrize("name", [dialect.name for dialect in ALL_DIALECTS])
def test_the_header_date_follows_the_clock_of_each_exchange(exchange: Simulator, name: str) -> None:
    paths = {
        "kraken": "/0/public/Time",
        "coinbase": "/time",
        "binance": "/api/v3/ping",
        "bitstamp": "/api/v2/markets/",
        "bitfinex": "/v2/platform/status",
        "gemini": "/v1/symbols",
        "okx": "/api/v5/public/time",
    }
    exchange.faults.add("clock_skew", seconds=-80, exchange=name)
    told = {other: requests.get(exchange.url + path, timeout=60).headers["Date"] for other, path in paths.items()}
    assert told.pop(name) == "Tue, 03 Mar 2026 11:59:00 GMT"
    assert set(told.values()) == {"Tue, 03 Mar 2026 12:00:20 GMT"}


def test_a_pair_is_traded_only_from_its_listing_to_its_end(clock: list[datetime]) -> None:
    market = SyntheticMarket()
    first, end = FORMING - 1200, FORMING - 600
    listed = {"listed_from": first, "delisted_at": end}
    market.pairs = [
        type(pair)(**{**vars(pair), **listed}) if pair.altname == "XBTUSD" else pair for pair in market.pairs
    ]
    with Simulator(clock=lambda: clock[0], dialects=ALL_DIALECTS, market=market) as exchange:

        def get(path: str) -> Any:
            return requests.get(exchange.url + path, timeout=60).json()

        traded = list(range(first, end, 60))
        klines = get("/api/v3/klines?symbol=BTCUSDT&interval=1m")
        assert [row[0] // 1000 for row in klines] == traded
        assert [row[0] for row in get("/products/BTC-USD/candles?granularity=60")] == traded[::-1]
        [symbol] = get("/api/v3/exchangeInfo?symbol=BTCUSDT")["symbols"]
        assert symbol["status"] == "BREAK"
        [product] = [one for one in get("/products") if one["id"] == "BTC-USD"]
        theirs = RECORDED["coinbase"]["delisted"]
        assert {key: product[key] for key in ("status", "trading_disabled")} == {
            key: theirs[key] for key in ("status", "trading_disabled")
        }
        assert get("/0/public/OHLC?pair=XBTUSD") == {"error": ["EQuery:Unknown asset pair"]}
        assert "XXBTZUSD" not in get("/0/public/AssetPairs")["result"]
        ids = [trade["time"] for trade in get("/products/BTC-USD/trades")]
        assert ids
        assert {datetime.fromisoformat(told).timestamp() // 60 * 60 for told in ids} <= set(traded)
        clock[0] = datetime.fromtimestamp(first + 320, UTC)
        told = get("/0/public/OHLC?pair=XBTUSD")["result"]["XXBTZUSD"]
        assert [row[0] for row in told] == list(range(first, first + 360, 60))
        clock[0] = datetime.fromtimestamp(first - 1, UTC)
        assert get("/0/public/OHLC?pair=XBTUSD") == {"error": ["EQuery:Unknown asset pair"]}
        assert get("/api/v3/klines?symbol=BTCUSDT&interval=1m")["code"] == -1121
        assert "BTC-USD" not in {one["id"] for one in get("/products")}


def test_prices_are_a_few_basis_points_apart_and_volumes_others() -> None:
    market = SyntheticMarket(5)
    for name in ("coinbase", "binance"):
        there = market.at(name)
        apart, sizes = [], []
        for home, pair in zip(market.pairs, there.pairs, strict=True):
            for minute in range(FORMING - 86_400, FORMING, 1800):
                at_home = {trade.id: trade for trade in market.trades(home, minute)}
                for trade in there.trades(pair, minute):
                    apart.append(float(trade.price / at_home[trade.id].price) - 1)
                    sizes.append(trade.volume == at_home[trade.id].volume)
        assert 0.00005 < max(map(abs, apart)) < 0.0012
        assert sum(sizes) < len(sizes) / 50
    assert market.at("kraken") is market


def test_coinbase_grants_ten_requests_a_second_and_fifteen_at_once() -> None:
    now = [0.0]
    bucket = Bucket(10, 15, lambda: now[0])
    assert [bucket.grant("a") for _ in range(17)] == [True] * 15 + [False] * 2
    assert bucket.grant("b")
    now[0] = 1.0
    assert [bucket.grant("a") for _ in range(12)] == [True] * 10 + [False] * 2


def test_binance_grants_6000_a_minute_then_refuses_then_bans() -> None:
    now = [6.0]
    weights = Weights(6000, patience=10, ban=120, timer=lambda: now[0])
    told = [weights.weigh("a", 2) for _ in range(3000)]
    assert [one.used for one in told] == list(range(2, 6001, 2))
    refused = [weights.weigh("a", 2) for _ in range(11)]
    assert [one.wait for one in refused] == [54] * 10 + [120]
    assert [one.is_banned for one in refused] == [False] * 10 + [True]
    now[0] = 100.0
    assert weights.weigh("a", 2).wait == 26  # a new minute does not end a ban
    assert weights.weigh("b", 2).used == 2
    now[0] = 126.0
    assert weights.weigh("a", 2) == weights.weigh("c", 2)


def test_limits_are_kept_by_the_server_unless_they_are_switched_off(exchange: Simulator) -> None:
    answers = [requests.get(f"{exchange.url}/api/v3/trades?symbol=BTCUSDT&limit=1", timeout=60) for _ in range(3)]
    used = [int(answer.headers["X-MBX-USED-WEIGHT-1M"]) for answer in answers]
    assert [later - first for first, later in itertools.pairwise(used)] in ([25, 25], [25, -25], [-25, 25])
    statuses = [requests.get(f"{exchange.url}/time", timeout=60).status_code for _ in range(400)]
    assert statuses[:15] == [200] * 15
    assert requests.get(f"{exchange.url}/refused", timeout=60).json()["coinbase"] == statuses.count(429) > 0
    assert exchange.refused["kraken"] == 0
    with Simulator(clock=lambda: NOON, limits=False) as free:
        answers = [requests.get(f"{free.url}/time", timeout=60) for _ in range(60)]
        assert {answer.status_code for answer in answers} == {200}


def test_bans_and_refusals_are_told_in_the_words_of_the_exchange(exchange: Simulator) -> None:
    def get(path: str) -> requests.Response:
        return requests.get(exchange.url + path, timeout=60)

    exchange.faults.add("banned", seconds=90)
    ban = get("/api/v3/ping")
    assert (ban.status_code, ban.headers["Retry-After"], ban.json()["code"]) == (418, "90", -1003)
    assert f"IP banned until {int(NOON.timestamp() + 90) * 1000}" in ban.json()["msg"]
    assert get("/time").status_code == 403
    assert get("/0/public/Time").json() == {"error": ["EGeneral:Temporary lockout"]}
    exchange.faults.clear()
    exchange.faults.add("refused_here", exchange="binance")
    refused = get("/api/v3/ping")
    assert (refused.status_code, refused.json()["code"]) == (451, 0)
    assert "restricted location" in refused.json()["msg"]
    assert get("/time").status_code == 200


def test_a_fault_for_an_exchange_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(ValueError, match="no exchange 'mtgox'; there is kraken, coinbase"):
        Faults(["kraken", "coinbase"]).add("hang", exchange="mtgox")
