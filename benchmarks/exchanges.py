"""What a tick of a thousand metrics over five exchanges costs, and a backfill: fresh processes, imports included.

Each exchange is a process that grants what the real one does (exchange_servers.py), at the rate by which we ask it
unless the settings say otherwise; so the thousand are shared out by what each grants. A day of minutes is stored
before, and a first tick, which asks for the lists of markets, does not count. The peer is ccxt alone, which asks the
same servers for the same minutes and stores nothing. A backfill is of a hundredth of the metrics here; of all thousand
it takes longer than a benchmark may: ``python -m benchmarks.backfill``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from benchmarks.exchange_servers import SHARES, Servers, pair_of, servers
from benchmarks.many import STORED, TICK
from benchmarks.rows import Row, alone, bounded, share, within
from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import DAY, MINUTE, floor_minute
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.store import store_in

PART = {name: max(1, count // 100) for name, count in SHARES.items()}

_BACKFILL = r"""
import json, re, resource, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.settings import load_settings

last = datetime.fromisoformat(sys.argv[1])
done = backfill(load_settings(), last - timedelta(hours=24) + timedelta(minutes=1), last)
assert not done.troubles, done.troubles
used = resource.getrusage(resource.RUSAGE_SELF)
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
print(json.dumps([used.ru_utime + used.ru_stime, int(peak[1]) / 1024, sorted(done.missing), 0]))
"""


class Cost(NamedTuple):
    """Seconds of wall and of CPU, MB at most, requests by exchange, and the seconds of CPU that imports took."""

    wall: float
    cpu: float
    memory: float
    requests: Mapping[str, int]
    imports: float = 0.0

    @property
    def asked(self) -> str:
        """The requests in words."""
        return ", ".join(f"{name} {count}" for name, count in self.requests.items())


class Bench:
    """A data folder, empty at first, and the exchanges that are asked."""

    def __init__(self, folder: Path, running: Servers, metrics: Mapping[str, int]) -> None:
        """Write the settings."""
        self._running, self._metrics = running, metrics
        self._folder, self._settings = folder, folder / "pricetracker.toml"
        self._named = [f"{name}:{pair_of(name, i + 1)}" for name, count in metrics.items() for i in range(count)]
        tables = [f'[exchanges.{name.lower()}]\nurl = "{url}"\n' for name, url in running.urls.items()]
        self._settings.write_text(f'data = "{folder}/data"\nmetrics = {json.dumps(self._named)}\n' + "".join(tables))
        self._minute = floor_minute(datetime.now(UTC)) - 30 * MINUTE

    def store_a_day(self) -> None:
        """Store the day before the first tick, without trades, a file an hour as the hourly upkeep leaves them."""
        prices, hour = store_in(self._folder / "data").prices, 60 * MINUTE
        for number in range(24):
            first = self._minute - DAY + MINUTE + number * hour
            values = {"metrics": self._named, "first": first, "last": first + hour - MINUTE}
            prices.upsert(sql.connect().sql(STORED, params=values).to_arrow_table().cast(SCHEMA))

    def tick(self, *before: str) -> Cost:
        """Run the tick of the next minute; ``before`` is a command that runs it, such as a profiler."""
        self._minute += MINUTE
        ahead = self._turn_clocks()
        return self._run([*before, sys.executable, "-c", TICK, self._minute.isoformat(), ahead])

    def backfill(self, *before: str) -> Cost:
        """Fetch the last 24 hours."""
        self._running.set_ahead(0)
        last = floor_minute(datetime.now(UTC)) - 2 * MINUTE
        return self._run([*before, sys.executable, "-c", _BACKFILL, last.isoformat()])

    def ccxt_alone(self) -> tuple[Cost, int]:
        """Let ccxt alone ask for the last minutes; return the rows, too."""
        where = {name: [url, self._metrics[name]] for name, url in self._running.urls.items()}
        command = [sys.executable, "-m", "benchmarks.ccxt_alone", json.dumps(where), self._turn_clocks()]
        had = self._running.requests()
        wall, cpu, memory, rows = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return Cost(wall, cpu, memory, self._asked_since(had)), rows

    def _turn_clocks(self) -> str:
        ahead = (self._minute + timedelta(seconds=62) - datetime.now(UTC)).total_seconds()
        self._running.set_ahead(ahead)
        return str(ahead)

    def _asked_since(self, had: Mapping[str, int]) -> dict[str, int]:
        return {name: count - had[name] for name, count in self._running.requests().items()}

    def _run(self, command: list[str]) -> Cost:
        had = self._running.requests()
        began = time.perf_counter()
        environment = {**os.environ, "PRICETRACKER_CONFIG": str(self._settings)}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        wall = time.perf_counter() - began
        cpu, memory, lacking, imports = json.loads(done.stdout.splitlines()[-1])
        assert not lacking, f"{len(lacking)} metrics lack minutes: {lacking[:5]}"
        refused = self._running.refused()
        assert not any(refused.values()), f"more was asked than is granted: {refused}"
        return Cost(wall, cpu, memory, self._asked_since(had), imports)


@contextmanager
def bench(metrics: Mapping[str, int]) -> Iterator[Bench]:
    """Start the exchanges; the data folder is empty."""
    with tempfile.TemporaryDirectory() as folder, servers(metrics) as running:
        yield Bench(Path(folder), running, metrics)


def rows_of_backfill(metrics: Mapping[str, int]) -> Iterator[Row]:
    """Measure a backfill of a day of so many metrics."""
    with bench(metrics) as begun:
        cost = begun.backfill()
    what = f"backfill --hours 24 of {sum(metrics.values()):,} metrics over five exchanges"
    yield bounded(f"{what}: wall", "s", cost.wall)
    yield bounded(f"{what}: CPU", "s of CPU", cost.cpu)
    yield bounded(f"{what}: memory at most", "MB", cost.memory, at_most=400)
    yield bounded(f"{what}: requests ({cost.asked})", "requests", sum(cost.requests.values()))


def measure() -> Iterator[Row]:
    """Measure ticks of a thousand metrics beside ccxt alone, and a backfill of a hundredth of them."""
    what = f"a tick of {sum(SHARES.values()):,} metrics over five exchanges, what they grant"
    with bench(SHARES) as begun:
        begun.store_a_day()
        begun.tick()
        usual = begun.tick()
        peer, _ = begun.ccxt_alone()
    name = "ccxt alone, a thread an exchange, nothing stored"
    yield within(share(f"{what}: wall, imports included", "s", usual.wall, peer.wall, name), 20)
    warm = f"{what}: CPU without imports, as the warm code server runs it"
    yield within(share(warm, "s of CPU", usual.cpu - usual.imports, peer.cpu, name), 8)
    yield share(f"{what}: CPU, imports included", "s of CPU", usual.cpu, peer.cpu, name)
    yield within(share(f"{what}: memory at most", "MB", usual.memory, peer.memory, name), 400)
    asked, of_peer = (sum(cost.requests.values()) for cost in (usual, peer))
    yield share(f"{what}: requests ({usual.asked})", "requests", asked, of_peer, name)
    yield from rows_of_backfill(PART)


if __name__ == "__main__":
    alone(measure)
