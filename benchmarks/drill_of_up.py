"""The whole thing under faults: the real daemon for half an hour, an exchange that misbehaves, and every minute there.

``python -m benchmarks.drill_of_up --minutes 30`` starts ``pricetracker up`` on a folder of its own beside a simulated
exchange that answers as Kraken, lets one thing after the other go wrong for a while (the exchange's answers, a commit
cut short, this machine's clock, the daemon), lets some quiet minutes pass, and compares what is stored with what the
exchange says itself. Exit status 1 where a minute is missing or differs, the damage was not mended, or a stillness or a
wrong clock was not told. A shorter drill has the first of these blows only.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pricetracker_dagster.candles.metric import parse_metric
from pricetracker_dagster.candles.minutes import MINUTE, newest_closed_minute
from pricetracker_dagster.exchanges.registry import open_exchange
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.store.store import open_store, store_in

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "error", "text": "EService:Unavailable"},
    {"kind": "hole", "pair": "XBTUSD"},
    {"kind": "server_error"},
    {"kind": "rate_limit"},
    {"kind": "hang"},
    {"kind": "correction", "minutes": 3},
    {"kind": "truncated"},
    {"kind": "insane", "pair": "ETHUSD"},
    {"kind": "odd_row", "pair": "ETHUSD"},
    {"kind": "maintenance"},
    {"kind": "delisted", "pair": "XRPUSD"},
    {"kind": "drip", "pair": "XRPUSD", "endpoint": "OHLC", "seconds": 2},
    {"kind": "clock_skew", "seconds": -25},
    {"kind": "slow", "seconds": 4},
)
ON, OFF = 45.0, 25.0
"""Seconds that something is wrong, and right again before the next."""

STILL = 240.0
"""Seconds that the daemon stands still: longer than it takes to be noticed."""

_COMPARED = ("open", "high", "low", "close", "volume", "trades")

WRONG = 90.0
"""Seconds that the clock is wrong, or a table damaged: a tick falls into them, and a look of the watch."""

_AHEAD_C = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long ahead(void) {
    FILE *file = fopen(getenv("DRILL_CLOCK"), "r");
    long seconds = 0;
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += ahead();
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec moment;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &moment);
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *place) {
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (place) *place = moment.tv_sec;
    return moment.tv_sec;
}
"""
"""What `up` and its children take for the time of day: the real one, and the seconds that a file says."""


class Blow(NamedTuple):
    """Something that goes wrong for a while."""

    name: str
    strike: Callable[[], object]
    mend: Callable[[], object]
    seconds: float = ON
    told: str | None = None
    """Words of the incident by which it is told."""


@dataclass(frozen=True)
class Ring:
    """Where it happens: the folder, the exchange, the process of ``up``, and the file that shifts its clock."""

    folder: Path
    exchange: Simulator
    process: subprocess.Popen[bytes]
    clock: Path | None
    failures: list[str] = field(default_factory=list)

    def blows(self) -> Iterator[Blow]:
        """Return what goes wrong, in its order."""
        yield self.fault({"kind": "lagging", "minutes": 3})
        yield Blow("a commit of minute_prices is cut short", self.tear, self.repair, WRONG, "is damaged")
        if self.clock is not None:
            yield Blow(
                "the clock is two hours ahead",
                lambda: self.shift(7200),
                lambda: self.shift(0),
                WRONG,
                "this machine's clock is",
            )
            yield Blow(
                "the clock is an hour behind",
                lambda: self.shift(-3600),
                lambda: self.shift(0),
                WRONG,
                "this machine's clock is",
            )
        yield Blow("the daemon stands still", self.stop_daemon, lambda: None, STILL, "no sign of life")
        yield from map(self.fault, FAULTS)

    def fault(self, fault: dict[str, Any]) -> Blow:
        """Return what goes wrong at the exchange."""
        return Blow(str(fault), partial(self.exchange.faults.add, **fault), self.exchange.faults.clear)

    def shift(self, seconds: int) -> None:
        """Put the clock of ``up`` and its children forward or back."""
        assert self.clock is not None
        self.clock.write_text(str(seconds))

    def tear(self) -> None:
        """Cut the newest commit short, as a power loss does."""
        commit = max((self.folder / "data" / "minute_prices" / "_delta_log").glob("*.json"))
        whole = commit.read_bytes()
        commit.write_bytes(whole[: len(whole) // 2])

    def repair(self) -> None:
        """Do what ticks say that is to be done."""
        done = subprocess.run(_command("repair", "--yes"), check=False, capture_output=True, text=True)
        print(done.stdout + done.stderr, flush=True)
        if done.returncode:
            self.failures.append("the damaged table was not repaired")

    def stop_daemon(self) -> None:
        """Stop the daemon as a debugger or an overloaded machine does. The watch has to bring it back."""
        stopped = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):  # it has just ended
                if _parent(process) == self.process.pid and b"dagster._daemon" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGSTOP)
                    stopped += 1
        if not stopped:
            self.failures.append("there was no daemon to stop")


def main() -> int:
    """Run the drill and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name, Simulator() as exchange:
        folder = Path(name)
        settings_file = folder / "pricetracker.toml"
        settings_file.write_text('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]\n')
        os.environ |= {
            "PRICETRACKER_CONFIG": str(settings_file),
            "PRICETRACKER_EXCHANGES__KRAKEN__URL": exchange.url,
            "PRICETRACKER_EXCHANGES__KRAKEN__REQUESTS_PER_SECOND": "50",
        }
        clock = _clock(folder)
        shifted = {"LD_PRELOAD": str(folder / "ahead.so"), "DRILL_CLOCK": str(clock)} if clock else {}
        with _up(folder, shifted) as process:
            ring = Ring(folder, exchange, process, clock)
            began = newest_closed_minute(datetime.now(UTC))
            end = time.monotonic() + minutes * 60
            struck: list[Blow] = []
            for blow in itertools.cycle(ring.blows()):
                if time.monotonic() + blow.seconds > end:
                    break
                print(f"{datetime.now(UTC):%H:%M:%S} {blow.name}", flush=True)
                struck.append(blow)
                blow.strike()
                time.sleep(blow.seconds)
                blow.mend()
                time.sleep(OFF)
            time.sleep(185)  # three quiet ticks
            failures = [*ring.failures, *_untold(folder, struck), *_mistakes(folder)]
            failures += _compare(began - timedelta(hours=2))
        print("\n".join(failures) or "every minute is there, and everything was told")
        return 1 if failures else 0


@contextmanager
def _up(folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``pricetracker up`` and show at the end what it said."""
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            _command("up", "--live"), stdout=file, stderr=file, env={**os.environ, **environment}
        )
    try:
        for _ in range(1800):
            if "to stop" in output.read_text():
                break
            if process.poll() is not None:
                raise SystemExit(output.read_text())
            time.sleep(0.1)
        else:
            raise SystemExit("it did not start within three minutes")
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        print(output.read_text())


def _clock(folder: Path) -> Path | None:
    """Build what shifts the clock of a process; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: the clock stays right")
        return None
    source = folder / "ahead.c"
    source.write_text(_AHEAD_C)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "ahead.so", source, "-ldl"], check=True)
    clock = folder / "clock"
    clock.write_text("0")
    return clock


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pricetracker_dagster.cli", *arguments]


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _untold(folder: Path, struck: Sequence[Blow]) -> list[str]:
    """Print the incidents that were recorded; return of which blows there is none."""
    rows = store_in(folder / "data").records.incidents.rows()
    for row in rows:
        print(json.dumps({name: str(row[name]) for name in ("cause", "state", "first", "last", "reason")}))
    told = "\n".join(row["reason"] for row in rows)
    return [f"nobody was told that {blow.name}" for blow in struck if blow.told is not None and blow.told not in told]


def _mistakes(folder: Path) -> list[str]:
    """Print what the logs say of mistakes of our own, with their tracebacks; return in which files they stand."""
    found = []
    for log in sorted((folder / "data" / "logs").glob("*.log")):
        _, mistake, rest = log.read_text(errors="replace").partition("a mistake of pricetracker")
        if mistake:
            print(f"{log.name}: {mistake}{rest[:6000]}")
            found.append(f"{log.name} tells of a mistake of pricetracker")
    return found


def _compare(first: datetime) -> list[str]:
    """Compare what is stored with what the exchange says now, minute by minute; return what is wrong."""
    settings = load_settings()
    store = open_store(settings)
    last = newest_closed_minute(datetime.now(UTC)) - MINUTE
    metrics = [str(metric) for metric in settings.tracked]
    wrong = [
        f"{metric} {gap} is missing" for metric, gaps in store.prices.gaps(metrics, first, last).items() for gap in gaps
    ]
    exchange = open_exchange("KRAKEN", settings)
    ours = {(row["metric"], row["minute"]): row for row in store.prices.candles(metrics, first, last).to_pylist()}
    for metric in metrics:
        for row in exchange.candles(parse_metric(metric).pair, first, Deadline.after(30)).kept.to_pylist():
            mine = ours.get((metric, row["minute"]))
            if row["minute"] <= last and mine is not None and any(row[name] != mine[name] for name in _COMPARED):
                wrong.append(f"{metric} {row['minute']:%Y-%m-%d %H:%M} differs: {mine} is stored, {row} is right")
    print(f"{len(ours)} minutes of {len(metrics)} metrics since {first:%H:%M} were compared")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
