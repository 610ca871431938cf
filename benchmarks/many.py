"""What a tick of many metrics costs: a fresh process, its imports included, against the simulated exchange.

The exchange is a process of its own, whose clock is set before each tick: one follows the other without waiting for
the next minute. A day of minutes is stored before, and a first tick does not count. The last rows are of an exchange
that grants fewer requests than there are metrics: then the newest minutes come first, in turns.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import Row, alone, bounded
from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, floor_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.settings.folder import simulated_folder
from pricetracker_dagster.store.store import Store, store_in

METRICS, ROUNDS = 1000, 3

FEW, FEW_A_SECOND, FEW_SECONDS = 500, 20, 10
"""Metrics, requests a second and the tick's budget in seconds where not every metric can be asked for."""

EXCHANGE = """
import sys
from datetime import UTC, datetime, timedelta
from pricetracker_dagster.simulator import Simulator, SyntheticMarket

ahead = timedelta()
market = SyntheticMarket(int(sys.argv[1]))
with Simulator(market=market, clock=lambda: datetime.now(UTC) + ahead) as exchange:
    print(exchange.url, flush=True)
    for line in sys.stdin:
        ahead = timedelta(seconds=float(line))
        print(flush=True)
"""

TICK = r"""
import json, re, resource, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import load_settings

ahead = timedelta(seconds=float(sys.argv[2]))
settings = load_settings()
begun = resource.getrusage(resource.RUSAGE_SELF)
done = collect_minute(settings, datetime.fromisoformat(sys.argv[1]), now=lambda: datetime.now(UTC) + ahead)
assert not done.troubles, done.troubles
used = resource.getrusage(resource.RUSAGE_SELF)
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
imports = begun.ru_utime + begun.ru_stime
print(json.dumps([used.ru_utime + used.ru_stime, int(peak[1]) / 1024, sorted(done.missing), imports]))
"""

STORED = """
SELECT
    metric, minute, 1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close, 0.0 AS volume, 0 AS trades, minute AS fetched_at
FROM (SELECT unnest($metrics::VARCHAR[]) AS metric),
    (SELECT unnest(generate_series($first::TIMESTAMPTZ, $last::TIMESTAMPTZ, INTERVAL 1 MINUTE)) AS minute)
"""


class Tick(NamedTuple):
    """One tick: seconds of wall and of CPU, MB at most, and the metrics that lack its minute."""

    wall: float
    cpu: float
    memory: float
    lacking: set[str]


class Bench:
    """A data folder with a day of many metrics, and the exchange that they are asked of."""

    def __init__(self, folder: Path, exchange: "subprocess.Popen[str]", metrics: int, collect: str) -> None:
        """Store a day; ``collect`` are lines of the settings."""
        self._exchange = exchange
        self.metrics = [f"SIMULATED:S{number:04d}USD" for number in range(1, metrics + 1)]
        self.minute = floor_minute(datetime.now(UTC)) - 30 * MINUTE
        named = ", ".join(f'"{metric.replace("SIMULATED", "KRAKEN")}"' for metric in self.metrics)
        self._settings = folder / "pricetracker.toml"
        self._settings.write_text(f'data = "{folder}/data"\nsimulated = true\nmetrics = [{named}]\n{collect}')
        self._url = self._said()

    def store_a_day(self, store: Store) -> None:
        """Store the day before the first tick, without trades."""
        for first in range(0, len(self.metrics), 2000):
            part = self.metrics[first : first + 2000]
            values = {"metrics": part, "first": self.minute - DAY + MINUTE, "last": self.minute}
            store.prices.upsert(sql.connect().sql(STORED, params=values).to_arrow_table().cast(SCHEMA))

    def tick(self, *before: str) -> Tick:
        """Run the tick of the next minute; ``before`` is a command that runs it, such as a profiler."""
        self.minute += MINUTE
        ahead = str((self.minute + timedelta(seconds=62) - datetime.now(UTC)).total_seconds())
        assert self._exchange.stdin is not None
        print(ahead, file=self._exchange.stdin, flush=True)
        self._said()
        environment = {
            **os.environ,
            "PRICETRACKER_CONFIG": str(self._settings),
            "PRICETRACKER_EXCHANGES__SIMULATED__URL": self._url,
        }
        command = [*before, sys.executable, "-c", TICK, self.minute.isoformat(), ahead]
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        wall = time.perf_counter() - began
        cpu, memory, lacking, _ = json.loads(done.stdout.splitlines()[-1])
        return Tick(wall, cpu, memory, set(lacking))

    def _said(self) -> str:
        assert self._exchange.stdout is not None
        return self._exchange.stdout.readline().strip()


@contextmanager
def bench(metrics: int, collect: str) -> Iterator[Bench]:
    """Start an exchange with so many pairs; store a day and run a first tick."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", EXCHANGE, str(metrics)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as exchange,
    ):
        try:
            begun = Bench(Path(folder), exchange, metrics, collect)
            begun.store_a_day(store_in(simulated_folder(Path(folder) / "data")))
            begun.tick()
            yield begun
        finally:
            exchange.kill()


def measure() -> Iterator[Row]:
    """Measure ticks of 1,000 metrics, and of fewer with an exchange that grants little."""
    with bench(METRICS, "[exchanges.simulated]\nrequests_per_second = 500\n") as wide:
        ticks = [wide.tick() for _ in range(ROUNDS)]
        assert not any(tick.lacking for tick in ticks), [len(tick.lacking) for tick in ticks]
    what = f"a tick of {METRICS:,} metrics, 500 requests/s granted"
    yield bounded(f"{what}: wall, imports included", "s", statistics.median(tick.wall for tick in ticks), at_most=8)
    yield bounded(f"{what}: CPU of its own", "s of CPU", statistics.median(tick.cpu for tick in ticks), at_most=5)
    yield bounded(f"{what}: memory at most", "MB", statistics.median(tick.memory for tick in ticks))
    yield from few()


def few() -> Iterator[Row]:
    """Measure how many metrics have had their newest minute after as many ticks as the requests are enough for."""
    granted = FEW_A_SECOND * FEW_SECONDS
    settings = (
        f"[collect]\nbudget_seconds = {FEW_SECONDS}\n[exchanges.simulated]\nrequests_per_second = {FEW_A_SECOND}\n"
    )
    with bench(FEW, settings) as narrow:
        lacking = [tick.lacking for tick in (narrow.tick() for _ in range(2))]
    had = [100 * (FEW - len(each)) / FEW for each in lacking]
    what = f"{FEW} metrics, {granted} requests granted a tick"
    yield bounded(f"{what}: have their newest minute", "%", min(had))
    never = len(set.intersection(*lacking))
    yield bounded(f"{what}: had none of two ticks' minutes", "%", 100 * never / FEW)


if __name__ == "__main__":
    alone(measure)
