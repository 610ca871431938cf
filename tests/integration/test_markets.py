"""The table `markets` against pandas: several exchanges, with holes, one that stopped, one alone; and who reads it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in
from pricetracker_dagster.web.app import build_app
from tests.serving import served
from tests.side_by_side import AS_OF, MARKETS, SINCE, STOPPED, candles, compared, day, expected, stored

LATE = timedelta(seconds=63)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "data")


def markets(store: Store) -> pd.DataFrame:
    found: pd.DataFrame = open_prices(store.folder.published).sql("FROM markets").df()
    return found


def of(store: Store, metric: str) -> dict[str, Any]:
    [row] = markets(store).query("metric == @metric").to_dict("records")
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}


def test_every_row_is_what_pandas_says_of_random_prices_with_holes(store: Store) -> None:
    frame = day()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    compared(markets(store), expected(frame))


def test_it_is_the_same_where_nothing_is_missing(store: Store) -> None:
    frame = day(holes=0.0)
    stored(store, frame)
    whole = [metric for metric, market in MARKETS.items() if market in ("BTC/USD", "BTC/USDT") and metric != STOPPED]
    publish(store, whole, now=AS_OF + LATE)
    compared(markets(store), expected(frame, tracked=whole))


def test_equal_prices_deviate_by_nothing_at_all(store: Store) -> None:
    minutes = pd.date_range(end=AS_OF, periods=200, freq="min", unit="us")
    volumes = {"KRAKEN:BTCUSD": 0.1, "COINBASE:BTCUSD": 0.7, "BITSTAMP:BTCUSD": 1 / 3}
    for metric, volume in volumes.items():
        stored(store, candles(metric, minutes, 0.1, volume))
    publish(store, None, now=AS_OF + LATE)
    found = markets(store)
    assert set(found["deviation_bps"]) == set(found["largest_deviation_bps"]) == {0.0}
    assert set(found["weighted_price"]) == {0.1}


def test_rows_come_by_market_and_the_exchange_with_the_largest_volume_first(store: Store) -> None:
    frame = day()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    wanted = expected(frame).rename_axis("metric").reset_index()
    wanted = wanted.sort_values(["market", "volume_24h", "metric"], ascending=[True, False, True])
    assert markets(store)["metric"].tolist() == wanted["metric"].tolist()


@pytest.mark.parametrize("joins", [False, True])
def test_it_stays_right_from_minute_to_minute_over_the_end_of_an_hour(store: Store, *, joins: bool) -> None:
    frame = day(31)
    for minute in (AS_OF - 66 * MINUTE, *(AS_OF - i * MINUTE for i in (65, 64, 40, 5, 4, 3, 1, 0))):
        stored(store, frame[frame["minute"] <= minute])
        publish(store, list(MARKETS), now=minute + LATE)
        compared(markets(store), expected(frame, minute))
        if joins:
            maintain(store, now=minute + LATE)


def test_a_correction_of_a_past_hour_counts_at_once(store: Store) -> None:
    frame = day()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    wrong = (frame["metric"] == "COINBASE:BTCUSD") & (frame["minute"] == frame["minute"][700])
    frame.loc[wrong, ["open", "high", "low", "close"]] *= 1.5
    stored(store, frame[wrong])
    publish(store, list(MARKETS), now=AS_OF + LATE)
    compared(markets(store), expected(frame))
    largest = of(store, "COINBASE:BTCUSD")
    assert largest["largest_deviation_minute"] == frame["minute"][700]


def test_an_exchange_that_stopped_is_compared_as_of_its_own_newest_minute(store: Store) -> None:
    stored(store, day())
    publish(store, list(MARKETS), now=AS_OF + LATE)
    stopped = of(store, STOPPED)
    assert stopped["last_minute"] <= SINCE
    assert stopped["deviation_minute"] <= stopped["last_minute"]
    assert abs(stopped["deviation_bps"]) < 100


def test_two_exchanges_by_hand(store: Store) -> None:
    minutes = [AS_OF - MINUTE, AS_OF]
    stored(store, candles("KRAKEN:BTCUSD", minutes, [100.0, 102.0], [3.0, 0.0]))
    stored(store, candles("COINBASE:BTCUSD", minutes, [104.0, 102.0], [0.0, 1.0]))
    publish(store, None, now=AS_OF + LATE)
    # 3 of 4 units were traded on one, so the first minute's price is (3 * 100 + 104) / 4 = 101
    assert of(store, "COINBASE:BTCUSD") == {
        "market": "BTC/USD",
        "exchange": "COINBASE",
        "metric": "COINBASE:BTCUSD",
        "base": "BTC",
        "quote": "USD",
        "last_price": 102.0,
        "last_minute": AS_OF,
        "volume_24h": 1.0,
        "volume_share": 0.25,
        "weighted_price": 102.0,
        "deviation_bps": 0.0,
        "deviation_minute": AS_OF,
        "largest_deviation_bps": pytest.approx(3 / 101 * 10_000),
        "largest_deviation_minute": AS_OF - MINUTE,
    }


def test_one_alone_is_compared_with_nobody(store: Store) -> None:
    stored(store, candles("KRAKEN:BTCUSD", [AS_OF], 100.0))
    publish(store, None, now=AS_OF + LATE)
    alone = of(store, "KRAKEN:BTCUSD")
    assert (alone["volume_share"], alone["last_price"]) == (1.0, 100.0)
    assert {name for name, value in alone.items() if value is None} == {
        "weighted_price",
        "deviation_bps",
        "deviation_minute",
        "largest_deviation_bps",
        "largest_deviation_minute",
    }


def test_what_is_not_tracked_is_compared_with_nobody(store: Store) -> None:
    frame = day()
    stored(store, frame)
    tracked = [metric for metric in MARKETS if metric != "COINBASE:BTCUSD"]
    publish(store, tracked, now=AS_OF + LATE)
    compared(markets(store), expected(frame, tracked=tracked))
    publish(store, list(MARKETS), now=AS_OF + LATE)  # and what is kept of the others serves for all
    compared(markets(store), expected(frame))


def test_quotes_that_are_grouped_are_one_market_and_two_of_them_stay_their_own(tmp_path: Path) -> None:
    frame = day()
    stored(store_in(tmp_path / "data"), frame)
    store = Store(DataFolder(tmp_path / "data"), ("USD", "USDT"))
    publish(store, list(MARKETS), now=AS_OF + LATE)
    as_one = {metric: "BTC/USD" if market == "BTC/USDT" else market for metric, market in MARKETS.items()}
    compared(markets(store), expected(frame, markets=as_one))
    assert of(store, "OKX:BTCUSDT")["quote"] == "USDT"


def test_another_grouping_and_what_an_exchange_tells_are_published_at_once(tmp_path: Path) -> None:
    store = store_in(tmp_path / "data")
    frame = day()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    assert not publish(store, list(MARKETS), now=AS_OF + LATE).built
    grouped = Store(store.folder, ("USD", "USDT"))
    assert publish(grouped, list(MARKETS), now=AS_OF + LATE).built
    told = {"KRAKEN:ODDPAIR": ["ODD", "PAIR"], "OKX:BTCUSDT": "no list", "KRAKEN:ETHUSD": [1, None]}
    (store.folder.state / "markets.json").write_text(json.dumps(told))
    assert publish(store, list(MARKETS), now=AS_OF + LATE).built
    compared(markets(store), expected(frame, markets=MARKETS | {"KRAKEN:ODDPAIR": "ODD/PAIR"}))


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_list_of_what_exchanges_tell_counts_as_none(store: Store, damage: bytes) -> None:
    stored(store, candles("KRAKEN:BTCUSD", [AS_OF], 100.0))
    store.folder.state.mkdir(exist_ok=True)
    (store.folder.state / "markets.json").write_bytes(damage)
    publish(store, None, now=AS_OF + LATE)
    assert of(store, "KRAKEN:BTCUSD")["market"] == "BTC/USD"


def test_kept_closes_that_are_damaged_or_of_others_are_worked_out_anew(store: Store) -> None:
    frame = day()
    stored(store, frame[frame["minute"] < AS_OF])
    publish(store, list(MARKETS), now=AS_OF)
    kept = sorted(store.folder.kept_hours.glob("*-closes"))
    assert len(kept) == 24  # all hours but those that lie in the file as rows
    kept[3].write_bytes(b"cut short")
    kept[4].write_bytes(kept[5].read_bytes()[:-8] + b"\0" * 8)
    kept[6].unlink()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    compared(markets(store), expected(frame))


def test_what_is_kept_of_past_hours_is_not_written_again_each_minute(store: Store) -> None:
    frame = day()
    stored(store, frame[frame["minute"] < AS_OF])
    publish(store, list(MARKETS), now=AS_OF)
    before = {file: file.stat().st_ino for file in store.folder.kept_hours.glob("*-closes")}
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    assert {file: file.stat().st_ino for file in store.folder.kept_hours.glob("*-closes")} == before


def test_nothing_is_kept_where_nothing_is_compared(store: Store) -> None:
    frame = day()
    alone = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]
    stored(store, frame[frame["metric"].isin(alone)])
    publish(store, alone, now=AS_OF + LATE)
    assert [*store.folder.kept_hours.glob("*-closes")] == []


def test_the_minutes_of_a_market_are_what_pandas_says_by_both_faces(store: Store) -> None:
    frame = day()
    stored(store, frame)
    publish(store, list(MARKETS), now=AS_OF + LATE)
    of_it = frame[(frame["metric"].map(MARKETS) == "BTC/USD") & (frame["minute"] > AS_OF - DAY)]
    weights = of_it.groupby("metric")["volume"].sum()
    wanted = []
    for minute, rows in of_it.groupby("minute"):
        heavy = rows["metric"].map(weights)
        mean = (rows["close"] * heavy).sum() / heavy.sum() if len(rows) > 1 else float("nan")
        wanted += [
            (minute, metric, close, mean) for metric, close in sorted(zip(rows["metric"], rows["close"], strict=True))
        ]
    local = open_prices(store.folder.published)
    found = local.market_history("BTCUSD").df()
    assert set(found["market"]) == {"BTC/USD"}
    assert [*zip(found["minute"], found["metric"], found["price"], strict=True)] == [row[:3] for row in wanted]
    means = pd.Series([row[3] for row in wanted])
    pd.testing.assert_series_equal(found["weighted_price"], means, check_names=False, rtol=1e-12)
    deviations = (found["price"] - means) / means * 10_000
    pd.testing.assert_series_equal(found["deviation_bps"], deviations, check_names=False, rtol=1e-9, atol=1e-7)
    with served(build_app(Settings(metrics=("KRAKEN:BTCUSD",), data=str(store.folder.path)))) as url:
        remote = open_prices(url)
        assert remote.market_history("BTC/USD").fetchall() == local.market_history("BTC/USD").fetchall()
        assert remote.markets().fetchall() == local.markets().fetchall()
        assert len(remote.markets("BTC/USD").fetchall()) == 4


def test_the_newest_and_the_largest_deviation_are_among_the_minutes_of_the_market(store: Store) -> None:
    stored(store, day())
    publish(store, list(MARKETS), now=AS_OF + LATE)
    prices = open_prices(store.folder.published)
    minutes = prices.market_history("BTCUSD").df().set_index(["metric", "minute"])["deviation_bps"]
    for row in prices.markets("BTCUSD").to_dicts():
        for which in ("deviation", "largest_deviation"):
            of_minutes = minutes[row["metric"], row[f"{which}_minute"]]
            assert row[f"{which}_bps"] == pytest.approx(of_minutes, rel=1e-9, abs=1e-7)
