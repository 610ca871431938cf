"""Whether anything becomes slower or larger as time goes by: a minute after a year, Dagster's storage after a month.

A year of 100 metrics (52 million rows, a sorted file a day as upkeep leaves it) stands beside a store that has its last
day alone. A tick, a publication and a look of both sensors take turns on both, minute by minute, against the simulated
exchange in a process of its own. The year is generated once, in a minute or two, and kept in ``benchmarks/out/growth``.

Dagster's storage takes in the runs of some ticks a day and forgets them as the hourly upkeep does.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

import dagster as dg
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.dagster_runs import record_ticks, size
from benchmarks.rows import Row, alone, bounded, share
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.instance.retention import forget
from pricetracker_dagster.instance.tags import TICK
from pricetracker_dagster.settings import CONFIG_VARIABLE, load_settings
from pricetracker_dagster.settings.folder import simulated_folder
from pricetracker_dagster.store.live_files import PARTITION
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store, store_in
from pricetracker_dagster.store.writing import PROPERTIES

KEPT = Path(__file__).parent / "out" / "growth"
METRICS, DAYS, ROUNDS = 100, 365, 9
LAST = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
"""The newest minute that is stored at first."""

NAMES = [f"SIMULATED:S{number:04d}USD" for number in range(1, METRICS + 1)]
AT_ONCE = 5
"""Days that are written by one commit."""

TICKS_A_DAY, DAYS_OF_RUNS = 20, (8, 30)
KEPT_RUNS = DAY
"""How long runs stay in the storage that is measured."""

EXCHANGE = """
import sys
from datetime import UTC, datetime
from pricetracker_dagster.simulator import Simulator, SyntheticMarket

now = float(sys.argv[2])
with Simulator(market=SyntheticMarket(int(sys.argv[1])), clock=lambda: datetime.fromtimestamp(now, UTC)) as exchange:
    print(exchange.url, flush=True)
    for line in sys.stdin:
        now = float(line)
        print(flush=True)
"""


class Cost(NamedTuple):
    """What something took: seconds of wall, seconds of CPU of this process."""

    wall: float
    cpu: float


def measure() -> Iterator[Row]:
    """Measure a minute of both stores, and Dagster's storage."""
    year = generated(DAYS)
    day = generated(1)
    with tempfile.TemporaryDirectory(dir=KEPT) as folder, Exchange() as exchange:
        keepers = {days: Keeper(Path(folder) / str(days), kept, exchange) for days, kept in ((DAYS, year), (1, day))}
        for keeper in keepers.values():
            keeper.minute(LAST + MINUTE)  # what a process does once does not count
        for number in range(2, ROUNDS + 2):
            for keeper in sorted(keepers.values(), key=lambda _: number % 2):
                keeper.minute(LAST + number * MINUTE)
    for what in ("a tick", "a publication", "a look of the sensors"):
        long, short = (_medians(keepers[days].took[what][1:]) for days in (DAYS, 1))
        name = f"{what} of {METRICS} metrics after {DAYS} days"
        yield share(f"{name}: CPU", "s of CPU", long.cpu, short.cpu, "after one day", at_most=1.15)
        yield share(f"{name}: wall", "s", long.wall, short.wall, "after one day", at_most=1.15)
    yield bounded(f"{METRICS} metrics x {DAYS} days on disk", "MB", _size(year) / 1e6)
    yield from dagsters_storage()


class Exchange:
    """The simulated exchange in a process of its own, whose clock is set."""

    def __init__(self) -> None:
        """Start it."""
        command = [sys.executable, "-c", EXCHANGE, str(METRICS), str(LAST.timestamp())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._said()

    def set(self, now: datetime) -> None:
        """Set its clock."""
        assert self._process.stdin is not None
        print(now.timestamp(), file=self._process.stdin, flush=True)
        self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        """Be there."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Keeper:
    """One data folder, and what its minutes take."""

    def __init__(self, folder: Path, kept: Path, exchange: Exchange) -> None:
        """Copy what is kept by hard links: files of Delta are never changed."""
        data = folder / "data"
        shutil.copytree(kept, simulated_folder(data), copy_function=os.link)
        file = folder / "pricetracker.toml"
        named = ", ".join(f'"{name.replace("SIMULATED", "KRAKEN")}"' for name in NAMES)
        file.write_text(
            f'data = "{data}"\nsimulated = true\nmetrics = [{named}]\n'
            "[exchanges.simulated]\nrequests_per_second = 500\n"
        )
        self._environment = {CONFIG_VARIABLE: str(file), "PRICETRACKER_EXCHANGES__SIMULATED__URL": exchange.url}
        self._exchange, self._cursor = exchange, str(store_in(simulated_folder(data)).prices.load().version())
        self.took: dict[str, list[Cost]] = {}

    def minute(self, minute: datetime) -> None:
        """Do what a minute does.

        Raises:
            AssertionError: something was not stored or not published.
        """
        os.environ.update(self._environment)
        settings = load_settings()
        now = minute + timedelta(seconds=65)
        self._exchange.set(now)

        def tick() -> None:
            done = collect_minute(settings, minute, now=lambda: now)
            assert not done.missing, f"{len(done.missing)} metrics are missing: {done.troubles}"

        def look() -> None:
            self._cursor = watch_prices(settings, now, self._cursor).cursor or self._cursor
            watch_minutes(settings, now)

        def published() -> None:
            assert publish(open_store(settings), NAMES, now=now, minute=minute).as_of == minute

        for what, work in (("a tick", tick), ("a publication", published), ("a look of the sensors", look)):
            self.took.setdefault(what, []).append(_cost(work))


def generated(days: int) -> Path:
    """Return a folder with so many days up to LAST, sorted files a day; made where it is not there yet."""
    folder = KEPT / f"{METRICS} metrics {days} days to {LAST:%Y-%m-%d}"
    if folder.exists():
        return folder
    being_made = folder.with_name(f"{folder.name} in the making")
    shutil.rmtree(being_made, ignore_errors=True)
    store = store_in(being_made)
    walk = np.exp(np.random.default_rng(1).normal(0, 0.001, (METRICS, 1440)).cumsum(axis=1)).round(6) * 100
    first = LAST - days * DAY + MINUTE
    midnights = [first.replace(hour=0, minute=0) + number * DAY for number in range(days + 1)]
    store.prices.upsert(_minutes(walk, midnights[0], first, first).drop_columns([PARTITION]), now=LAST + MINUTE)
    table = store.prices.load()
    for number in range(0, len(midnights), AT_ONCE):
        parts = [_minutes(walk, each, first + MINUTE, LAST) for each in midnights[number : number + AT_ONCE]]
        write_deltalake(table, pa.concat_tables(parts), mode="append", writer_properties=PROPERTIES)
    store.prices.load().create_checkpoint()
    return being_made.rename(folder)


def _minutes(
    walk: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", midnight: datetime, first: datetime, last: datetime
) -> pa.Table:
    """Return the minutes of a day between two, in the order of metric and minute."""
    begin, end = (
        int((each - midnight) / MINUTE) for each in (max(first, midnight), min(last, midnight + DAY - MINUTE))
    )
    close = walk[:, begin : end + 1]
    count = close.shape[1]
    minutes = np.datetime64(midnight.replace(tzinfo=None), "us") + np.arange(begin, end + 1) * np.timedelta64(
        60_000_000, "us"
    )
    prices = [close.ravel()] * 4
    columns = [
        pa.array(NAMES).take(pa.array(np.repeat(np.arange(METRICS), count))),
        pa.array(np.tile(minutes, METRICS), SCHEMA.field("minute").type),
        *(pa.array(each) for each in prices),
        pa.array(np.zeros(METRICS * count)),
        pa.array(np.zeros(METRICS * count, dtype=np.int64)),
        pa.array([midnight + DAY] * (METRICS * count), SCHEMA.field("fetched_at").type),
    ]
    day = pa.array([midnight.date()] * (METRICS * count), pa.date32())
    return pa.table(columns, schema=SCHEMA).append_column(pa.field(PARTITION, pa.date32(), nullable=False), day)


def dagsters_storage() -> Iterator[Row]:
    """Let a month of runs come and go, and compare the size after its days with that after eight."""
    sizes = {}
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 40 * DAY
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home) as instance:

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition(f"{first:%Y-%m-%d}"))
        def prices() -> None: ...

        tags = {TICK: "true"}
        template = dg.materialize([prices], instance=instance, partition_key=f"{first:%Y-%m-%d}", tags=tags).run_id
        for number in range(1, DAYS_OF_RUNS[1] + 1):
            moments = [first + number * DAY + each * DAY / TICKS_A_DAY for each in range(TICKS_A_DAY)]
            record_ticks(instance, template, moments)
            forget(instance, (TICK,), first + number * DAY - KEPT_RUNS)
            sizes[number] = size(instance)
    early, late = (sizes[number] / 1e6 for number in DAYS_OF_RUNS)
    name = f"Dagster's storage after {DAYS_OF_RUNS[1]} days of {TICKS_A_DAY} ticks"
    yield share(name, "MB", late, early, f"after {DAYS_OF_RUNS[0]} days", at_most=1.05)


def _cost(work: Callable[[], object]) -> Cost:
    began, used = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - used)


def _medians(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    alone(measure)
