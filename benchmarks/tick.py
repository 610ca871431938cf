"""What a tick costs beside an empty Dagster run.

Both are fresh processes, as Dagster launches its runs: they import, open an SQLite instance, execute a job of four
steps with the in-process executor, and end. One is ``minute_tick`` of three metrics against the simulated exchange over
a day of stored minutes; in the other each step does nothing. They take turns.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, alone, share
from pricetracker_dagster.simulator import Simulator

ROUNDS = 5
AT_MOST = 1.3
PEER = "an empty Dagster run of four steps"

EMPTY = """
import sys
import dagster as dg

@dg.asset
def a() -> None: ...
@dg.asset(deps=[a])
def b() -> None: ...
@dg.asset(deps=[b])
def c() -> None: ...
@dg.asset_check(asset=a, additional_deps=[c])
def d() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)

job = dg.define_asset_job("empty", selection=dg.AssetSelection.assets(a, b, c), executor_def=dg.in_process_executor)
defs = dg.Definitions([a, b, c], asset_checks=[d], jobs=[job], executor=dg.in_process_executor)
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    sys.exit(not defs.resolve_job_def("empty").execute_in_process(instance=instance).success)
"""

TICK = """
import sys
import dagster as dg
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.resources import Tracker

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    sys.exit(not run_minute_tick(Tracker(), instance).success)
"""


def measure() -> Iterator[Row]:
    """Yield wall and CPU time of both."""
    with tempfile.TemporaryDirectory() as folder, Simulator() as exchange:
        here = Path(folder)
        (here / "pricetracker.toml").write_text('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]\n')
        home = here / "dagster"
        home.mkdir()
        environment = {
            **os.environ,
            "PRICETRACKER_CONFIG": str(here / "pricetracker.toml"),
            "PRICETRACKER_SIMULATED": "true",
            "PRICETRACKER_EXCHANGES__SIMULATED__URL": exchange.url,
            "PYTHONWARNINGS": "ignore",
        }
        load = [sys.executable, "-m", "pricetracker_dagster.cli", "backfill", "--hours", "24"]
        subprocess.run(load, env=environment, check=True, capture_output=True)

        def run(script: str) -> tuple[float, float]:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", script, str(home)], env=environment, check=True, capture_output=True)
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        for script in (EMPTY, TICK):  # once for the caches
            run(script)
        pairs = [(run(EMPTY), run(TICK)) for _ in range(ROUNDS)]
    for i, (what, unit) in enumerate((("wall", "s"), ("CPU", "s of CPU"))):
        empty = statistics.median(empty[i] for empty, _ in pairs)
        tick = statistics.median(tick[i] for _, tick in pairs)
        yield share(f"a tick of three metrics in a new process: {what}", unit, tick, empty, PEER, AT_MOST)


if __name__ == "__main__":
    alone(measure)
