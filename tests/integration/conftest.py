"""A simulated exchange with a clock that the test turns, and settings that follow it."""

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pricetracker_dagster.assets.checks import price_checks
from pricetracker_dagster.local.addresses import free_port
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import CONFIG_VARIABLE, Settings, config_file, load_settings
from pricetracker_dagster.simulator import Market, Simulator
from pricetracker_dagster.store.store import Store, open_store
from tests.odd_kraken import OddKraken
from tests.published_day import METRICS, publish_a_day
from tests.serve_command import Served, contents

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)

Track = Callable[..., Settings]
"""Of the fixture ``track``: pairs and how they are asked for to settings."""


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
        bench = Bench(simulator, now, settings, open_store(settings))
        running.append(simulator.__enter__())
        return bench

    yield begin
    for simulator in running:
        simulator.__exit__(None, None, None)


@pytest.fixture(scope="session")
def fresh_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an instance in which nothing has happened yet. To copy it is quicker than to make another."""
    home = tmp_path_factory.mktemp("fresh") / "instance"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        assert not instance.get_runs(limit=1)
        assert not instance.all_instigator_state()
        assert not instance.fetch_materializations(dg.AssetKey("minute_prices"), limit=1).records
    return home


@pytest.fixture
def instance(tmp_path: Path, fresh_instance: Path, start: Callable[..., Bench]) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of its own."""
    del start  # it must be there first, and end last
    home = tmp_path / "instance"
    shutil.copytree(fresh_instance, home)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


def tracker(bench: Bench) -> Tracker:
    """The tracker whose clock is the exchange's."""
    return Tracker(load_settings, now=lambda: bench.now)


def give_up_after(bench: Bench, seconds: int) -> None:
    """Change how long a tick tries: an outage need not be waited for, a healthy tick must have its time."""
    text = re.sub(r"\[collect\]\nbudget_seconds = \d+\n", "", config_file().read_text(encoding="utf-8"))
    config_file().write_text(f"{text}\n[collect]\nbudget_seconds = {seconds}\n", encoding="utf-8")
    bench.settings = load_settings()


def checked(bench: Bench, instance: dg.DagsterInstance, asset: dg.AssetKey, name: str) -> dg.AssetCheckEvaluation:
    """Run one check alone, as a person does in the UI."""
    result = dg.materialize(
        [price_checks],
        instance=instance,
        resources={"tracker": tracker(bench)},
        raise_on_error=False,
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(asset, name)),
    )
    [evaluation] = result.get_asset_check_evaluations()
    return evaluation


@pytest.fixture
def odd() -> Iterator[OddKraken]:
    """A small odd exchange at its NOW."""
    with OddKraken() as exchange:
        yield exchange


@pytest.fixture
def track(odd: OddKraken, write_settings: Callable[[str], Path]) -> Track:
    """Track pairs of the odd exchange."""

    def write(*pairs: str, budget: float = 20, timeout: float = 10, per_second: float = 1000) -> Settings:
        metrics = ", ".join(f'"KRAKEN:{pair}"' for pair in pairs or ("BTCUSD", "ETHUSD"))
        write_settings(
            f"metrics = [{metrics}]\n[collect]\nbudget_seconds = {budget}\n[exchanges.kraken]\n"
            f'url = "{odd.url}"\nrequests_per_second = {per_second}\ntimeout_seconds = {timeout}\n'
        )
        return load_settings()

    return write


@pytest.fixture
def ctrl_c_is_heeded() -> Iterator[None]:
    """As in a terminal: what a script starts in the background is deaf to SIGINT, and so is all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


RIGHT = "a-token-of-24-characters"
"""A token; nothing that a server prints may hold it."""

Serve = Callable[..., Served]
"""Of the fixture ``serve``: the lines of the table [http], and arguments of the command."""


@pytest.fixture(scope="session")
def day_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose data folder has a published day, in which nothing may be written."""
    folder = tmp_path_factory.mktemp("served")
    publish_a_day(folder / "data")
    return folder


@pytest.fixture
def serve(day_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start servers of the published day, which stays as it is; what they print holds no secret and no mistake."""
    running: list[Served] = []
    before = contents(day_folder / "data")

    def start(settings: str = "", *arguments: str) -> Served:
        metrics = ", ".join(f'"{metric}"' for metric in METRICS)
        (day_folder / "pricetracker.toml").write_text(f"metrics = [{metrics}]\n[http]\n{settings}\n")
        monkeypatch.setenv(CONFIG_VARIABLE, str(day_folder / "pricetracker.toml"))
        running.append(Served(day_folder, *(arguments or ("--port", str(free_port())))))
        return running[-1]

    yield start
    for served in running:
        served.process.kill()
        served.process.wait()
    for served in running:
        assert RIGHT not in served.said()
        assert "Traceback" not in served.said()
    assert contents(day_folder / "data") == before
