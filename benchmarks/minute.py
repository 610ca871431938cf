"""From the minute to the published file, beside an empty run of a default Dagster instance, at the same time.

``up`` follows three metrics on the simulator; beside it run a daemon and a code server by an empty dagster.yaml, with
an asset that does nothing, executed in its run's process each minute. ``python -m benchmarks.minute`` looks at 20
minutes of both, with ``--minutes 4`` at fewer. The first minutes, in which everything is loaded, do not count.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG

from benchmarks.process_figures import command, cpu, named, pss, tree
from benchmarks.rows import Row, alone, bounded, share
from pricetracker_dagster.local.addresses import free_port
from pricetracker_dagster.process.parent import die_with_parent

ON_REQUEST = True
MINUTES = 20
_LOADED_AFTER = 2
"""Minutes that do not count."""

_LOOKS_AT = 50
"""Second of the minute at which CPU and memory are read: a tick is over by then."""

EMPTY = """
import dagster as dg

@dg.asset
def nothing() -> None: ...

job = dg.define_asset_job("empty", selection=[nothing], executor_def=dg.in_process_executor)
every_minute = dg.ScheduleDefinition(
    job=job, cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
defs = dg.Definitions([nothing], jobs=[job], schedules=[every_minute], executor=dg.in_process_executor)
"""
PEER = "an empty run of a default Dagster instance"


@dataclass
class Seen:
    """What was read, minute by minute.

    Attributes:
        visible: seconds from each minute's end until SQL finds it in the published file.
        of_all: by minute, seconds of CPU of ``up`` and all that it has started.
        of_ticks: by minute, those of its runs and of the process that forks them.
        of_empty: by minute, those of the default instance's runs.
        memory: by minute, MB (PSS) of ``up`` and all that it has started.
        parts: the last figures of each process, for whoever wants to know which it was.
    """

    visible: dict[datetime, float] = field(default_factory=dict)
    of_all: list[float] = field(default_factory=list)
    of_ticks: list[float] = field(default_factory=list)
    of_empty: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def measure(minutes: int = MINUTES) -> Iterator[Row]:
    """Look at so many minutes of both."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
        up = started.enter_context(_up(ours))
        code = started.enter_context(_default_instance(theirs))
        published = ours / "data-simulated" / "pricetracker.duckdb"
        seen = _look(up, code, published, minutes)
        print("\n".join(seen.parts), "MB by minute:", *map(round, seen.memory), file=sys.stderr)
        ends = _ends_of_empty_runs(theirs / "home")
    both = sorted(minute for minute in seen.visible if minute in ends)
    mine, others = [seen.visible[minute] for minute in both], [ends[minute] for minute in both]
    say = f"minute to visible by SQL, {len(both)} minutes"
    yield share(f"{say}: median", "s", statistics.median(mine), statistics.median(others), PEER, 0.5)
    yield share(f"{say}: p95", "s", _p95(mine), _p95(others), PEER, 0.6)
    tick, empty = statistics.median(seen.of_ticks), statistics.median(seen.of_empty)
    yield share("CPU of a tick, all that it starts and what forks it", "s of CPU", tick, empty, PEER, 0.4)
    yield bounded(
        "CPU of up, all its processes and the simulated exchange, a minute",
        "s of CPU",
        statistics.median(seen.of_all),
        at_most=3.5,
    )
    yield bounded(
        "memory of up, all its processes and the simulated exchange between ticks, PSS",
        "MB",
        statistics.median(seen.memory),
        at_most=650,
    )


def _look(up: int, code: int, published: Path, minutes: int) -> Seen:
    """Wait for each minute in the published file, and read what the processes have used since the one before."""
    seen, before = Seen(), None
    first = _this_minute() + timedelta(minutes=_LOADED_AFTER)
    for number in range(minutes + 1):
        minute = first + timedelta(minutes=number)  # it ends, and the one before is what is published then
        _wait_until(minute - timedelta(seconds=60 - _LOOKS_AT))
        now = _costs(up, code)
        if before is not None:
            seen.of_all.append(_since(before[0], now[0]))
            seen.of_ticks.append(now[1] - before[1])
            seen.of_empty.append(now[2] - before[2])
            seen.memory.append(sum(pss(pid) for pid in now[0]))
            seen.parts = [
                f"{now[0][pid] - before[0].get(pid, 0.0):6.2f} s of CPU {pss(pid):6.0f} MB  {command(pid)[:110]}"
                for pid in now[0]
            ]
        before = now
        if number < minutes:
            found = _visible_at(published, minute - timedelta(minutes=1), minute + timedelta(seconds=_LOOKS_AT - 2))
            if found is not None:
                seen.visible[minute] = (found - minute).total_seconds()
    return seen


def _costs(up: int, code: int) -> tuple[dict[int, float], float, float]:
    """Return CPU by process of ``up``, of its runs, and of the default instance's."""
    of_all = {pid: sum(cpu(pid)) for pid in tree(up)}
    server = named(up, " api grpc ")
    forks = ("multiprocessing.forkserver", " api grpc ")  # a fork of the code server has its command
    warm = [pid for pid in of_all if pid != server and any(each in command(pid) for each in forks)]
    # without warm starts they are children of the code server
    of_ticks = sum(sum(cpu(pid)) for pid in warm) + cpu(server).children
    return of_all, of_ticks, cpu(code).children


def _since(before: dict[int, float], now: dict[int, float]) -> float:
    return sum(value - before.get(pid, 0.0) for pid, value in now.items())


def _visible_at(published: Path, wanted: datetime, deadline: datetime) -> datetime | None:
    """Return when SQL first finds a minute in the published file; None where it does not in time."""
    before = 0
    while datetime.now(UTC) < deadline:
        with suppress(OSError, duckdb.Error):
            at = published.stat().st_mtime_ns
            if at != before:
                with duckdb.connect(str(published), read_only=True) as connection:
                    [(newest,)] = connection.execute("SELECT epoch(max(minute)) FROM history_24h").fetchall()
                if newest >= wanted.timestamp():
                    return datetime.now(UTC)
                before = at
        time.sleep(0.02)
    return None


def _ends_of_empty_runs(home: Path) -> dict[datetime, float]:
    """Return the seconds from each minute to the end of the default instance's run of it."""
    ends = {}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])):
            minute = datetime.fromisoformat(record.dagster_run.tags[SCHEDULED_EXECUTION_TIME_TAG])
            assert record.end_time is not None
            ends[minute] = record.end_time - minute.timestamp()
    return ends


@contextmanager
def _up(folder: Path) -> Iterator[int]:
    """Run ``up`` on the simulator; yield its process."""
    folder.mkdir()
    file = folder / "pricetracker.toml"
    file.write_text(
        'metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]\n'
        f"[http]\nport = {free_port()}\n[ui]\nport = {free_port()}\n"
    )
    with _process(folder, ("pricetracker_dagster.cli", "up", "--simulated"), {"PRICETRACKER_CONFIG": str(file)}) as pid:
        _wait_for(lambda: "the UI" in (folder / "output.txt").read_text(), 180)
        yield pid


@contextmanager
def _default_instance(folder: Path) -> Iterator[int]:
    """Run a code server and a daemon by an empty dagster.yaml; yield the code server's process."""
    home, port = folder / "home", free_port()
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:  # else both make its databases at once
        instance.all_instigator_state()
    (folder / "empty.py").write_text(EMPTY)
    workspace = folder / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: empty}}\n")
    serve = ("dagster", "api", "grpc", "--python-file", str(folder / "empty.py"), "--location-name", "empty")
    environment = {"DAGSTER_HOME": str(home)}
    with (
        _process(folder, (*serve, "--host", "127.0.0.1", "--port", str(port)), environment) as code,
        _process(folder, ("dagster._daemon", "run", "--workspace", str(workspace)), environment),
    ):
        yield code


@contextmanager
def _process(folder: Path, arguments: Sequence[str], more: dict[str, str]) -> Iterator[int]:
    """Run a module in a session of its own; it is ended with all of that."""
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1", **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # what was measured is not lost with it
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("`up` did not start")
        time.sleep(0.2)


def _wait_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def _this_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def _p95(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.95))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.minute", description=__doc__)
    parser.add_argument("--minutes", type=int, default=MINUTES, help="so many minutes of both")
    alone(partial(measure, parser.parse_args().minutes))
