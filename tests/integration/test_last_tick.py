"""How long the last tick took, as Dagster has recorded it: what `pricetracker status` and the monitoring show."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from pricetracker_dagster.alerts.status import status
from pricetracker_dagster.cli.status_screen import lines
from pricetracker_dagster.instance.home import open_instance
from pricetracker_dagster.local.evaluations import evaluations
from pricetracker_dagster.local.probes import read_work
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from tests.integration.conftest import Bench, give_up_after, tracker


def recorded(bench: Bench) -> list[tuple[str, float, float]]:
    """Status, begin and end of each run, the newest last, asked of Dagster's database itself."""
    database = bench.settings.data_folder.dagster_home / "history" / "runs.db"
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT status, start_time, end_time FROM runs ORDER BY id").fetchall()


def test_the_last_tick_is_the_newest_that_is_over_also_where_it_failed(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    with open_instance(bench.settings) as instance:
        assert evaluations(instance, datetime.now(UTC)).last_tick is None
        assert run_minute_tick(tracker(bench), instance).success
        give_up_after(bench, 2)
        bench.exchange.faults.add("maintenance")
        bench.now += timedelta(minutes=1)
        assert not run_minute_tick(tracker(bench), instance).success
        instance.create_run_for_job(dg.job(name="never_begun")(lambda: None), tags={"pricetracker/tick": "true"})
    now = datetime.now(UTC)
    [(first, *_), (second, began, ended), (third, *_)] = recorded(bench)
    assert [first, second, third] == ["SUCCESS", "FAILURE", "NOT_STARTED"]
    found = status(bench.settings, now, lambda: read_work(bench.settings, now))
    assert found["last_tick_seconds"] == pytest.approx(ended - began, abs=0.001)
    assert found["last_tick_ended_at"].timestamp() == pytest.approx(ended, abs=0.001)
    assert (
        f"last tick   {ended - began:.1f} s, ended {datetime.fromtimestamp(ended, UTC):%Y-%m-%d %H:%M:%S} UTC"
        in lines(found)
    )


def test_a_tick_that_was_dated_by_a_clock_ahead_is_none(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    with open_instance(bench.settings) as instance:
        assert run_minute_tick(tracker(bench), instance).success
        assert evaluations(instance, datetime.now(UTC)).last_tick is not None
        assert evaluations(instance, datetime.now(UTC) - timedelta(hours=2)).last_tick is None
