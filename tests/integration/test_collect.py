"""A tick and a backfill against the simulated exchange: real HTTP, a real Delta table, a clock that the test turns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.files.data_folder import allowance_file
from pricetracker_dagster.simulator import ReplayMarket
from pricetracker_dagster.store.publishing.publish import publish
from tests.integration.conftest import NOON, Bench

Start = Callable[..., Bench]
ALL = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD", "SIMULATED:GRTETH"]
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = "[collect]\nbudget_seconds = 4\n[exchanges.simulated]\ntimeout_seconds = 1"


def stored(bench: Bench) -> pd.DataFrame:
    rows: pd.DataFrame = bench.store.prices.candles(ALL, LONG_AGO, bench.now).to_pandas()
    return rows.drop(columns="fetched_at")


def true_volume(bench: Bench, altname: str, minute: datetime) -> float:
    """What the exchange's own trades of a minute add up to, asked of the market and not of its answers."""
    pair = next(pair for pair in bench.exchange.market.pairs if pair.altname == altname)
    return float(sum(trade.volume for trade in bench.exchange.market.trades(pair, int(minute.timestamp()))))


def test_a_first_tick_stores_what_candles_reach_and_the_next_only_what_is_new(start: Start) -> None:
    bench = start()
    first = collect_minute(bench.settings, bench.minute)
    assert first.missing == {}
    assert first.inserted == 3 * 719  # the reach of one answer, for each of three pairs
    bench.now += MINUTE
    assert collect_minute(bench.settings, bench.minute).inserted == 3
    assert collect_minute(bench.settings, bench.minute).inserted == 0


def test_after_an_hour_without_ticks_the_next_one_heals_and_doubles_nothing(start: Start) -> None:
    bench = start()
    collect_minute(bench.settings, bench.minute)
    bench.now += timedelta(minutes=61)
    healing = collect_minute(bench.settings, bench.minute)
    rows = stored(bench)
    assert healing.inserted == 3 * 61
    assert bench.store.prices.gaps(ALL, NOON - timedelta(hours=11), bench.minute) == {}
    assert not rows.duplicated(["metric", "minute"]).any()


def test_after_a_day_without_ticks_the_minutes_beyond_the_candles_reach_are_rebuilt_from_trades(start: Start) -> None:
    bench = start("BTCUSD", "GRTETH")
    collect_minute(bench.settings, bench.minute)
    rebuilt = MinuteRange(NOON, NOON + timedelta(hours=12))
    bench.now += timedelta(days=1)
    collect_minute(bench.settings, bench.minute)
    assert bench.exchange.requests["Trades"] > 0
    assert bench.store.prices.gaps(ALL[::2], NOON - timedelta(hours=11), bench.minute) == {}
    volumes = stored(bench).set_index(["metric", "minute"])["volume"].to_dict()
    for minutes in (0, 1, 100, 700):
        minute = rebuilt.first + minutes * MINUTE
        for metric, altname in (("SIMULATED:BTCUSD", "XBTUSD"), ("SIMULATED:GRTETH", "GRTETH")):
            assert volumes[metric, minute] == pytest.approx(true_volume(bench, altname, minute), abs=1e-9)


def test_the_newest_minute_can_be_read_before_older_ones_are_healed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start("BTCUSD")
    collect_minute(bench.settings, bench.minute)
    bench.now += timedelta(hours=20)
    seen: list[tuple[int, bool]] = []

    def look(*_: object, **__: object) -> None:
        newest = bench.store.prices.newest(["SIMULATED:BTCUSD"], NOON)
        missed = bench.store.prices.gaps(["SIMULATED:BTCUSD"], NOON, bench.minute)
        seen.append((len(missed), newest["SIMULATED:BTCUSD"] == bench.minute))

    monkeypatch.setattr("pricetracker_dagster.collect.tick.publish", look)
    collect_minute(bench.settings, bench.minute)
    assert seen == [(1, True)]
    assert bench.store.prices.gaps(["SIMULATED:BTCUSD"], NOON, bench.minute) == {}


def test_a_gap_within_the_candles_reach_is_healed_by_the_same_request_as_the_newest_minute(start: Start) -> None:
    bench = start("BTCUSD")
    collect_minute(bench.settings, bench.minute)
    table = bench.store.prices.open()
    assert table is not None
    gap = int((NOON - timedelta(hours=3)).timestamp()) * 1_000_000
    instants = [f"arrow_cast({gap + offset}, 'Timestamp(Microsecond, Some(\"UTC\"))')" for offset in (0, 600_000_000)]
    table.delete(f"minute >= {instants[0]} AND minute < {instants[1]}")
    bench.now += MINUTE
    asked = bench.exchange.requests["OHLC"]
    assert collect_minute(bench.settings, bench.minute).inserted == 10 + 1
    assert bench.exchange.requests["OHLC"] == asked + 1
    assert bench.exchange.requests["Trades"] == 0


def test_a_newest_minute_that_the_exchange_has_not_got_yet_is_asked_for_again_shortly(start: Start) -> None:
    bench = start("BTCUSD")
    newest = int(bench.minute.timestamp())
    bench.exchange.faults.add("hole", since=newest, until=newest, lasts=0.9)
    assert collect_minute(bench.settings, bench.minute).missing == {}
    assert bench.exchange.requests["OHLC"] == 2
    assert bench.exchange.requests["Trades"] == 0


def test_a_candle_that_the_exchange_corrects_after_its_close_is_corrected(start: Start) -> None:
    bench = start("BTCUSD")
    bench.exchange.faults.add("correction", minutes=2)
    collect_minute(bench.settings, bench.minute)
    wrong = stored(bench).iloc[-1]
    bench.exchange.faults.clear()
    minute = bench.minute
    bench.now += MINUTE
    tick = collect_minute(bench.settings, bench.minute)
    right = stored(bench).iloc[-2]
    assert right["minute"] == wrong["minute"] == minute
    assert wrong["volume"] == pytest.approx(true_volume(bench, "XBTUSD", minute) / 2, abs=1e-8)
    assert right["volume"] == pytest.approx(true_volume(bench, "XBTUSD", minute), abs=1e-9)
    assert tick.updated == 2


def test_a_hole_in_the_candles_is_filled_from_trades_in_the_same_tick(start: Start) -> None:
    bench = start("BTCUSD")
    hole = int((NOON - timedelta(minutes=10)).timestamp())
    bench.exchange.faults.add("hole", since=hole, until=hole + 180)
    tick = collect_minute(bench.settings, bench.minute)
    volumes = stored(bench).set_index("minute")["volume"].to_dict()
    assert tick.missing == {}
    for minute in (NOON - timedelta(minutes=age) for age in (10, 9, 8, 7)):
        assert volumes[minute] == pytest.approx(true_volume(bench, "XBTUSD", minute), abs=1e-9)


def test_an_insane_row_is_refused_and_reported_and_its_minute_comes_from_trades(start: Start) -> None:
    bench = start("BTCUSD")
    bench.exchange.faults.add("insane")
    tick = collect_minute(bench.settings, bench.minute)
    assert [(row.metric, row.minute, row.problem) for row in tick.rejected] == [
        ("SIMULATED:BTCUSD", bench.minute, "high is not a number")
    ]
    assert tick.missing == {}
    assert stored(bench).iloc[-1]["volume"] == pytest.approx(true_volume(bench, "XBTUSD", bench.minute), abs=1e-9)


def test_a_delisted_pair_fails_alone_and_says_so(start: Start) -> None:
    bench = start()
    collect_minute(bench.settings, bench.minute)
    bench.exchange.faults.add("delisted", pair="XETHUSD")
    bench.exchange.faults.add("delisted", pair="ETHUSD")
    bench.now += MINUTE
    tick = collect_minute(bench.settings, bench.minute)
    assert tick.inserted == 2
    assert tick.missing == {"SIMULATED:ETHUSD": [MinuteRange(bench.minute, bench.minute)]}
    assert tick.causes == {"SIMULATED:ETHUSD": "pair unknown"}
    assert tick.summary() == (
        "SIMULATED:ETHUSD: 2026-03-03 12:00 missing: SIMULATED: OHLC of ETHUSD: EQuery:Unknown asset pair"
    )


def test_a_pair_that_never_was_is_named_with_its_place_and_the_nearest_one(start: Start) -> None:
    bench = start("BTCUSD", "BTCUDS")
    tick = collect_minute(bench.settings, bench.minute)
    assert list(tick.missing) == ["SIMULATED:BTCUDS"]
    assert tick.why("SIMULATED:BTCUDS") == (
        'pricetracker.toml: metrics[1] "KRAKEN:BTCUDS": no such pair on SIMULATED; did you mean SIMULATED:BTCUSD?'
    )


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("error", {"text": "EService:Busy"}),
        ("rate_limit", {}),
        ("server_error", {}),
        ("truncated", {}),
        ("hang", {}),
        ("slow", {"seconds": 2.0}),
    ],
)
def test_what_passes_is_sat_out_within_the_tick(start: Start, fault: str, what: dict[str, object]) -> None:
    bench = start("BTCUSD", extra="[collect]\nbudget_seconds = 15\n[exchanges.simulated]\ntimeout_seconds = 1")
    bench.exchange.faults.add(fault, count=2, **what)
    assert collect_minute(bench.settings, bench.minute).missing == {}


@pytest.mark.parametrize(
    ("fault", "what", "why", "cause"),
    [
        ("error", {}, "EService:Unavailable", "exchange error"),
        ("server_error", {}, "HTTP 502 Bad Gateway", "exchange error"),
        ("hang", {}, "no answer within 1 s", "exchange error"),
        ("truncated", {}, "no connection|not JSON", "exchange error"),
        ("maintenance", {}, "EService:Market in cancel_only mode", "exchange maintenance"),
        ("error", {"text": "EGeneral:Temporary lockout"}, "Temporary lockout", "banned by the exchange"),
    ],
)
def test_what_lasts_is_reported_for_every_metric_within_the_budget_and_healed_later(
    start: Start, fault: str, what: dict[str, object], why: str, cause: str
) -> None:
    bench = start("BTCUSD", "ETHUSD", extra=QUICK)
    on = bench.exchange.faults.add(fault, **what)
    began = datetime.now(UTC)
    tick = collect_minute(bench.settings, bench.minute)
    assert datetime.now(UTC) - began < timedelta(seconds=7)
    assert set(tick.missing) == {"SIMULATED:BTCUSD", "SIMULATED:ETHUSD"}
    assert set(tick.causes.values()) == {cause}
    assert pd.Series([tick.why(metric) for metric in tick.missing]).str.contains(why).all()
    bench.exchange.faults.remove(on)
    bench.now += MINUTE
    # a ban lasts for minutes of the real clock
    allowance_file(bench.settings.state, "SIMULATED").unlink()
    assert collect_minute(bench.settings, bench.minute).missing == {}
    assert bench.store.prices.gaps(ALL[:2], NOON - MINUTE, bench.minute) == {}


def test_an_exchange_whose_clock_is_slow_is_waited_for(start: Start) -> None:
    bench = start("BTCUSD")
    bench.now = NOON + MINUTE - timedelta(seconds=2)
    late = bench.exchange.faults.add("slow", count=1, seconds=0.1)
    minute = NOON
    bench.exchange.clock = lambda: bench.now + (datetime.now(UTC) - began)  # it goes on while the tick waits
    began = datetime.now(UTC)
    tick = collect_minute(bench.settings, minute)
    assert tick.missing == {}
    assert datetime.now(UTC) - began >= timedelta(seconds=1.9)
    assert late not in list(bench.exchange.faults)


def test_an_exchange_far_behind_is_told_by_its_clock(start: Start) -> None:
    bench = start("BTCUSD", extra=QUICK)
    bench.exchange.faults.add("clock_skew", seconds=-600)
    tick = collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    assert tick.why("SIMULATED:BTCUSD").startswith("SIMULATED's clock says 11:50:05, this machine's 12:00:05")


def test_the_minute_that_is_still_forming_is_never_stored(start: Start) -> None:
    bench = start("BTCUSD", now=NOON + timedelta(seconds=59))
    collect_minute(bench.settings, bench.minute)
    assert stored(bench)["minute"].max() == NOON - MINUTE


def test_a_backfill_asks_only_for_what_is_missing_and_goes_on_where_it_was(start: Start) -> None:
    bench = start("BTCUSD", "GRTETH")
    first, last = NOON - timedelta(hours=30), NOON - MINUTE
    seen: list[tuple[int, int]] = []
    done = backfill(bench.settings, first, last, on_progress=lambda count, total, _: seen.append((count, total)))
    assert done.missing == {}
    assert done.inserted == 2 * 30 * 60
    assert seen[-1] == (3600, 3600)
    assert [count for count, _ in seen] == sorted(count for count, _ in seen)
    asked = dict(bench.exchange.requests)
    again = backfill(bench.settings, first, last)
    assert (again.inserted, again.updated) == (0, 0)
    assert {name: count for name, count in bench.exchange.requests.items() if count != asked[name]}.keys() == {"Time"}


def test_a_refetched_day_is_corrected_where_the_exchange_says_otherwise(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pricetracker_dagster.store.doubts.CONFIRMED_AFTER", timedelta())
    bench = start("BTCUSD")
    bench.exchange.faults.add("burst", since=int((NOON - timedelta(hours=1)).timestamp()), factor=7)
    backfill(bench.settings, NOON - timedelta(hours=2), NOON - MINUTE)
    bench.exchange.faults.clear()
    doubtful = backfill(bench.settings, NOON - timedelta(hours=2), NOON - MINUTE, refetch=True)
    assert (doubtful.updated, len(doubtful.doubts)) == (0, 60)
    again = backfill(bench.settings, NOON - timedelta(hours=2), NOON - MINUTE, refetch=True)
    volumes = stored(bench).set_index("minute")["volume"].to_dict()
    assert (again.inserted, again.updated) == (0, 60)
    minute = NOON - timedelta(minutes=7)
    assert volumes[minute] == pytest.approx(true_volume(bench, "XBTUSD", minute), abs=1e-9)


@pytest.mark.long
def test_recorded_days_told_to_ticks_give_the_rank_and_history_that_pandas_computes_from_the_files(
    start: Start, recorded: Path
) -> None:
    folder = recorded / "ohlcvt"
    begin = datetime(2023, 3, 8, 23, 0, 30, tzinfo=UTC)
    market = ReplayMarket(folder, datetime(2023, 3, 9, tzinfo=UTC))
    assert market.shift == 0
    pairs = {"XBTUSD": "BTCUSD", "XBTEUR": "BTCEUR", "XBTUSDT": "BTCUSDT", "XBTUSDC": "BTCUSDC"} | {
        name: name for name in ("USDTUSD", "USDCUSD")
    }
    bench = start(*pairs.values(), now=begin, market=market)
    for _ in range(9):  # a tick every three hours: each heals what was missed since the last
        collect_minute(bench.settings, bench.minute)
        bench.now += timedelta(hours=3)
    bench.now = datetime(2023, 3, 9, 23, 59, 59, tzinfo=UTC)
    assert collect_minute(bench.settings, bench.minute).missing == {}
    publish(bench.store, None, now=bench.now)

    last = pd.Timestamp(bench.minute)
    names = ["unix", "open", "high", "low", "close", "volume", "trades"]
    expected = []
    for name, pair in pairs.items():
        frame = pd.read_csv(folder / f"{name}_1.csv", header=None, names=names)
        frame.index = pd.to_datetime(frame["unix"], unit="s", utc=True)
        grid = frame.reindex(pd.date_range(frame.index[0], last, freq="min"))
        close = grid["close"].ffill()
        opening = grid["open"].fillna(close)
        measures = {
            "price": close,
            "volume": grid["volume"].fillna(0.0),
            "change_absolute": close - opening,
            "change_percentage": (close - opening) / opening * 100,
        }
        for measure, values in measures.items():
            day = values[values.index > last - pd.Timedelta(hours=24)]
            expected.append((f"SIMULATED:{pair}", measure, day))

    told = open_prices(bench.store.folder.published).sql("FROM history_24h").df()
    history = told.set_index(["metric", "measure", "minute"]).sort_index()["value"]
    assert len(history) == 6 * 4 * 1440
    for metric, measure, day in expected:
        assert history[metric, measure].to_numpy() == pytest.approx(day.to_numpy(), rel=1e-12, abs=1e-12)
    for measure in ("price", "volume", "change_absolute", "change_percentage"):
        rank = open_prices(bench.store.folder.published).rank(measure).df()
        by_pandas = pd.Series({metric: day.std() for metric, of, day in expected if of == measure})
        order = sorted(by_pandas.index, key=lambda metric: (-by_pandas[metric], metric))
        assert list(rank["metric"]) == order
        assert rank["stddev"].to_numpy() == pytest.approx(by_pandas[order].to_numpy(), rel=1e-9)
        assert list(rank["rank"]) == [1, 2, 3, 4, 5, 6]
