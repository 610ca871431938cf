"""What the rules would have said of recorded minutes: by backtest(), by the command, by pandas from the raw files."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pricetracker_dagster.alerts import backtest as backtesting
from pricetracker_dagster.alerts.backtest import BROKEN, backtest
from pricetracker_dagster.alerts.rules import Verdict
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.settings import AlertRule, load_settings
from pricetracker_dagster.store.store import Store, store_in
from tests.commands import pricetracker_here as pricetracker

FETCHED = datetime(2023, 3, 10, 8, 30, tzinfo=UTC)
FIRST, LAST = datetime(2023, 3, 8, 18, 0, tzinfo=UTC), datetime(2023, 3, 9, 23, 59, tzinfo=UTC)
COLUMNS = ["unix", "open", "high", "low", "close", "volume", "trades"]
NAMES = {
    "USDCUSD_1.csv": "KRAKEN:USDCUSD",
    "USDTUSD_1.csv": "KRAKEN:USDTUSD",
    "XBTEUR_1.csv": "KRAKEN:BTCEUR",
    "XBTUSDC_1.csv": "KRAKEN:BTCUSDC",
    "XBTUSDT_1.csv": "KRAKEN:BTCUSDT",
    "XBTUSD_1.csv": "KRAKEN:BTCUSD",
}
MEASURES = ("price", "volume", "change_absolute", "change_percentage")

Broken = Mapping[tuple[str, str, pd.Timestamp], tuple[float, float, float]]
"""Value, average and ratio by metric, measure and minute."""


@pytest.fixture(scope="module")
def files(recorded: Path) -> list[Path]:
    folder = recorded / "ohlcvt"
    return [folder / name for name in NAMES]


@pytest.fixture(scope="module")
def imported(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = store_in(tmp_path_factory.mktemp("backtested") / "data")
    for sheet in ohlcvt.read(files, fetched_at=FETCHED):
        store.prices.upsert(sheet.candles)
    return store


@pytest.fixture(scope="module")
def measured(files: list[Path]) -> dict[tuple[str, str], "pd.Series[float]"]:
    """Each measure of each metric for every minute between its file's first and last, from the raw CSV."""
    series: dict[tuple[str, str], pd.Series[float]] = {}
    for file in files:
        raw = pd.read_csv(file, names=COLUMNS, index_col="unix")
        raw.index = pd.to_datetime(raw.index, unit="s", utc=True)
        full = raw.reindex(pd.date_range(raw.index[0], raw.index[-1], freq="min"))
        full["close"] = full["close"].ffill()
        opened = full["open"].fillna(full["close"])
        of_file = {
            "price": full["close"],
            "volume": full["volume"].fillna(0),
            "change_absolute": full["close"] - opened,
            "change_percentage": (full["close"] - opened) / opened * 100,
        }
        series |= {(NAMES[file.name], measure): values for measure, values in of_file.items()}
    return series


def broken(
    measured: Mapping[tuple[str, str], "pd.Series[float]"], rule: AlertRule, first: datetime, last: datetime
) -> Broken:
    """The minutes that break a rule, by pandas."""
    found: dict[tuple[str, str, pd.Timestamp], tuple[float, float, float]] = {}
    for (metric, measure), values in measured.items():
        if measure not in rule.measures:
            continue
        window = values.abs().rolling(f"{rule.window_minutes}min", closed="left", min_periods=rule.min_points)
        average = window.apply(lambda own: math.fsum(own) / len(own), raw=True)  # mean() carries rounding along
        above = (average > rule.min_average) & (values.abs() > rule.factor * average)
        for minute in values.index[above & (values.index >= first) & (values.index <= last)]:
            found[metric, measure, minute] = (
                values[minute],
                average[minute],
                abs(values[minute]) / average[minute],
            )
    return found


def told(verdicts: Sequence[Verdict]) -> Broken:
    found = {
        (verdict.metric, verdict.measure, pd.Timestamp(verdict.minute)): (verdict.value, verdict.average, verdict.ratio)
        for verdict in verdicts
    }
    assert len(found) == len(verdicts)
    return found  # type: ignore[return-value]


def assert_same(answer: Broken, expected: Broken) -> None:
    assert set(answer) == set(expected)
    keys = sorted(expected)
    np.testing.assert_allclose([answer[key] for key in keys], [expected[key] for key in keys], rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"factor": 5.0},
        {"factor": 1.5, "window_minutes": 15, "min_points": 15},
        {"factor": 4.0, "window_minutes": 240, "min_points": 200, "min_average": 0.05},
        {"factor": 2.0, "window_minutes": 1, "min_points": 1},
        {"measures": ("change_absolute", "change_percentage"), "factor": 4.0},
        {"measures": ("price",), "factor": 1.0001, "window_minutes": 7, "min_points": 3},
    ],
)
def test_what_the_rules_would_have_said_of_recorded_files_is_what_pandas_computes(
    imported: Store, measured: dict[tuple[str, str], "pd.Series[float]"], values: dict[str, Any]
) -> None:
    rule = AlertRule.model_validate(values)
    expected = broken(measured, rule, FIRST, LAST)
    assert {metric for metric, _, _ in expected} == set(NAMES.values())  # all six have something to say
    answer = backtest(imported, [rule], FIRST, LAST)
    assert {verdict.rule for verdict in answer} == {"spike"}
    assert {verdict.verdict for verdict in answer} == {"above"}
    assert_same(told(answer), expected)


def test_the_default_rule_speaks_of_volume_and_of_no_price(
    imported: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    answer = backtest(imported, [AlertRule()], FIRST, LAST)
    assert {verdict.measure for verdict in answer} == {"volume"}
    assert len(answer) > 400


def test_several_rules_are_each_judged_as_if_alone(
    imported: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    rules = [
        AlertRule(),
        AlertRule(name="short", factor=4, window_minutes=5, min_points=5, measures=("volume", "change_absolute")),
        AlertRule(name="bitcoin", metrics=("KRAKEN:BTC*",), measures=("change_percentage",), factor=6),
    ]
    answer = backtest(imported, rules, FIRST, LAST)
    assert answer == sorted(answer, key=lambda verdict: (verdict.minute, *verdict[:3]))  # oldest first
    for rule in rules:
        expected = broken(measured, rule, FIRST, LAST)
        if rule.name == "bitcoin":
            expected = {key: values for key, values in expected.items() if key[0].startswith("KRAKEN:BTC")}
        assert expected
        assert_same(told([verdict for verdict in answer if verdict.rule == rule.name]), expected)


def test_a_part_of_the_time_is_judged_with_the_minutes_before_it(
    imported: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    first = datetime(2023, 3, 9, 0, 0, tzinfo=UTC)  # its windows lie in the partition of the day before
    last = datetime(2023, 3, 9, 2, 30, tzinfo=UTC)
    expected = broken(measured, AlertRule(factor=2), first, last)
    assert min(minute for _, _, minute in expected) < pd.Timestamp(first) + 30 * MINUTE
    assert_same(told(backtest(imported, [AlertRule(factor=2)], first, last)), expected)


def test_time_is_judged_in_portions_with_nothing_lost_between_them(
    imported: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = backtest(imported, [AlertRule()], FIRST, LAST)
    monkeypatch.setattr(backtesting, "AT_ONCE", DAY / 24 * 7)
    assert backtest(imported, [AlertRule()], FIRST, LAST) == at_once


def test_where_nothing_is_stored_nothing_is_said(imported: Store, tmp_path: Path) -> None:
    assert backtest(imported, [AlertRule()], FIRST - 100 * DAY, FIRST - DAY) == []
    assert backtest(imported, [], FIRST, LAST) == []
    assert backtest(store_in(tmp_path / "nothing"), [AlertRule()], FIRST, LAST) == []
    assert not (tmp_path / "nothing").exists()


# --- the command ---


@pytest.fixture
def configured(imported: Store, write_settings: Callable[[str], Path]) -> Store:
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\ndata = "{imported.folder.path}"')
    assert load_settings().folder == imported.folder.path
    return imported


def asked(*arguments: str) -> list[dict[str, str]]:
    """The rows of a backtest over the recorded hours."""
    answer = pricetracker("alerts", "backtest", "--from", "2023-03-08T18:00Z", "--to", "2023-03-09T23:59Z", *arguments)
    assert answer.returncode == 0, answer.stderr
    return list(csv.DictReader(io.StringIO(answer.stdout)))


def read(rows: Sequence[Mapping[str, str]]) -> Broken:
    found = {
        (row["metric"], row["measure"], pd.Timestamp(row["minute"])): (
            float(row["value"]),
            float(row["average"]),
            float(row["ratio"]),
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def test_the_command_prints_a_row_a_minute_that_breaks_a_rule_with_every_digit(
    configured: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    rows = asked("--format", "csv")
    assert list(rows[0]) == list(BROKEN) == ["rule", "metric", "measure", "minute", "value", "average", "ratio"]
    assert_same(read(rows), broken(measured, AlertRule(), FIRST, LAST))
    assert read(rows) == told(backtest(configured, [AlertRule()], FIRST, LAST))
    minutes = [row["minute"] for row in rows]
    assert minutes == sorted(minutes)
    assert all(minute.endswith(":00Z") for minute in minutes)


def test_the_command_changes_the_rules_as_it_is_told(
    configured: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    rows = asked(
        *("--factor", "4.5", "--window", "30", "--min-points", "20", "--min-average", "0.001"),
        *("--measure", "volume", "--measure", "change_absolute", "--metric", "KRAKEN:BTC*", "--format", "csv"),
    )
    rule = AlertRule(
        factor=4.5, window_minutes=30, min_points=20, min_average=0.001, measures=("volume", "change_absolute")
    )
    expected = {
        key: values for key, values in broken(measured, rule, FIRST, LAST).items() if key[0].startswith("KRAKEN:BTC")
    }
    assert {metric for metric, _, _ in expected} > {"KRAKEN:BTCUSD"}  # also metrics that nobody tracks
    assert_same(read(rows), expected)


def test_episodes_are_the_same_minutes_joined(
    configured: Store, measured: dict[tuple[str, str], "pd.Series[float]"]
) -> None:
    rows = asked("--episodes", "--factor", "2", "--format", "csv")
    assert list(rows[0]) == [
        *("rule", "metric", "measure", "first", "last", "minutes", "peak", "average", "ratio", "peak_minute"),
    ]
    expected = pd.DataFrame(
        [(*key, *values) for key, values in broken(measured, AlertRule(factor=2), FIRST, LAST).items()],
        columns=["metric", "measure", "minute", "value", "average", "ratio"],
    ).sort_values(["metric", "measure", "minute"])
    begins = expected.groupby(["metric", "measure"])["minute"].diff() != MINUTE
    episodes: list[tuple[Any, ...]] = []
    for _, own in expected.groupby(begins.cumsum()):
        peak = own.sort_values("ratio").iloc[-1]
        ends = own["minute"].iloc[0], own["minute"].iloc[-1]
        episodes.append(
            (peak["metric"], peak["measure"], *ends, len(own), peak["minute"], peak["value"], peak["ratio"])
        )
    answer: list[tuple[Any, ...]] = [
        (
            row["metric"],
            row["measure"],
            *map(pd.Timestamp, (row["first"], row["last"])),
            int(row["minutes"]),
            pd.Timestamp(row["peak_minute"]),
            float(row["peak"]),
            float(row["ratio"]),
        )
        for row in rows
    ]
    assert [row[2] for row in answer] == sorted(row[2] for row in answer)  # oldest first
    assert max(row[4] for row in answer) > 2
    assert [row[:6] for row in sorted(answer)] == [row[:6] for row in sorted(episodes)]
    np.testing.assert_allclose([row[6:] for row in sorted(answer)], [row[6:] for row in sorted(episodes)], rtol=1e-9)


def test_the_command_answers_in_json_and_for_people_too(configured: Store) -> None:
    window = ("alerts", "backtest", "--from", "2023-03-09T00:00", "--to", "2023-03-09T06:00", "--factor", "10")
    as_json = json.loads(pricetracker(*window, "--format", "json").stdout)
    rule = AlertRule(factor=10)
    expected = backtest(configured, [rule], datetime(2023, 3, 9, tzinfo=UTC), datetime(2023, 3, 9, 6, tzinfo=UTC))
    assert expected
    assert [(row["metric"], row["value"], row["ratio"]) for row in as_json] == [
        (verdict.metric, verdict.value, verdict.ratio) for verdict in expected
    ]
    table = pricetracker(*window).stdout
    assert all(verdict.metric in table for verdict in expected)


def test_the_command_of_a_time_without_alerts_prints_no_row(configured: Store) -> None:
    assert asked("--factor", "1e6", "--format", "csv") == []
    assert asked("--factor", "1e6", "--episodes", "--format", "csv") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "2023-03-09", "--to", "2023-03-08"), "--from 2023-03-09 00:00 is after --to 2023-03-08 00:00"),
        (("--to", "2023-03-08"), "--from"),
        (("--from", "yesterday"), "write e.g. 2026-11-24T12:04Z"),
        (("--from", "2023-03-09", "--factor", "0"), "factor"),
        (("--from", "2023-03-09", "--factor", "nan"), "factor"),
        (("--from", "2023-03-09", "--measure", "prices"), "change_percentage"),
        (("--from", "2023-03-09", "--min-points", "61"), "min_points 61 is more than window_minutes 60"),
    ],
)
def test_the_command_says_what_is_wrong_in_plain_words(configured: Store, arguments: Sequence[str], says: str) -> None:
    answer = pricetracker("alerts", "backtest", *arguments)
    assert answer.returncode in (1, 2)
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_least_average_of_nothing_is_one_that_can_be_asked_for(
    imported: Store, write_settings: Callable[[str], Path]
) -> None:
    write_settings(
        f'metrics = ["KRAKEN:BTCUSD"]\ndata = "{imported.folder.path}"\n'
        "[[alerts.rules]]\nmin_average = 1e9\nfactor = 10"
    )
    assert asked("--format", "csv") == []
    assert asked("--min-average", "0", "--format", "csv") != []


def test_a_backtest_records_and_sends_nothing(configured: Store) -> None:
    before = sorted(path.name for path in configured.folder.path.iterdir())
    asked("--format", "csv")
    assert sorted(path.name for path in configured.folder.path.iterdir()) == before
    assert not (configured.folder.path / "alerts").exists()
