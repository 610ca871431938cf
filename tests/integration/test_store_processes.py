"""Several processes on one data folder, some of them killed: nothing doubled, nothing lost, no reader disturbed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in

START = datetime(2026, 3, 3, 23, 40, tzinfo=UTC)  # 20 minutes before midnight: two partitions
METRICS = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:GRTETH"]
PATIENCE = 90.0
ROUNDS = 15
"""So many minutes each of the writers stores."""

COMMON = f"""
import sys, threading
from datetime import datetime, timedelta
from pathlib import Path
import pyarrow as pa
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.store import store_in
from pricetracker_dagster.store.publishing.publish import publish

store = store_in(Path(sys.argv[1]))
start = datetime.fromisoformat("{START.isoformat()}")
asked_to_stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), asked_to_stop.set()), daemon=True).start()

def candles(minutes, price):
    "Every metric in every minute, all at one price."
    rows = [
        (metric, start + minute * MINUTE, price, price, price, price, 1.0, 1, start)
        for minute in minutes for metric in {METRICS}
    ]
    return pa.table([list(column) for column in zip(*rows)], schema=SCHEMA)

print("ready", flush=True)
"""

# Each upsert takes back the minute before, as a tick does: what others wrote there is corrected.
WRITER = """
price, minutes = float(sys.argv[2]), int(sys.argv[3])
for minute in range(minutes):
    store.prices.upsert(candles([max(minute - 1, 0), minute] if minute else [0], price))
    print(minute, flush=True)
"""

BULK = """
store.prices.upsert(candles(range(-2000, 60), float(sys.argv[2])))
print("whole", flush=True)
"""

PUBLISHER = """
while not asked_to_stop.is_set():
    if publish(store, None, now=start).built:
        print("built", flush=True)
"""

READER = """
import duckdb
while not asked_to_stop.is_set():
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        rows, keys, claimed = connection.execute(
            "SELECT count(*), count(DISTINCT (metric, minute)), (SELECT rows FROM snapshot) FROM minute_prices"
        ).fetchone()
        torn = connection.execute(
            "SELECT minute FROM minute_prices GROUP BY minute HAVING count(*) <> 3 OR min(close) <> max(close)"
        ).fetchall()
        ranked = connection.execute("SELECT count(*) FROM metric_rank").fetchone()
    right = rows == keys == claimed and not torn and ranked == (12,)
    print("read" if right else (rows, keys, claimed, torn, ranked), flush=True)
"""

KILLED = """
first = int(sys.argv[2])
for minute in range(first, first + 200):
    store.prices.upsert(candles([minute], 1000.0 + minute))
    print(minute, flush=True)
    publish(store, None, now=start)
"""


class Process:
    """A script in a real process; what it prints is collected while it runs."""

    def __init__(self, script: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMON + script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.errors = ""
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._collect), threading.Thread(target=self._collect_errors)]
        for thread in self._threads:
            thread.start()

    def _collect(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.strip())
                self._more.notify_all()

    def _collect_errors(self) -> None:
        assert self.process.stderr
        self.errors = self.process.stderr.read()

    def wait_for_lines(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.lines) >= count, PATIENCE), (self.lines, self.errors)

    def join(self) -> list[str]:
        """Wait until it ends by itself, without an error; return what it printed after ``ready``."""
        code = self.process.wait(PATIENCE)
        self._close()
        assert code == 0, self.errors
        return self.lines[1:]

    def stop(self) -> list[str]:
        """Ask it to end."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.join()

    def kill(self) -> list[str]:
        """End it as a power failure would; return what it had acknowledged."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._close()
        return self.lines[1:]

    def _close(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(script: str, *arguments: object) -> Process:
        started.append(Process(script, *arguments))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "data")


def stored(store: Store) -> dict[int, dict[str, float]]:
    """Close of each metric in each minute after START; no key may be there twice."""
    rows = (
        store.prices.candles(METRICS, START - 3 * DAY, START + 3 * DAY)
        .select(["metric", "minute", "close"])
        .to_pylist()
    )
    doubled = [key for key, count in Counter((row["metric"], row["minute"]) for row in rows).items() if count > 1]
    assert doubled == []
    minutes: dict[int, dict[str, float]] = {}
    for row in rows:
        minutes.setdefault((row["minute"] - START) // MINUTE, {})[row["metric"]] = row["close"]
    return minutes


def published(store: Store) -> tuple[int, int]:
    """Rows of the published file, and what it says they are."""
    with duckdb.connect(str(store.folder.published), read_only=True) as connection:
        row = connection.execute("SELECT count(*), (SELECT rows FROM snapshot) FROM minute_prices").fetchone()
    assert row
    return row[0], row[1]


@pytest.mark.long
def test_writers_of_the_same_minutes_a_bulk_writer_a_publisher_and_a_reader_get_along(
    store: Store, start: Callable[..., Process]
) -> None:
    start(BULK, store.folder.path, 1.0).join()
    publish(store, None, now=START)
    reader, publisher = start(READER, store.folder.path), start(PUBLISHER, store.folder.path)
    reader.wait_for_lines(2)
    writers = [start(WRITER, store.folder.path, price, ROUNDS) for price in (10.0, 20.0, 30.0)]
    for writer in writers:
        writer.wait_for_lines(3)
    bulk = start(BULK, store.folder.path, 2.0)
    for writer in writers:
        assert writer.join() == [str(minute) for minute in range(ROUNDS)]
    assert bulk.join() == ["whole"]
    readings = reader.stop()
    assert len(readings) > 5
    assert set(readings) == {"read"}
    assert len(publisher.stop()) > 5
    minutes = stored(store)
    assert sorted(minutes) == list(range(-2000, 60))
    for minute, closes in minutes.items():
        # an upsert is whole: the last one to touch a minute left its price in all metrics
        assert sorted(closes) == METRICS
        [price] = set(closes.values())
        assert price in ({2.0, 10.0, 20.0, 30.0} if 0 <= minute < ROUNDS else {2.0})
    publish(store, None, now=START)
    assert published(store) == (2060 * 3, 2060 * 3)


def test_processes_that_create_the_table_at_once_lose_nothing(store: Store, start: Callable[..., Process]) -> None:
    writers = [start(WRITER, store.folder.path, price, 3) for price in (10.0, 20.0, 30.0)]
    for writer in writers:
        assert writer.join() == ["0", "1", "2"]
    assert {minute: sorted(closes) for minute, closes in stored(store).items()} == dict.fromkeys(range(3), METRICS)


def test_a_process_killed_at_any_moment_leaves_a_store_that_reads_and_publishes(
    store: Store, start: Callable[..., Process]
) -> None:
    acknowledged: set[int] = set()
    for moment in range(10):
        first = moment * 1000 // 5  # each process has minutes of its own
        process = start(KILLED, store.folder.path, first)
        process.wait_for_lines(1 + moment % 4)  # "ready", then one line for each upsert that returned
        threading.Event().wait(moment * 37 % 150 / 1000)  # an upsert and a publication take about so long
        acknowledged |= {int(line) for line in process.kill()}
        minutes = stored(store)
        assert acknowledged <= set(minutes)
        for minute, closes in minutes.items():
            assert closes == dict.fromkeys(METRICS, 1000.0 + minute)  # whole or not at all
        if store.folder.published.exists():
            rows, claimed = published(store)
            assert rows == claimed
        done = publish(store, None, now=START)
        assert done.rows == 3 * len(minutes)
        assert {path.name for path in store.folder.path.iterdir()} <= {"minute_prices", "pricetracker.duckdb", "state"}
        if minutes:
            assert published(store) == (done.rows, done.rows)
    assert len(acknowledged) > 10


def test_of_publishers_at_once_the_others_take_the_file_that_one_built(
    store: Store, start: Callable[..., Process]
) -> None:
    start(WRITER, store.folder.path, 10.0, 1).join()
    publishers = [start(PUBLISHER, store.folder.path) for _ in range(3)]
    for process in publishers:
        process.wait_for_lines(1)
    deadline = time.monotonic() + PATIENCE
    while all(len(process.lines) == 1 for process in publishers) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    threading.Event().wait(0.3)  # time in which another one could build, too
    assert sum(len(process.stop()) for process in publishers) == 1
    assert published(store) == (3, 3)
