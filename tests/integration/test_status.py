"""``pricetracker status``: how all is, also where nothing runs, nothing is there or a part is damaged."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pricetracker_dagster.alerts.status import status
from pricetracker_dagster.alerts.watchdog.observation import Sign, Work
from pricetracker_dagster.cli import main
from pricetracker_dagster.cli.status_screen import lines
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.local.up import only_one
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.publishing.publish import publish
from tests.integration.conftest import Bench
from tests.webhook import Webhook


@pytest.fixture
def bench(start: Callable[..., Bench], webhook: Webhook) -> Bench:
    bench = start(
        "BTCUSD", "ETHUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]\n[watch]\nfree_disk_mb = 1\n'
    )
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    publish(bench.store, [str(metric) for metric in bench.settings.tracked], now=bench.now)
    return bench


def looked(bench: Bench, *, alive: bool = True) -> dict[str, Any]:
    at = bench.now if alive else None
    signs = [Sign("the daemon", at), Sign("the schedule every_minute", at)]
    return status(load_settings(), bench.now, lambda: Work(signs, None, {"minute_tick": 1}))


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_where_all_is_well_it_says_so_and_shows_what_it_judged(bench: Bench, webhook: Webhook) -> None:
    before = files_below(bench.settings.folder)
    found = looked(bench)
    assert found["well"], found["troubles"]
    assert found["as_of"] == bench.minute
    assert found["as_of_age_seconds"] == 5
    assert [each["newest_minute"] for each in found["metrics"]] == [bench.minute] * 2
    assert found["clock_difference_seconds"] == {"SIMULATED": 0.0}
    assert found["runs_in_progress"] == {"minute_tick": 1}
    assert found["sizes_bytes"]["published"] == bench.store.folder.published.stat().st_size
    text = "\n".join(lines(found))
    assert text.startswith("all is well")
    assert webhook.address not in text + json.dumps(found, default=str)
    assert files_below(bench.settings.folder) == before


def test_a_long_name_moves_the_column_of_all_metrics(bench: Bench) -> None:
    found = looked(bench)
    found["metrics"].append({**found["metrics"][0], "metric": "SIMULATED_COINBASE:BTCUSD"})
    told = [line for line in lines(found) if line.startswith("metric")]
    assert len(told) > 1
    assert {line.index(" newest ") for line in told} == {len("metric      SIMULATED_COINBASE:BTCUSD")}


def test_what_stands_still_and_what_is_missing_is_named(bench: Bench) -> None:
    bench.now += timedelta(minutes=9)
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    table = bench.store.prices.open()
    assert table is not None
    table.delete(f"metric = 'SIMULATED:ETHUSD' AND minute = '{bench.minute - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}'")
    found = looked(bench, alive=False)
    assert not found["well"]
    assert any("no sign of life" in trouble and "the daemon" in trouble for trouble in found["troubles"])
    assert "SIMULATED:ETHUSD: 1 minutes of the last 24 hours are missing" in found["troubles"]
    assert "NOT WELL" in lines(found)[0]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("minute_prices/_delta_log", "the table minute_prices is damaged"),
        ("causes/../pricetracker.duckdb", "the published file pricetracker.duckdb cannot be read"),
    ],
)
def test_a_damaged_part_is_named_and_the_others_are_shown(bench: Bench, part: str, named: str) -> None:
    place = bench.settings.folder / part
    for file in place.glob("*.json") if place.is_dir() else [place.resolve()]:
        file.chmod(0o644)
        file.write_text("{")
    found = looked(bench)
    assert any(trouble.startswith(named) for trouble in found["troubles"]), found["troubles"]
    assert found["evaluations"]
    assert lines(found)


def test_the_command_on_a_folder_that_is_not_there(write_settings: Callable[[str], Path], tmp_path: Path) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n')
    for shape in ("text", "json"):
        told = CliRunner().invoke(main, ["status", "--format", shape])
        assert told.exit_code == 1
        assert "nothing has run yet" in told.output
    assert not (tmp_path / "data").exists()


def test_the_command_where_nothing_runs(bench: Bench) -> None:
    before = files_below(bench.settings.folder)
    told = CliRunner().invoke(main, ["status", "--format", "json"])
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert found["up"] is None
    assert found["well"] is False
    assert found["as_of"] == "2026-03-03T11:59:00Z"
    assert files_below(bench.settings.folder) == before


def test_an_up_that_runs_is_named(bench: Bench) -> None:
    settings: Settings = bench.settings
    with only_one(settings) as lock:
        lock.write("process 1, http://127.0.0.1:3000\n")
        lock.flush()
        assert looked(bench)["up"] == "process 1, http://127.0.0.1:3000"
    assert looked(bench)["up"] is None


def test_what_was_never_evaluated_yet_is_no_trouble_while_up_has_just_been_started(bench: Bench) -> None:
    said = "no sign of life for more than 3 minutes: the daemon (never yet); the schedule every_minute (never yet)"
    with only_one(bench.settings) as lock:
        lock.flush()
        for minutes, troubles in ((1, []), (4, [said])):
            started = bench.now.timestamp() - 60 * minutes
            os.utime(bench.settings.state / "up.lock", (started, started))
            assert looked(bench, alive=False)["troubles"] == troubles
