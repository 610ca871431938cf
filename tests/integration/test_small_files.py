"""Small files of the data folder that are lost or damaged: what cannot be read counts as not there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.store.clock import ahead_for_certain, clock_differences, note_clock
from pricetracker_dagster.store.store import open_store
from pricetracker_dagster.store.tracked import note_tracked
from tests.integration.conftest import NOON, Track
from tests.odd_kraken import NEWEST

FILES = ("clock.json", "tracked.json", "turns.json", "doubts.json", "kraken_pairs.json")

DAMAGED = {
    "empty": b"",
    "cut short": b'{"KRAKEN": {"ahead": 1',
    "no UTF-8": b"\xff\xfe{}",
    "NUL": bytes(4096),
    "deep list": b"[" * 100_000,
    "deep object": b'{"KRAKEN":' * 100_000,
    "list": b"[1]",
    "number": b"1" + b"0" * 400,
    "too many digits": b"1" * 5000,
    "text": b'"KRAKEN"',
    "null": b"null",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_has_no_entries(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept.json").write_bytes(content)
    assert kept_in(tmp_path / "kept.json") == {}


def test_a_file_that_is_a_folder_or_not_there_has_none_either(tmp_path: Path) -> None:
    assert kept_in(tmp_path) == kept_in(tmp_path / "kept.json") == {}


@pytest.mark.parametrize("damage", ["deep list", "no UTF-8", "list", "folder"])
def test_a_tick_stores_every_metric_whatever_has_become_of_the_small_files(track: Track, damage: str) -> None:
    settings = track()
    collect_minute(settings, NEWEST - MINUTE)
    for name in FILES:
        file = settings.state / name
        file.unlink(missing_ok=True)
        if damage == "folder":
            file.mkdir()
        else:
            file.write_bytes(DAMAGED[damage])
    tick = collect_minute(settings, NEWEST)
    assert (tick.missing, tick.reasons, tick.tracebacks) == ({}, {}, [])
    metrics = [str(metric) for metric in settings.tracked]
    assert open_store(settings).prices.newest(metrics, NEWEST) == dict.fromkeys(metrics, NEWEST)


@pytest.mark.parametrize(
    "seconds", ["1" + "0" * 400, "1e12", "-1e12", "1e400", "NaN", '"x"', "[]", '{"a": 1}'], ids=lambda text: text[:5]
)
@pytest.mark.parametrize("which", ["ahead", "at_least"])
def test_an_absurd_difference_of_clocks_is_ignored_and_the_others_are_kept(
    tmp_path: Path, seconds: str, which: str
) -> None:
    values = {"ahead": "60", "at_least": "60", which: seconds}
    at = f'"measured_at": "{NOON.isoformat()}"'
    old = f'"OLD": {{"ahead": {values["ahead"]}, "at_least": {values["at_least"]}, {at}}}'
    good = f'"KRAKEN": {{"ahead": 7, "at_least": 5, {at}}}'
    (tmp_path / "clock.json").write_text(f"{{{old}, {good}}}", encoding="utf-8")
    assert clock_differences(tmp_path, NOON) == {"KRAKEN": 7.0}
    assert ahead_for_certain(tmp_path, NOON) == {"KRAKEN": 5.0}
    note_clock(tmp_path, "OTHER", 1.0, NOON)
    assert json.loads((tmp_path / "clock.json").read_text(encoding="utf-8")).keys() == {"KRAKEN", "OTHER"}


@pytest.mark.parametrize("name", ["", "\ud800", "KRAKEN:BTCUSD", "a b"])
def test_a_difference_under_a_name_that_no_exchange_has_holds_up_no_row(track: Track, name: str) -> None:
    settings = track()
    collect_minute(settings, NEWEST)
    now = datetime.now(UTC)
    # 95 years: a clock may be so wrong
    absurd = {name: {"ahead": 3e9, "at_least": 3e9, "measured_at": now.isoformat()}}
    (settings.state / "clock.json").write_text(json.dumps(absurd), encoding="utf-8")
    store = open_store(settings)
    candles = store.prices.candles([str(metric) for metric in settings.tracked], NEWEST, NEWEST)
    assert store.prices.upsert(candles, now=now).rejected == []


def test_two_exchanges_are_measured_within_one_moment(tmp_path: Path) -> None:
    note_clock(tmp_path, "A", 1.0, NOON)
    note_clock(tmp_path, "B", 2.0, NOON - timedelta(seconds=1))
    assert clock_differences(tmp_path, NOON) == {"A": 1.0, "B": 2.0}


@pytest.mark.parametrize(
    "bad",
    [
        *(5, None, [], {}, True, "", "soon", "2026-11-20", "2026-11-20T00:00:00"),
        *("0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1" * 5000),
    ],
    ids=lambda bad: str(bad)[:26],
)
def test_since_when_one_metric_is_tracked_outlives_what_is_wrong_with_another(tmp_path: Path, bad: object) -> None:
    file = tmp_path / "tracked.json"
    before = NOON - timedelta(days=3)
    file.write_text(json.dumps({"A:BUSD": before.isoformat(), "A:CUSD": bad}), encoding="utf-8")
    assert note_tracked(tmp_path, ["A:BUSD", "A:CUSD"], NOON) == {"A:BUSD": before, "A:CUSD": NOON}
    assert json.loads(file.read_text(encoding="utf-8")) == {"A:BUSD": before.isoformat(), "A:CUSD": NOON.isoformat()}


def test_since_when_is_a_whole_minute_of_utc_whatever_was_written(tmp_path: Path) -> None:
    (tmp_path / "tracked.json").write_text('{"A:BUSD": "2026-03-01T13:30:59.5+01:00"}', encoding="utf-8")
    assert note_tracked(tmp_path, ["A:BUSD"], NOON) == {"A:BUSD": datetime(2026, 3, 1, 12, 30, tzinfo=UTC)}
