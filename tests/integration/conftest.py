"""A simulated exchange with a clock that the test turns, and settings that follow it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.simulator import Market, Simulator
from pricetracker_dagster.store.prices import Store

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@dataclass
class Bench:
    """One simulated exchange, one data folder.

    Attributes:
        exchange: the simulator; its faults can be switched.
        now: the exchange's time, which stands still until the test moves it.
        settings: what a tick is given.
        store: where it stores.
    """

    exchange: Simulator
    now: datetime
    settings: Settings
    store: Store

    @property
    def minute(self) -> datetime:
        """The newest closed minute."""
        return self.now.replace(second=0) - timedelta(minutes=1)


@pytest.fixture
def start(write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Start an exchange at a moment, tracking some pairs of it."""
    running: list[Simulator] = []

    def begin(
        *pairs: str, now: datetime = NOON + timedelta(seconds=5), market: Market | None = None, extra: str = ""
    ) -> Bench:
        metrics = ", ".join(f'"KRAKEN:{pair}"' for pair in pairs or ("BTCUSD", "ETHUSD", "GRTETH"))
        write_settings(f"simulated = true\nmetrics = [{metrics}]\n{extra}")
        bench: Bench
        simulator = Simulator(market=market, clock=lambda: bench.now)
        monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", simulator.url)
        settings = load_settings()
        bench = Bench(simulator, now, settings, Store(settings.folder))
        running.append(simulator.__enter__())
        return bench

    yield begin
    for simulator in running:
        simulator.__exit__(None, None, None)


@pytest.fixture
def instance(tmp_path: Path, start: Callable[..., Bench]) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of its own."""
    del start  # it must be there first, and end last
    home = tmp_path / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


def tracker(bench: Bench) -> Tracker:
    """The tracker whose clock is the exchange's."""
    return Tracker(load_settings, now=lambda: bench.now)
