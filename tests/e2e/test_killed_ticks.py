"""Ticks that are killed at any of their steps, on a simulator of their own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.store.store import Store, store_in
from tests.e2e.conftest import METRICS, Home, free_port
from tests.waiting import until


@pytest.mark.long
def test_a_tick_killed_at_any_step_is_repaired_by_the_next(home: Home) -> None:
    port = free_port()
    home.environment["PRICETRACKER_SIMULATED"] = "true"
    home.environment["PRICETRACKER_EXCHANGES__SIMULATED__URL"] = f"http://127.0.0.1:{port}"
    exchange = home.start("simulate", "--port", str(port))
    until(lambda: "simulated exchange at" in home.output(), 30, "the exchange is there")
    assert home.run("backfill", "--hours", "1").returncode == 0
    store = store_in(home.data)
    lately = newest_closed_minute(datetime.now(UTC)) - timedelta(minutes=20)

    def forget() -> None:
        """Take away what the next tick is to bring back."""
        table = store.prices.open()
        assert table is not None
        table.delete(
            f"minute >= arrow_cast({int(lately.timestamp()) * 1_000_000}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
        )

    for round_ in range(3):
        forget()
        _kill_a_tick(home, store, round_)
        healed = home.run("tick")
        assert healed.returncode == 0, healed.stderr
        newest = newest_closed_minute(datetime.now(UTC)) - MINUTE
        assert store.prices.gaps(METRICS, lately, newest) == {}
        counted = (
            open_prices(home.data / "pricetracker.duckdb")
            .sql(
                "SELECT count(*) AS rows, count(DISTINCT (metric, minute)) AS keys FROM minute_prices",
            )
            .df()
        )
        assert counted["rows"][0] == counted["keys"][0] == store.prices.rows()
        assert not list(home.data.glob(".pricetracker*"))
    exchange.terminate()
    assert exchange.wait(5) == 0


def _kill_a_tick(home: Home, store: Store, round_: int) -> None:
    """Start a tick and kill it at one of its steps, another one each time round."""
    version = _version(store)
    tick = home.start("tick")

    def at_work_on(lock: str) -> bool:
        return _opens(tick.pid, lock) or tick.poll() is not None

    if round_ == 0:
        until(lambda: at_work_on("state/tick.lock"), 30, "it asks the exchange")
    elif round_ == 1:
        until(lambda: _version(store) > version, 30, "it has stored")
    else:
        until(lambda: at_work_on("state/publish.lock"), 30, "it publishes")
    tick.kill()
    tick.wait()


def _version(store: Store) -> int:
    table = store.prices.open()
    assert table is not None
    return table.version()


def _opens(pid: int, mark: str) -> bool:
    """Say whether a process has a file open whose path holds a mark."""
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if mark in str(link.readlink()):
                return True
        except OSError:
            continue
    return False
