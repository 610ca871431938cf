"""``pricetracker up``: from nothing to green ticks, through faults, to a clean end."""

import os
import re
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.store import reading
from pricetracker_dagster.store.store import Store, store_in
from tests.e2e.conftest import Home, fetch, free_port, processes_of
from tests.waiting import until
from tests.webhook import Posted, Webhook

METRICS = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD", "SIMULATED:XRPUSD"]
SENSOR = """{ sensorOrError(sensorSelector: {repositoryName: "__repository__",
  repositoryLocationName: "pricetracker_dagster", sensorName: "spike_alerts"}) {
  ... on Sensor { sensorState { ticks(limit: 1) { status } } } } }"""
CHARTS = """{ runsOrError(filter: {pipelineName: "charts", statuses: [SUCCESS]}, limit: 1) { ... on Runs { results {
  runId } } } }"""
AT_WORK = """{ runsOrError(filter: {statuses: [STARTING, STARTED]}) { ... on Runs { results { pipelineName } } } }"""
RUNS = """{ runsOrError(filter: {pipelineName: "minute_tick"}, limit: 50) { ... on Runs { results {
  status tags { key value } } } } }"""


def started(home: Home, *arguments: str, **how: Any) -> tuple[subprocess.Popen[str], str]:
    """Start it and wait until it says where the UI is."""
    process = home.start("up", *arguments, **how)

    def ui() -> str | None:
        assert process.poll() is None, home.output()
        said = re.search(r"the UI\s+(http://\S+)", home.output())
        return said.group(1) if said else None

    return process, until(ui, 120, "the UI is there")


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


def test_from_nothing_through_a_burst_and_a_frozen_tick_to_a_clean_end(home: Home, webhook: Webhook) -> None:
    """The one test of the whole in real minutes; outages and ends are tested on the simulator's clock."""
    with (home.folder / "pricetracker.toml").open("a") as settings:
        settings.write(
            f'[alerts]\nchannels = ["{webhook.channel()}"]\nheartbeat_url = "http://{webhook.address}/beat"\n'
            "incident_resolve_after_minutes = 1\n"
        )
        settings.write('[[alerts.rules]]\nmeasures = ["volume"]\nfactor = 10\n')
    process, ui = started(home, "--port", str(free_port()))
    said = home.output()
    assert "the exchange cannot be reached: KRAKEN: Time: no connection to http://127.0.0.1:1" in said
    assert "THE PRICES ARE INVENTED" in said
    assert not (home.folder / "data" / "minute_prices").exists()

    # the ranking means something in the first minute
    rank = reading.rank(home.data / "pricetracker.duckdb", "price")
    assert list(rank["metric"]) == METRICS
    assert (rank["observations"] == 1440).all()

    # a burst of volume in this minute; its tick, or the one before, is frozen
    exchange = exchange_of(home)
    until(lambda: looked(ui), 120, "a sensor has looked at what is there already", every=1)
    until(lambda: drawn(ui), 120, "the charts are drawn at the first start", every=1)
    until(lambda: not _run_processes(home), 60, "no run is at work")
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    unix = int(minute.timestamp())
    fetch(f"{exchange}/faults", {"kind": "burst", "pair": "XBTUSD", "factor": 5000, "since": unix, "until": unix})
    until(lambda: _frozen_tick(home, ui), 150, "a tick is launched")
    last_before = max(ticks(ui))

    # meanwhile: a second one says that it runs already, and where; a command of a person's own reaches the exchange
    second = home.run("up", timeout=60)
    assert second.returncode == 1
    assert f"it runs already on {home.data}: process {process.pid}, {ui}" in second.stderr
    assert home.run("--simulated", "rank", "price").returncode == 0

    # it is ended, the next one runs and heals its minute
    def good_since() -> bool:
        return "SUCCESS" in {status for of, status in ticks(ui).items() if of > last_before}

    until(good_since, 200, "the next tick is green", every=1)
    assert ticks(ui)[last_before] == "FAILURE"
    store = store_in(home.data)

    def is_stored() -> bool:
        return store.prices.newest(METRICS, minute - MINUTE).get(METRICS[0], minute - MINUTE) >= minute

    until(is_stored, 90, "it is stored", every=1)
    assert store.prices.gaps(METRICS, minute - timedelta(hours=23), minute) == {}

    # the burst is announced soon after the tick that stored it, once
    burst = f"at {minute:%Y-%m-%d %H:%M} UTC"
    until(lambda: announced(webhook, burst), 60, "the burst is announced")
    assert f"{ui}/assets/alerts" in announced(webhook, burst)[0].lines
    until(lambda: webhook.requested, 60, "the good tick is heard of")
    until(
        lambda: {row["state"] for row in store_in(home.data).records.incidents.rows()} <= {"resolved"},
        200,
        "what was missed is told to be over",
        every=1,
    )
    assert len(announced(webhook, burst)) == 1

    # a code server that dies is started again
    code = next(pid for pid, line in processes_of(home.folder).items() if " api grpc " in line)
    os.kill(code, signal.SIGKILL)
    until(
        lambda: any(" api grpc " in line and pid != code for pid, line in processes_of(home.folder).items()),
        30,
        "the code server is there again",
    )

    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}
    assert not list(home.data.glob(".pricetracker*"))
    assert reading.query(home.data / "pricetracker.duckdb", "SELECT count(*) AS n FROM missed_minutes")["n"][0] == 0


@pytest.mark.long
def test_killed_outright_it_leaves_no_process_starts_again_and_ends_by_sigint_also_in_a_script(home: Home) -> None:
    process, _ = started(home, "--simulated")
    assert len(processes_of(home.folder)) >= 5
    process.kill()
    process.wait()
    # a tick that is at work goes on to its end, which its watchdog sets
    until(lambda: not processes_of(home.folder), 60, "no process is left")
    (home.folder / "output.txt").unlink()
    # nobody holds a lock; a non-interactive shell starts its background jobs with SIGINT ignored
    again, _ = started(home, "--simulated", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    again.send_signal(signal.SIGINT)
    assert again.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_live_does_not_go_with_simulated_prices(home: Home) -> None:
    home.environment["PRICETRACKER_SIMULATED"] = "true"
    refused = home.run("up", "--live", timeout=60)
    assert refused.returncode == 1
    assert "contradict each other" in refused.stderr


def test_live_insists_on_the_exchange(home: Home) -> None:
    refused = home.run("up", "--live", timeout=60)
    assert refused.returncode == 1
    assert "no connection to http://127.0.0.1:1" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_asked_for_and_taken_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = home.run("up", "--simulated", "--port", str(port), timeout=60)
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken: choose another with --port" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_before_it_is_up_it_leaves_nothing(home: Home, number: signal.Signals) -> None:
    process = home.start("up", "--simulated")
    until(lambda: " simulate --port" in " ".join(processes_of(home.folder).values()), 60, "a first process is started")
    process.send_signal(number)
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}


def test_it_ends_with_the_file_that_make_removes_when_it_is_interrupted(home: Home) -> None:
    marker = home.folder / "up"
    marker.touch()
    process = home.start("up", "--simulated", "--while", str(marker))
    until(lambda: " simulate --port" in " ".join(processes_of(home.folder).values()), 60, "a first process is started")
    marker.unlink()
    assert process.wait(15) == 0
    assert processes_of(home.folder) == {}


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
        counted = reading.query(
            home.data / "pricetracker.duckdb",
            "SELECT count(*) AS rows, count(DISTINCT (metric, minute)) AS keys FROM minute_prices",
        )
        assert counted["rows"][0] == counted["keys"][0] == store.prices.rows()
        assert not list(home.data.glob(".pricetracker*"))
    exchange.terminate()
    assert exchange.wait(5) == 0


def _run_processes(home: Home) -> list[int]:
    """Return the processes of the runs that Dagster has launched."""
    return [pid for pid, line in processes_of(home.folder).items() if "spawn_main" in line]


def _frozen_tick(home: Home, ui: str) -> int | None:
    """Freeze the process of a run that was just launched; return it if it is a tick's, and let go what is another's."""
    for pid in _run_processes(home):
        os.kill(pid, signal.SIGSTOP)
        at_work = fetch(f"{ui}/graphql", {"query": AT_WORK})["data"]["runsOrError"]["results"]
        if [run["pipelineName"] for run in at_work] == ["minute_tick"]:
            return pid
        os.kill(pid, signal.SIGCONT)
    return None


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
