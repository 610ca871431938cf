"""The Python face on a real published file: its numbers against pandas, what it refuses, how it follows."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.errors import UnknownName
from pricetracker_dagster.reading.every import NotAWidth
from pricetracker_dagster.reading.prices import Prices
from pricetracker_dagster.reading.times import WrongTimes
from pricetracker_dagster.store.publishing.access import NotPublished
from pricetracker_dagster.store.store import Store
from tests.market import AS_OF, METRICS, market, one_minute_more

BTC = METRICS[0]

Made = tuple[Store, pd.DataFrame]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def prices(made: Made) -> Prices:
    return open_prices(made[0].folder.published)


@pytest.fixture(scope="module")
def btc(made: Made) -> pd.DataFrame:
    candles = made[1]
    return candles[candles["metric"] == BTC].set_index("minute")


@pytest.mark.parametrize("every", ["1m", "5m", "7m", "90m", "1h", "6h", "1d", "2d"])
def test_candles_of_any_width_are_those_of_pandas(prices: Prices, btc: pd.DataFrame, every: str) -> None:
    answer = prices.candles(BTC, "2026-03-01T00:00Z", "2026-03-04", every=every).df().set_index("minute")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "trades": "sum"}
    wide = f"{int(every[:-1]) * {'m': 1, 'h': 60, 'd': 1440}[every[-1]]}min"
    bins = btc[btc.index >= "2026-03-01"].resample(wide, origin="epoch")
    # the first bin is whole: it begins before the range where that begins within it
    whole = btc.resample(wide, origin="epoch")
    expected = whole.agg(how).assign(minutes=whole.size())
    expected = expected[(expected["minutes"] > 0) & (expected.index >= bins.size().index[0])]
    pd.testing.assert_frame_equal(
        answer.drop(columns="metric"), expected, check_names=False, check_freq=False, rtol=1e-12, check_index_type=False
    )


def test_a_candle_without_a_stored_minute_is_no_row_and_one_with_some_says_how_many(prices: Prices) -> None:
    answer = prices.candles(BTC, "2026-03-03T10:55Z", "2026-03-03T11:10Z", every="5m").fetchall()
    assert [(row[1].strftime("%H:%M"), row[-1]) for row in answer] == [("10:55", 5), ("11:05", 5)]
    [row] = prices.candles(BTC, "2026-03-03T11:00Z", "2026-03-03T11:30Z", every="30m").fetchall()
    assert row[-1] == 25


@pytest.mark.parametrize("measure", ["price", "volume", "change_absolute", "change_percentage"])
def test_the_history_of_24_hours_and_of_hours_and_of_wide_candles(
    prices: Prices, btc: pd.DataFrame, measure: str
) -> None:
    def of(frame: pd.DataFrame) -> pd.Series:
        change = frame["close"] - frame["open"]
        measures = {
            "price": frame["close"],
            "volume": frame["volume"],
            "change_absolute": change,
            "change_percentage": change / frame["open"] * 100,
        }
        return measures[measure]

    day = btc[btc.index > AS_OF - timedelta(days=1)]
    ten = btc["2026-03-03 11:30":"2026-03-03 11:39"]
    for answer, expected in (
        (prices.history(BTC, measure), of(day)),
        (prices.history(BTC, measure, hours=24, every="1m"), of(day)),
        (prices.history(BTC, measure, hours=2), of(btc[btc.index > AS_OF - timedelta(hours=2)])),
        (
            prices.history(BTC, measure, start="2026-03-03T11:30", end="2026-03-03T11:40"),
            of(ten),
        ),
    ):
        frame = answer.df()
        assert list(frame.columns) == ["metric", "measure", "minute", "value"]
        pd.testing.assert_series_equal(
            frame.set_index("minute")["value"], expected, check_names=False, check_freq=False, rtol=1e-12
        )
    hourly = prices.history(BTC, measure, start="2026-03-02", end="2026-03-03", every="1h").df()
    how = {"open": "first", "close": "last", "volume": "sum"}
    wide = btc["2026-03-02":"2026-03-02 23:59"].resample("1h").agg(how)
    assert list(hourly["value"]) == pytest.approx(list(of(wide)), rel=1e-12)


def test_rank_metrics_missed_and_snapshot_are_the_published_tables(prices: Prices, made: Made) -> None:
    day = made[1][made[1]["minute"] > AS_OF - timedelta(days=1)]
    stddev = day.groupby("metric")["close"].std().sort_values(ascending=False)
    rank = prices.rank("price").to_dicts()
    assert [(row["rank"], row["metric"]) for row in rank] == list(enumerate(stddev.index, 1))
    assert [row["stddev"] for row in rank] == pytest.approx(list(stddev))
    assert {row["metric"] for row in prices.metrics().to_dicts()} == set(METRICS)
    assert [minute.strftime("%H:%M") for _, minute, _ in prices.missed(BTC).fetchall()] == [
        "11:00", "11:01", "11:02", "11:03", "11:04"
    ]  # fmt: skip
    assert prices.missed("KRAKEN:ETHUSD").fetchall() == []
    [snapshot] = prices.snapshot().to_dicts()
    assert (snapshot["as_of"], snapshot["rows"]) == (AS_OF, len(made[1]))
    assert prices.alerts().fetchall() == prices.incidents(only_open=True, since=AS_OF).fetchall() == []


def test_sql_takes_parameters_and_answers_arrow_and_polars(prices: Prices) -> None:
    answer = prices.sql("SELECT count(*) AS n FROM minute_prices WHERE metric = $m", {"m": BTC})
    assert answer.to_arrow_table().to_pydict() == {"n": [3 * 1440 - 5]}
    assert answer.pl()["n"][0] == 3 * 1440 - 5


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/hostname')",
        "FROM glob('/*')",
        "COPY (SELECT 1) TO '{there}/out.csv'",
        "ATTACH '{there}/other.duckdb'",
        "EXPORT DATABASE '{there}/all'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '1GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "INSERT INTO snapshot SELECT * FROM snapshot",
        "DROP TABLE metric_rank",
    ],
)
def test_a_statement_reaches_nothing_but_the_published_tables(prices: Prices, tmp_path: Path, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        prices.sql(statement.format(there=tmp_path)).fetchall()
    assert list(tmp_path.iterdir()) == []


def test_another_parquet_file_beside_those_of_the_views_cannot_be_read(prices: Prices, made: Made) -> None:
    inside = next(made[0].folder.path.rglob("*.parquet"))
    other = inside.with_name("other.parquet")
    other.write_bytes(inside.read_bytes())
    assert prices.sql(f"FROM '{inside}' LIMIT 1").fetchall()
    with pytest.raises(duckdb.PermissionException):
        prices.sql(f"FROM '{other}'")
    other.unlink()


def test_what_is_not_there_is_an_error_that_names_what_is(prices: Prices) -> None:
    with pytest.raises(UnknownName, match="no measure prise; did you mean price"):
        prices.rank("prise")
    with pytest.raises(UnknownName, match="no values of KRAKEN:BTCUS in the last 24 hours; did you mean KRAKEN:BTCUSD"):
        prices.history("KRAKEN:BTCUS", "price")
    with pytest.raises(UnknownName, match="nor from 2026-03-01 00:00 to 2026-03-02 00:00 UTC"):
        prices.candles("KRAKEN:DOGEUSD", "2026-03-01", "2026-03-02")
    with pytest.raises(NotAWidth, match='every "5x": write whole minutes, hours or days'):
        prices.candles(BTC, every="5x")
    with pytest.raises(WrongTimes, match='"yesterday" is no time'):
        prices.candles(BTC, "yesterday")
    with pytest.raises(WrongTimes, match="start 2026-03-02T00:00Z is not before end 2026-03-01T00:00Z"):
        prices.candles(BTC, "2026-03-02", "2026-03-01")
    with pytest.raises(NotPublished, match="nothing is published at"):
        open_prices("/nowhere/pricetracker.duckdb")


def test_a_metric_that_is_no_longer_tracked_is_known_by_its_older_minutes(tmp_path: Path) -> None:
    store, _ = market(tmp_path, days=3)
    one_minute_more(store, AS_OF + timedelta(days=2), METRICS[:1])
    prices = open_prices(tmp_path)
    assert prices.sql("SELECT DISTINCT metric FROM available_metrics").fetchall() == [(BTC,)]
    assert len(prices.candles("KRAKEN:XRPUSD", "2026-03-02", "2026-03-03").fetchall()) == 1440


def test_a_published_file_may_be_called_anything(made: Made, tmp_path: Path) -> None:
    copy = tmp_path / 'the "best" [prices]*.duckdb'
    copy.write_bytes(made[0].folder.published.read_bytes())
    prices = open_prices(copy)
    assert len(prices.candles(BTC, every="1h").fetchall()) == 25
    assert prices.sql("SELECT count(*) FROM metric_rank").fetchall() == [(12,)]


def test_it_follows_the_newest_file_while_each_answer_stays_as_it_was(tmp_path: Path) -> None:
    store, _ = market(tmp_path, days=2)
    prices = open_prices(tmp_path)
    before = prices.rank("price")
    kept = before.fetchall()
    minute = AS_OF
    for _ in range(3):
        minute = one_minute_more(store, minute, close=1e6)
        assert prices.snapshot().fetchall()[0][0] == minute
    assert before.fetchall() == kept
    assert before.df()["as_of"][0] == AS_OF
    assert repr(prices) == f"<prices of {store.folder.published}: 3 metrics, up to 2026-03-03 12:07 UTC>"


def test_the_settings_in_force_say_which_file(
    tmp_path: Path, write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    market(tmp_path / "data", days=1)
    assert open_prices().snapshot().fetchall()[0][0] == AS_OF


def test_to_import_the_package_imports_nothing_that_is_heavy(made: Made) -> None:
    heavy = "{'dagster', 'pandas', 'plotly', 'duckdb', 'pyarrow', 'requests', 'fastapi', 'polars', 'matplotlib'}"
    code = f"""
import sys
from pricetracker_dagster import open_prices
print(sorted({heavy} & set(sys.modules)))
prices = open_prices({str(made[0].folder.published)!r})
prices.candles({BTC!r}, every="1h").fetchall()
prices.rank("price").to_arrow_table()
print(sorted(({heavy} - {{'duckdb', 'pyarrow'}}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_a_range_of_a_day_reads_the_files_of_that_day_alone(prices: Prices, made: Made) -> None:
    gone = [path for path in made[0].folder.path.rglob("*.parquet") if "date=2026-03-01" in str(path)]
    moved = [path.rename(path.with_suffix(".away")) for path in gone]
    try:
        answer = open_prices(made[0].folder.published).candles(BTC, "2026-03-02", "2026-03-03").fetchall()
        assert len(answer) == 1440
    finally:
        for path in moved:
            path.rename(path.with_suffix(".parquet"))
    assert moved
