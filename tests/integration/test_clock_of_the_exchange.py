"""A machine whose clock is ahead of the exchange's: no minute is stored before it is over there, and none is lost."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.cli import main
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.clock import ahead_for_certain, note_clock
from pricetracker_dagster.store.store import open_store, store_in
from tests.integration.conftest import Bench

NOON = datetime(2026, 3, 3, 12, 0, 30, tzinfo=UTC)
BTC = "KRAKEN:BTCUSD"


def rows(last: datetime, *metrics: str) -> list[tuple[object, ...]]:
    """Ten minutes, the newest of them last."""
    unix = int(last.timestamp())
    return [(metric, unix - 60 * i, 10.0, 10.0, 10.0, 10.0, 1.0, 1) for metric in metrics for i in range(10)]


@pytest.mark.parametrize("ahead", [90, 600, 3600, 86400 * 3])
def test_a_minute_that_is_not_over_by_its_exchange_is_refused_whatever_brings_it(tmp_path: Path, ahead: int) -> None:
    store = store_in(tmp_path)
    note_clock(store.folder.state, "KRAKEN", ahead, NOON, at_least=ahead)
    true = NOON - timedelta(seconds=ahead)
    newest = true.replace(second=0) - MINUTE  # that is over by the exchange's clock
    upserted = store.prices.upsert(validate_rows(rows(newest + 5 * MINUTE, BTC), NOON).kept, now=NOON)
    expected = [newest + i * MINUTE for i in range(1, 6) if newest + i * MINUTE < NOON.replace(second=0)]
    assert [row.minute for row in upserted.rejected if "KRAKEN's clock" in row.problem] == expected
    assert store.prices.newest([BTC], NOON - timedelta(days=30))[BTC] == newest


def test_only_the_rows_of_that_exchange_are_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    note_clock(store.folder.state, "KRAKEN", 600, NOON, at_least=600)
    minute = NOON.replace(second=0) - MINUTE
    upserted = store.prices.upsert(validate_rows(rows(minute, BTC, "KRAKENX:BTCUSD"), NOON).kept, now=NOON)
    assert {row.metric for row in upserted.rejected} == {BTC}
    assert upserted.inserted == 10


@pytest.mark.parametrize(
    ("ahead", "at_least", "measured"),
    [
        (20.0, -1.0, timedelta()),  # a slow answer, and nothing is known for certain
        (-3600.0, -3601.0, timedelta()),  # this machine's clock is behind
        (3600.0, 3600.0, timedelta(minutes=-11)),  # long ago
        (3600.0, 3600.0, timedelta(hours=1)),  # by a clock that has been put right since
        (3600.0, None, timedelta()),  # an earlier version's
        (float("nan"), float("nan"), timedelta()),
    ],
)
def test_what_is_not_known_for_certain_refuses_nothing(
    tmp_path: Path, ahead: float, at_least: float | None, measured: timedelta
) -> None:
    store = store_in(tmp_path)
    note_clock(store.folder.state, "KRAKEN", ahead, NOON + measured, at_least=at_least)
    assert ahead_for_certain(store.folder.state, NOON) == {}
    assert not store.prices.upsert(
        validate_rows(rows(NOON.replace(second=0) - MINUTE, BTC), NOON).kept, now=NOON
    ).rejected


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(hours=1), timedelta(hours=15), timedelta(days=3)])
def test_ticks_of_a_machine_that_is_ahead_store_what_is_over_there_and_leave_no_hole(
    start: Callable[..., Bench], ahead: timedelta
) -> None:
    bench = start("BTCUSD", now=NOON, extra="[collect]\nbudget_seconds = 6\n")
    metric = "SIMULATED:BTCUSD"
    first = bench.minute

    def tick(by: timedelta) -> set[str]:
        def now() -> datetime:
            return bench.now + by

        return set(collect_minute(bench.settings, now().replace(second=0) - MINUTE, now=now).missing)

    store = open_store(bench.settings)
    assert tick(timedelta()) == set()
    for _ in range(2):
        bench.now += MINUTE
        assert tick(ahead) == {metric}  # its own minute is not over there
        assert store.prices.newest([metric], first - MINUTE)[metric] == bench.minute
    bench.now += MINUTE
    assert tick(timedelta()) == set()  # the clock is right again
    assert store.prices.gaps([metric], first, bench.minute) == {}
    assert store.prices.newest([metric], first, bench.now + 2 * ahead)[metric] == bench.minute


def test_a_backfill_measures_the_clock_too(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD", now=NOON)
    backfill(bench.settings, bench.minute - 5 * MINUTE, bench.minute)
    kept = json.loads((bench.settings.state / "clock.json").read_text())["SIMULATED"]
    assert kept["at_least"] == pytest.approx((datetime.now(UTC) - NOON).total_seconds(), abs=60)


def test_an_import_brings_no_minute_that_its_exchange_has_not_closed(
    write_settings: Callable[[str], Path], tmp_path: Path
) -> None:
    write_settings(f'metrics = ["{BTC}"]')
    settings = load_settings()
    now = datetime.now(UTC)
    note_clock(settings.state, "KRAKEN", 600, now, at_least=600)
    unix = int(now.timestamp()) // 60 * 60
    file = tmp_path / "XBTUSD_1.csv"
    file.write_text("".join(f"{unix - 60 * i},10,10,10,10,1,1\n" for i in range(30, 1, -1)))
    result = CliRunner().invoke(main, ["import", str(file)])
    assert result.exit_code == 1
    assert "not closed: by KRAKEN's clock it is" in result.output
    newest = open_store(settings).prices.newest([BTC], now - timedelta(hours=2))[BTC]
    assert timedelta(minutes=10) <= now - newest < timedelta(minutes=12)
