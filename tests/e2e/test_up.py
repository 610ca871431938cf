"""``pricetracker up`` on one stack that runs: from nothing to green ticks, through faults, to a clean end.

The tests are in the order of what happens. They share what was started and what was done to it, so that the whole is
told in a few real minutes; outages and ends are tested on the simulator's clock.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.local.runs import is_run
from pricetracker_dagster.store.store import store_in
from tests.e2e.conftest import METRICS, Home, fetch, free_port, home_in, processes_of
from tests.waiting import until
from tests.webhook import Posted, Webhook

SENSOR = """{ sensorOrError(sensorSelector: {repositoryName: "__repository__",
  repositoryLocationName: "pricetracker_dagster", sensorName: "spike_alerts"}) {
  ... on Sensor { sensorState { ticks(limit: 1) { status } } } } }"""
CHARTS = """{ runsOrError(filter: {pipelineName: "charts", statuses: [SUCCESS]}, limit: 1) { ... on Runs { results {
  runId } } } }"""
AT_WORK = """{ runsOrError(filter: {statuses: [STARTING, STARTED]}) { ... on Runs { results { pipelineName } } } }"""
RUNS = """{ runsOrError(filter: {pipelineName: "minute_tick"}, limit: 50) { ... on Runs { results {
  status tags { key value } } } } }"""


@dataclass
class Stack:
    """All of ``up``, and who is told by it."""

    home: Home
    webhook: Webhook
    process: subprocess.Popen[str]
    ui: str

    @property
    def published(self) -> Path:
        return self.home.data / "pricetracker.duckdb"

    @property
    def prices(self) -> str:
        def said() -> re.Match[str] | None:
            return re.search(r"^prices\s+(http://\S+)", self.home.output(), re.MULTILINE)

        return str(until(said, 60, "prices are served")[1])

    @property
    def exchange(self) -> str:
        command = next(line for line in processes_of(self.home.folder).values() if " simulate " in line)
        return f"http://127.0.0.1:{command.split('--port')[1].split()[0]}"


@dataclass
class Burst:
    """A burst of volume, in a minute whose tick, or the one before, was frozen.

    Attributes:
        minute: of the burst.
        tick: the minute of the frozen tick, as its run bears it.
    """

    minute: datetime
    tick: str

    @property
    def headline(self) -> str:
        return f"at {self.minute:%Y-%m-%d %H:%M} UTC"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with home_in(tmp_path_factory.mktemp("up")) as home, Webhook() as webhook:
        with (home.folder / "pricetracker.toml").open("a") as settings:
            settings.write(
                f'[alerts]\nchannels = ["{webhook.channel()}"]\nheartbeat_url = "http://{webhook.address}/beat"\n'
                "incident_resolve_after_minutes = 1\n"
            )
            settings.write('[[alerts.rules]]\nmeasures = ["volume"]\nfactor = 10\n')
        process, ui = home.started("--port", str(free_port()))
        yield Stack(home, webhook, process, ui)


@pytest.fixture
def stack(started: Stack) -> Stack:
    """The one that runs: several workers share the tests of this module, and the one that ends it may come early."""
    if started.process.poll() is not None:
        (started.home.folder / "output.txt").unlink()  # what is said is looked for there
        started.process, started.ui = started.home.started("--port", str(free_port()))
    return started


@pytest.fixture(scope="module")
def burst(started: Stack) -> Burst:
    stack = started
    until(lambda: looked(stack.ui), 120, "a sensor has looked at what is there already", every=1)
    until(lambda: drawn(stack.ui), 120, "the charts are drawn at the first start", every=1)
    until(lambda: not _run_processes(stack.home), 60, "no run is at work")
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    unix = int(minute.timestamp())
    faults = {"kind": "burst", "pair": "XBTUSD", "factor": 5000, "since": unix, "until": unix}
    fetch(f"{stack.exchange}/faults", faults)
    until(lambda: _frozen_tick(stack.home, stack.ui), 150, "a tick is launched")
    return Burst(minute, max(ticks(stack.ui)))


def test_where_the_exchange_cannot_be_reached_it_says_so_and_runs_on_invented_prices(stack: Stack) -> None:
    said = stack.home.output()
    assert "the exchange cannot be reached: KRAKEN: Time: no connection to http://127.0.0.1:1" in said
    assert "THE PRICES ARE INVENTED" in said
    assert not (stack.home.folder / "data" / "minute_prices").exists()


def test_the_ranking_means_something_in_the_first_minute(stack: Stack) -> None:
    rank = open_prices(stack.published).rank("price").df()
    assert list(rank["metric"]) == METRICS
    assert (rank["observations"] == 1440).all()


def test_prices_are_served_over_http_where_it_says(stack: Stack) -> None:
    answer = fetch(f"{stack.prices}/pricetracker/metricsrank?measure_name=price")
    assert [row["metric"] for row in answer["data"]] == METRICS
    assert f"{stack.prices}\n" in stack.home.output()


def test_a_second_one_says_that_it_runs_already_and_where(stack: Stack, burst: Burst) -> None:
    second = stack.home.run("up", timeout=60)
    assert second.returncode == 1
    assert f"it runs already on {stack.home.data}: process {stack.process.pid}, {stack.ui}" in second.stderr


def test_a_command_of_a_persons_own_reaches_the_exchange(stack: Stack, burst: Burst) -> None:
    assert stack.home.run("--simulated", "rank", "price").returncode == 0


def test_a_frozen_tick_is_ended_and_the_next_one_is_green(stack: Stack, burst: Burst) -> None:
    def good_since() -> bool:
        return "SUCCESS" in {status for of, status in ticks(stack.ui).items() if of > burst.tick}

    until(good_since, 200, "the next tick is green", every=1)
    assert ticks(stack.ui)[burst.tick] == "FAILURE"


def test_the_next_tick_heals_the_minute_of_the_frozen_one(stack: Stack, burst: Burst) -> None:
    prices, minute = store_in(stack.home.data).prices, burst.minute

    def is_stored() -> bool:
        return prices.newest(METRICS, minute - MINUTE).get(METRICS[0], minute - MINUTE) >= minute

    until(is_stored, 90, "it is stored", every=1)
    assert prices.gaps(METRICS, minute - timedelta(hours=23), minute) == {}


def test_a_burst_is_announced_soon_after_the_tick_that_stored_it(stack: Stack, burst: Burst) -> None:
    until(lambda: announced(stack.webhook, burst.headline), 120, "the burst is announced")
    assert f"{stack.ui}/assets/alerts" in announced(stack.webhook, burst.headline)[0].lines


def test_a_good_tick_is_heard_of(stack: Stack, burst: Burst) -> None:
    until(lambda: stack.webhook.requested, 60, "the good tick is heard of")


def test_what_was_missed_is_over_soon_and_the_burst_was_announced_once(stack: Stack, burst: Burst) -> None:
    until(
        lambda: {row["state"] for row in store_in(stack.home.data).records.incidents.rows()} <= {"resolved"},
        200,
        "what was missed is told to be over",
        every=1,
    )
    assert len(announced(stack.webhook, burst.headline)) == 1


def test_a_code_server_that_dies_is_started_again(stack: Stack) -> None:
    [code] = code_servers(stack.home)
    os.kill(code, signal.SIGKILL)
    until(lambda: set(code_servers(stack.home)) - {code}, 30, "the code server is there again")


def test_a_server_of_prices_that_dies_is_started_again_at_the_same_address(stack: Stack) -> None:
    def servers() -> list[int]:
        return [pid for pid, line in processes_of(stack.home.folder).items() if " serve " in line]

    [server] = servers()
    os.kill(server, signal.SIGKILL)
    # who asks meanwhile waits for the next one
    assert fetch(f"{stack.prices}/pricetracker/snapshot")["data"][0]["metrics"] == len(METRICS)
    assert [pid for pid in servers() if pid != server]


def test_ended_by_sigterm_it_leaves_no_process_no_file_of_its_own_and_no_missed_minute(
    stack: Stack, burst: Burst
) -> None:
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(15) == 0
    assert processes_of(stack.home.folder) == {}
    assert not list(stack.home.data.glob(".pricetracker*"))
    assert open_prices(stack.published).sql("SELECT count(*) AS n FROM missed_minutes").df()["n"][0] == 0


def ticks(ui: str) -> dict[str, str]:
    """Return the status of each tick by its minute, as the UI is told."""
    runs = fetch(f"{ui}/graphql", {"query": RUNS})["data"]["runsOrError"]["results"]
    minutes = [{tag["key"]: tag["value"] for tag in run["tags"]}["pricetracker/minute"] for run in runs]
    return {minute: run["status"] for minute, run in zip(minutes, runs, strict=True)}


def looked(ui: str) -> bool:
    """Say whether spike_alerts has been evaluated: what is stored from then on is new to it."""
    sensor = fetch(f"{ui}/graphql", {"query": SENSOR})["data"]["sensorOrError"]
    return bool(sensor.get("sensorState", {}).get("ticks"))


def drawn(ui: str) -> bool:
    """Say whether charts_24h was materialized."""
    return bool(fetch(f"{ui}/graphql", {"query": CHARTS})["data"]["runsOrError"]["results"])


def announced(webhook: Webhook, what: str) -> list[Posted]:
    return [posted for posted in webhook.posted if any("▲" in line and what in line for line in posted.lines)]


def exchange_of(home: Home) -> str:
    command = next(line for line in processes_of(home.folder).values() if " simulate " in line)
    return f"http://127.0.0.1:{command.split('--port')[1].split()[0]}"


def code_servers(home: Home) -> list[int]:
    lines = processes_of(home.folder)
    # what is forked from one has its command
    return [pid for pid, line in lines.items() if " api grpc " in line and os.getsid(pid) == pid]


def _run_processes(home: Home) -> list[int]:
    """Return the processes of the runs that Dagster has launched."""
    [code] = code_servers(home)
    return [pid for pid in processes_of(home.folder) if is_run(pid, code)]


def _frozen_tick(home: Home, ui: str) -> int | None:
    """Freeze the process of a run that was just launched; return it if it is a tick's, and let go what is another's."""
    for pid in _run_processes(home):
        os.kill(pid, signal.SIGSTOP)
        at_work = fetch(f"{ui}/graphql", {"query": AT_WORK})["data"]["runsOrError"]["results"]
        if [run["pipelineName"] for run in at_work] == ["minute_tick"]:
            return pid
        os.kill(pid, signal.SIGCONT)
    return None
