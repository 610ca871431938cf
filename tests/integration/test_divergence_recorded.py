"""Divergences of recorded minutes, by the backtest and its command, and by pandas from the raw files.

Bitcoin in dollars, USDT and USDC as Kraken traded it in March 2023, these quotes in one market.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from pricetracker_dagster.alerts.backtest import backtest
from pricetracker_dagster.alerts.rules import Verdict
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.settings import PROJECT, AlertRule
from pricetracker_dagster.store.store import Store
from tests.commands import pricetracker_here as pricetracker

FETCHED = datetime(2023, 3, 10, 8, 30, tzinfo=UTC)
COLUMNS = ["unix", "open", "high", "low", "close", "volume", "trades"]
FILES = {"XBTUSD": "KRAKEN:BTCUSD", "XBTUSDT": "KRAKEN:BTCUSDT", "XBTUSDC": "KRAKEN:BTCUSDC"}
STABLE = {"USDTUSD": "KRAKEN:USDTUSD", "USDCUSD": "KRAKEN:USDCUSD"}
USD_LIKE = ("USD", "USDT", "USDC")
DAYS = "kraken/ohlcvt_2023-03-07_09"
"""The three days, in the folder ``shared/data`` beside the project, where somebody has them."""

Told = Mapping[tuple[str, pd.Timestamp], tuple[float, float, float]]
"""Price, median and basis points by metric and minute."""


def stored(folder: Path, files: Path) -> Store:
    """Import the files of a folder, where these quotes are one market."""
    store = Store(DataFolder(folder), USD_LIKE)
    for sheet in ohlcvt.read([files / f"{name}_1.csv" for name in (*FILES, *STABLE)], fetched_at=FETCHED):
        store.prices.upsert(sheet.candles)
    return store


@pytest.fixture(scope="module")
def thirty_hours(recorded: Path) -> Path:
    return recorded / "ohlcvt"


@pytest.fixture(scope="module")
def imported(thirty_hours: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return stored(tmp_path_factory.mktemp("apart") / "data", thirty_hours)


def prices(files: Path) -> pd.DataFrame:
    """Return the closes of the minutes in which each of the three had a trade."""
    columns = {}
    for name, metric in FILES.items():
        raw = pd.read_csv(files / f"{name}_1.csv", names=COLUMNS, index_col="unix")
        raw.index = pd.to_datetime(raw.index, unit="s", utc=True)
        columns[metric] = raw["close"][raw["volume"] > 0]
    return pd.DataFrame(columns).dropna()


def apart(files: Path, basis_points: float, for_minutes: int = 1) -> Told:
    """The minutes above, by pandas: of two others the median is their mean."""
    found: dict[tuple[str, pd.Timestamp], tuple[float, float, float]] = {}
    closes = prices(files)
    for metric in closes:
        median = closes.drop(columns=metric).median(axis=1)
        far = (closes[metric] - median).abs() / median * 10_000
        minutes = far.index[far > basis_points].to_series()
        run = (minutes.diff() != MINUTE).cumsum()
        lasting = minutes[run.map(run.value_counts()) >= for_minutes]
        for minute in lasting:
            found[str(metric), minute] = closes[metric][minute], median[minute], far[minute]
    return found


def told(verdicts: Sequence[Verdict]) -> Told:
    found = {(each.metric, pd.Timestamp(each.minute)): each[4:7] for each in verdicts}
    assert len(found) == len(verdicts)
    return found  # type: ignore[return-value]


def assert_same(answer: Told, expected: Told) -> None:
    assert answer.keys() == expected.keys()
    for key, values in expected.items():
        assert answer[key] == pytest.approx(values, rel=1e-9)


FIRST, LAST = datetime(2023, 3, 8, 18, 0, tzinfo=UTC), datetime(2023, 3, 9, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(("basis_points", "for_minutes"), [(5, 1), (5, 2), (5, 4), (10, 1), (20, 1), (50, 1)])
def test_what_is_said_of_recorded_files_is_what_pandas_computes(
    imported: Store, thirty_hours: Path, basis_points: float, for_minutes: int
) -> None:
    rule = AlertRule(kind="divergence", basis_points=basis_points, others=2, for_minutes=for_minutes)
    expected = apart(thirty_hours, basis_points, for_minutes)
    assert bool(expected) == (basis_points < 50)
    answer = backtest(imported, [rule], FIRST, LAST)
    assert {verdict.points for verdict in answer} <= {2}
    assert_same(told(answer), expected)


def test_where_each_quote_is_a_market_of_its_own_nothing_is_compared(imported: Store) -> None:
    rule = AlertRule(kind="divergence", basis_points=0.01, others=1)
    assert backtest(Store(imported.folder), [rule], FIRST, LAST) == []


def asked(*arguments: str) -> list[dict[str, str]]:
    """The rows of the command over the thirty hours."""
    hours = ("--from", "2023-03-08T18:00Z", "--to", "2023-03-09T23:59Z", "--format", "csv")
    answer = pricetracker("alerts", "backtest", *hours, *arguments)
    assert answer.returncode == 0, answer.stderr
    return list(csv.DictReader(io.StringIO(answer.stdout)))


@pytest.fixture
def configured(imported: Store, write_settings: Callable[[str], Path]) -> Store:
    write_settings(
        f'metrics = ["KRAKEN:BTCUSD"]\ndata = "{imported.folder.path}"\n[markets]\nusd_like = ["USD", "USDT", "USDC"]'
    )
    return imported


def test_the_command_asks_a_kind_of_rule_that_is_not_set_and_changes_it_as_it_is_told(
    configured: Store, thirty_hours: Path
) -> None:
    rows = asked("--kind", "divergence", "--others", "2", "--basis-points", "5", "--for-minutes", "2")
    answer = {
        (row["metric"], pd.Timestamp(row["minute"])): tuple(float(row[name]) for name in ("value", "average", "ratio"))
        for row in rows
    }
    assert {(row["rule"], row["measure"]) for row in rows} == {("divergence", "price")}
    assert_same(answer, apart(thirty_hours, 5, 2))  # type: ignore[arg-type]
    episodes = asked(
        *("--kind", "divergence", "--others", "2", "--basis-points", "5", "--for-minutes", "2", "--episodes")
    )
    assert sum(int(row["minutes"]) for row in episodes) == len(rows)
    assert min(int(row["minutes"]) for row in episodes) == 2


def test_a_key_that_no_rule_has_is_a_mistake_that_says_so(configured: Store) -> None:
    answer = pricetracker("alerts", "backtest", "--from", "2023-03-09", "--to", "2023-03-09T01:00", "--others", "2")
    assert (answer.returncode, answer.stderr) == (
        1,
        'Error: others is no key of rules of kind "spike", and there are no others: add --kind\n',
    )


# --- the three days, as docs/alerts.md tells them ---


@pytest.fixture(scope="module")
def three_days() -> Path:
    found = [folder / "shared" / "data" / DAYS for folder in PROJECT.parents]
    there = [folder for folder in found if (folder / "XBTUSDC_1.csv").exists()]
    if not there:
        pytest.skip(f"the three days of March 2023 are not there: {found[0]}")
    return there[0]


def test_of_the_three_days_of_march_2023_it_says_what_the_document_says(three_days: Path, tmp_path: Path) -> None:
    store = stored(tmp_path / "data", three_days)
    first, last = datetime(2023, 3, 7, tzinfo=UTC), LAST
    days = prices(three_days)
    assert len(days) == 1190

    def said(basis_points: float, for_minutes: int = 1) -> list[Verdict]:
        rule = AlertRule(kind="divergence", basis_points=basis_points, others=2, for_minutes=for_minutes)
        answer = backtest(store, [rule], first, last)
        assert_same(told(answer), apart(three_days, basis_points, for_minutes))
        return answer

    assert said(50) == []
    assert [len(said(20)), len(said(20, for_minutes=2))] == [7, 0]
    assert [len(said(10)), len(said(10, for_minutes=3))] == [143, 0]
    largest = max(said(20), key=lambda verdict: verdict.ratio or 0)
    assert largest[1:4] == ("KRAKEN:BTCUSDT", "price", datetime(2023, 3, 9, 21, tzinfo=UTC))
    assert f"{largest.ratio:.1f}" == "29.6"
    ranges = {}
    for name in STABLE:
        raw = pd.read_csv(three_days / f"{name}_1.csv", names=COLUMNS)
        ranges[name] = raw["close"].min(), raw["close"].max()
    assert ranges == {"USDTUSD": (0.9995, 1.0002), "USDCUSD": (0.9990, 1.0002)}
    document = (PROJECT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert "0.9990 to 1.0002 dollars, USDT at 0.9995 to 1.0002" in document
    assert "names 7 minutes, each on its own; by 10 it names 143" in document
