"""An exchange that tells no number of trades: the count is NULL, in a folder of an earlier version, too."""

import json
import multiprocessing
import os
import random
import signal
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes
from pricetracker_dagster.candles.schema import NOT_TOLD
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.store import delta
from pricetracker_dagster.store.compaction import join
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.repairing import repair
from pricetracker_dagster.store.store import Store
from pricetracker_dagster.store.upgrading import upgrade

ARCHIVE = Path(__file__).parents[1] / "data" / "earlier_folder.tar.xz"
FIRST = datetime(2026, 3, 3, 10, tzinfo=UTC)
NOW = FIRST + timedelta(hours=2)
METRIC = "COINBASE:BTCUSD"


def told(*cells: tuple[int, float, float, object], metric: str = METRIC) -> pa.Table:
    """Candles by minute after FIRST, close, volume, and number of trades as an exchange tells it."""
    rows = [
        (metric, int(FIRST.timestamp()) + 60 * minute, close, close, close, close, volume, trades)
        for minute, close, volume, trades in cells
    ]
    validated = validate_rows(rows, NOW)
    assert validated.rejected == []
    return validated.kept


def stored(store: Store, metric: str = METRIC) -> list[tuple[float, float, int | None]]:
    rows = store.prices.candles([metric], FIRST, FIRST + timedelta(hours=1)).sort_by("minute")
    return [(row["close"], row["volume"], row["trades"]) for row in rows.to_pylist()]


def test_what_is_not_told_is_null_and_what_is_empty_or_no_count_is_rejected() -> None:
    cells = [NOT_TOLD, None, "", "x", "-1", "2.5", "nan", 3]
    minutes = [int(FIRST.timestamp()) + 60 * i for i in range(len(cells))]
    validated = validate_rows(
        [(METRIC, minute, 1, 1, 1, 1, 1, trades) for minute, trades in zip(minutes, cells, strict=True)], NOW
    )
    assert sorted(validated.kept["trades"].to_pylist(), key=str) == [3, None]
    assert [row.problem for row in validated.rejected] == [
        *["trades is not a number"] * 3,
        *["trades is not a count"] * 2,
        "trades is not a number",
    ]
    # a row that ends before the count tells nothing of it: it was cut short
    [cut] = validate_rows([(METRIC, minutes[0], 1, 1, 1, 1, 1)], NOW).rejected
    assert cut.problem == "trades is not a number"


def test_a_correction_of_untold_counts_is_stored_and_less_volume_waits_for_a_second_answer(tmp_path: Path) -> None:
    store = Store(DataFolder(tmp_path))
    assert store.prices.upsert(told((0, 10.0, 2.0, NOT_TOLD)), now=NOW).inserted == 1
    assert store.prices.upsert(told((0, 10.0, 2.0, NOT_TOLD)), now=NOW).updated == 0
    assert store.prices.upsert(told((0, 10.5, 2.5, NOT_TOLD)), now=NOW).updated == 1
    less = store.prices.upsert(told((0, 10.5, 1.5, NOT_TOLD)), now=NOW)
    assert (less.updated, [str(doubt) for doubt in less.doubts]) == (
        0,
        [f"{METRIC} 2026-03-03 10:00: stored are volume 2.5; answered were volume 1.5"],
    )
    assert stored(store) == [(10.5, 2.5, None)]
    again = store.prices.upsert(told((0, 10.5, 1.5, NOT_TOLD)), now=NOW + timedelta(minutes=2))
    assert (again.updated, again.doubts) == (1, [])
    assert stored(store) == [(10.5, 1.5, None)]


def test_a_quiet_minute_follows_a_corrected_close_where_we_filled_it_and_stays_where_it_was_told(
    tmp_path: Path,
) -> None:
    store = Store(DataFolder(tmp_path))
    # minutes 1 and 4 are filled, minute 3 is stated flat without a count
    stated = told((0, 10.0, 2.0, NOT_TOLD), (3, 10.0, 0.0, NOT_TOLD))
    filled = fill_no_trade_minutes(stated, {METRIC: MinuteRange(FIRST, FIRST + 4 * MINUTE)})
    assert filled["trades"].to_pylist() == [None, 0, 0, None, 0]
    store.prices.upsert(filled, now=NOW)
    store.prices.upsert(told((0, 11.0, 2.5, NOT_TOLD)), now=NOW)
    assert [(close, trades) for close, _, trades in stored(store)] == [
        (11.0, None),
        (11.0, 0),
        (11.0, 0),
        (10.0, None),
        (10.0, 0),
    ]


def test_an_equal_row_that_tells_no_count_leaves_the_known_one_and_another_is_a_correction(tmp_path: Path) -> None:
    store = Store(DataFolder(tmp_path))
    store.prices.upsert(told((0, 10.0, 2.0, 5), (1, 11.0, 3.0, 6), (2, 11.0, 3.0, NOT_TOLD)), now=NOW)
    again = store.prices.upsert(told((0, 10.0, 2.0, NOT_TOLD), (1, 11.5, 3.0, NOT_TOLD), (2, 11.0, 3.0, 7)), now=NOW)
    assert (again.updated, again.doubts) == (2, [])
    assert stored(store) == [(10.0, 2.0, 5), (11.5, 3.0, None), (11.0, 3.0, 7)]


def test_a_filled_minute_that_its_exchange_states_later_is_a_stated_one_and_nothing_to_ask_about(
    tmp_path: Path,
) -> None:
    store = Store(DataFolder(tmp_path))
    stated = told((0, 10.0, 2.0, NOT_TOLD))
    filled = fill_no_trade_minutes(stated, {METRIC: MinuteRange(FIRST, FIRST + 2 * MINUTE)})
    store.prices.upsert(filled, now=NOW)
    assert store.prices.upsert(told((1, 10.0, 0.0, NOT_TOLD)), now=NOW).updated == 1
    assert stored(store) == [(10.0, 2.0, None), (10.0, 0.0, None), (10.0, 0.0, 0)]
    # nor is it filled again
    store.prices.upsert(filled, derived=filled.select(["metric", "minute"]), now=NOW)
    assert stored(store) == [(10.0, 2.0, None), (10.0, 0.0, None), (10.0, 0.0, 0)]
    second = FIRST + 2 * MINUTE
    assert repair.filled(store, {METRIC: FIRST}, NOW) == [repair.Again(METRIC, second, second, repair.FILLED)]
    assert store.prices.invalid(FIRST, NOW) == []


def test_on_hover_a_count_that_is_not_told_is_a_dash(tmp_path: Path) -> None:
    store = Store(DataFolder(tmp_path))
    store.prices.upsert(told((0, 10.0, 2.0, NOT_TOLD), (1, 10.0, 2.0, 5)), now=FIRST + 2 * MINUTE)
    publish(store, [METRIC], now=FIRST + 2 * MINUTE)
    chart = open_prices(store.folder.published).chart(METRIC, "candles", hours=1)
    [bars] = [trace for trace in chart.data if trace.name == "volume"]
    assert [cells[5] for cells in bars.customdata][-2:] == ["\u2013", "5"]


@pytest.mark.parametrize("seed", range(3))
def test_which_counts_are_told_changes_no_measure_and_no_rank_and_sums_are_those_of_pandas(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    store, metrics = Store(DataFolder(tmp_path)), ["BITSTAMP:BTCUSD", "COINBASE:BTCUSD", "KRAKEN:BTCUSD"]
    rows = []
    for metric, share in zip(metrics, (0.0, 0.5, 1.0), strict=True):  # of minutes whose count is told
        for minute in range(90):
            opened, closed = chance.uniform(90, 110), chance.uniform(90, 110)
            volume = chance.choice([0.0, chance.random()])
            count = chance.randrange(9) if chance.random() < share else NOT_TOLD
            unix = int(FIRST.timestamp()) + 60 * minute
            rows.append((metric, unix, opened, max(opened, closed), min(opened, closed), closed, volume, count))
    at = FIRST + 90 * MINUTE
    for begin in (0, 45):  # the second publication goes on from the first
        part = [row for row in rows if begin <= (row[1] - FIRST.timestamp()) / 60 < begin + 45]
        store.prices.upsert(validate_rows(part, at).kept, now=at)
        publish(store, metrics, now=FIRST + (begin + 45) * MINUTE)
    prices = open_prices(store.folder.published)
    frame = pd.DataFrame(rows, columns=["metric", "unix", "open", "high", "low", "close", "volume", "trades"])
    frame["minute"] = pd.to_datetime(frame["unix"], unit="s", utc=True)
    frame["trades"] = pd.array([pd.NA if count == NOT_TOLD else count for count in frame["trades"]], "Int64")
    change = frame["close"] - frame["open"]
    measures = {
        "price": frame["close"],
        "volume": frame["volume"],
        "change_absolute": change,
        "change_percentage": change / frame["open"] * 100,
    }
    for measure, values in measures.items():
        deviations = values.groupby(frame["metric"]).std().sort_values(ascending=False)
        ranked = prices.rank(measure).df()
        assert list(ranked["metric"]) == list(deviations.index)
        assert list(ranked["stddev"]) == pytest.approx(list(deviations), rel=1e-9)
        for metric in metrics:
            history = prices.history(metric, measure).df()
            assert list(history["value"]) == pytest.approx(list(values[frame["metric"] == metric]), rel=1e-12)
    for metric in metrics:
        of_metric = frame[frame["metric"] == metric].set_index("minute")["trades"].resample("5min")
        expected = [None if five.isna().any() else five.sum() for _, five in of_metric]
        found = prices.candles(metric, start=FIRST, end=at, every="5m").fetchall()
        assert [row[7] for row in found] == expected


def test_a_sum_of_trades_is_told_only_where_each_minute_tells_its_own(tmp_path: Path) -> None:
    store = Store(DataFolder(tmp_path))
    store.prices.upsert(
        told((0, 10.0, 1.0, 4), (1, 10.0, 1.0, 5), (2, 10.0, 1.0, 6), (3, 10.0, 1.0, NOT_TOLD)), now=NOW
    )
    publish(store, [METRIC], now=NOW)
    prices = open_prices(store.folder.published)
    candles = prices.candles(METRIC, start=FIRST, end=FIRST + timedelta(minutes=4), every="2m")
    assert [row["trades"] for row in candles.to_dicts()] == [9, None]


def earlier(folder: Path) -> Store:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return Store(DataFolder(folder / "data-simulated"))


def nullable(store: Store) -> bool:
    fields = DeltaTable(store.prices.location.url).schema().fields
    return next(field.nullable for field in fields if field.name == "trades")


def all_rows(store: Store) -> list[tuple[object, ...]]:
    metrics, end = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"], datetime(2026, 3, 5, tzinfo=UTC)
    rows = store.prices.candles(metrics, datetime(2026, 3, 1, tzinfo=UTC), end)
    return sorted(tuple(row.values()) for row in rows.to_pylist())


def test_a_table_of_the_version_before_takes_untold_counts_and_keeps_each_row(tmp_path: Path) -> None:
    store = earlier(tmp_path)
    before, files = all_rows(store), set(store.prices.files())
    assert len(before) > 100
    assert not nullable(store)
    store.prices.upsert(told((0, 10.0, 2.0, NOT_TOLD)), now=NOW)
    assert nullable(store)
    assert all_rows(store) == before
    assert stored(store) == [(10.0, 2.0, None)]
    assert files - set(store.prices.files()) == set()  # nothing was rewritten for that
    join(store.prices, "2026-03-03")
    assert all_rows(store) == before
    publish(store, [METRIC, "SIMULATED:BTCUSD"], now=NOW)


def _upsert_all(folder: str, name: str, started: "multiprocessing.synchronize.Event | None" = None) -> None:
    store = Store(DataFolder(Path(folder)))
    for minute in range(20):
        store.prices.upsert(told((minute, 10.0 + minute, 2.0, NOT_TOLD), metric=f"COINBASE:{name}USD"), now=NOW)
        if started is not None:
            started.set()


def test_two_processes_that_meet_such_a_table_at_once_lose_nothing(tmp_path: Path) -> None:
    store = earlier(tmp_path)
    before = all_rows(store)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_upsert_all, args=(str(store.folder.path), name)) for name in ("BTC", "ETH")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert all_rows(store) == before
    for name in ("BTC", "ETH"):
        assert [row[0] for row in stored(store, f"COINBASE:{name}USD")] == [10.0 + minute for minute in range(20)]


def test_a_table_of_the_version_before_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    store = earlier(tmp_path)
    version = store.prices.load().version()
    assert len(all_rows(store)) > 100
    assert store.prices.invalid(datetime(2026, 1, 1, tzinfo=UTC), NOW + timedelta(days=9)) == []
    publish(store, ["SIMULATED:BTCUSD"], now=NOW)
    assert (store.prices.load().version(), nullable(store)) == (version, False)


def test_a_process_whom_another_forestalls_in_the_upgrade_goes_on_with_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = earlier(tmp_path)
    before = all_rows(store)
    calls = []

    def after_another(table: DeltaTable, columns: pa.Schema) -> None:
        calls.append(table.version())
        upgrade(DeltaTable(store.prices.location.url), columns)
        upgrade(table, columns)

    monkeypatch.setattr(delta, "upgrade", after_another)
    table = store.prices.open_or_create()  # as an import opens it, and what upserts do beside it
    assert (len(calls), table.version(), nullable(store)) == (1, calls[0] + 1, True)
    assert all_rows(store) == before


def _killed(folder: str, moment: str) -> None:
    def killed(table: DeltaTable, columns: pa.Schema) -> None:
        if moment == "after":
            upgrade(table, columns)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(delta, "upgrade", killed)
        _upsert_all(folder, "BTC")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_before_or_after_the_upgrade_loses_nothing(tmp_path: Path, moment: str) -> None:
    store = earlier(tmp_path)
    before = all_rows(store)
    writer = multiprocessing.get_context("spawn").Process(target=_killed, args=(str(store.folder.path), moment))
    writer.start()
    writer.join(120)
    assert writer.exitcode == -signal.SIGKILL
    assert (nullable(store), all_rows(store), stored(store)) == (moment == "after", before, [])
    _upsert_all(str(store.folder.path), "BTC")
    assert all_rows(store) == before
    assert [row[0] for row in stored(store)] == [10.0 + minute for minute in range(20)]


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1])
def test_a_process_that_is_killed_as_it_meets_such_a_table_loses_nothing(tmp_path: Path, moment: float) -> None:
    store = earlier(tmp_path)
    before = all_rows(store)
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    writer = context.Process(target=_upsert_all, args=(str(store.folder.path), "BTC", started))
    writer.start()
    assert started.wait(60)
    time.sleep(moment)  # a random moment of the writes that follow
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join(60)
    assert all_rows(store) == before
    _upsert_all(str(store.folder.path), "BTC")
    assert [row[0] for row in stored(store)] == [10.0 + minute for minute in range(20)]
    log = sorted((store.folder.path / "minute_prices" / "_delta_log").glob("*.json"))
    assert all(json.loads(line) for file in log for line in file.read_text().splitlines())
