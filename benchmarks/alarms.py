"""What the alarms cost in their worst hour: 500 metrics fire and fail, and three channels are told, two of which fail.

``python -m benchmarks.alarms --beside CHECKOUT`` does the same with another checkout of this repository, in turn, each
in a process of its own, and prints all figures; without it the first minutes of an hour and the growth are measured.
An hour is told three times over, in fast motion and without publishing: all metrics spike again and again; the minutes
of all are missed, for reasons that change, and come in the end; both, in turn. ``/good`` takes every message, ``/bad``
answers 500 and ``/asks`` 500 with Retry-After: 120.

Then, whether a look becomes slower by what was before: with 30 days of alerts that are over, and of all that was told.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.hook import Answer, Hook
from benchmarks.rows import Row, alone, bounded, share
from pricetracker_dagster.alerts import watch
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.settings import channel_name, load_settings
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import open_store

HERE = Path(__file__).parents[1]
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
METRICS, LENGTH, DAYS, A_DAY = 500, 60, 30, 500

CHANNELS = {"/good": Answer(), "/bad": Answer(500), "/asks": Answer(500, {"Retry-After": "120"})}

CAUSES = (
    ("exchange error", "HTTP 502 Bad Gateway"),
    ("exchange error", "EService:Unavailable"),
    ("exchange maintenance", "SystemStatus: maintenance"),
)

MEASURE = "import sys; sys.path.insert(0, sys.argv[1]); from benchmarks.alarms import measured; measured(sys.argv[2])"
"""Measure a checkout by its own copy of this file: what is written here may ask for modules that it does not have."""


class Bench:
    """A folder of its own with settings, a store and the channels; a clock that is a number of minutes after noon."""

    def __init__(self, folder: Path, hook: Hook, metrics: int) -> None:
        """Write settings and open what is empty."""
        self.metrics = [f"KRAKEN:M{number:03}USD" for number in range(metrics)]
        file = folder / "pricetracker.toml"
        channels = [hook.channel(path) for path in CHANNELS]
        file.write_text(f"metrics = {json.dumps(self.metrics)}\n[alerts]\nchannels = {json.dumps(channels)}\n")
        os.environ["PRICETRACKER_CONFIG"] = str(file)
        self.settings, self.hook = load_settings(), hook
        self.store, self.records = open_store(self.settings), open_store(self.settings).records
        self.cursor: str | None = None
        self.took: dict[str, list[float]] = {"prices": [], "minutes": []}

    def begin(self) -> None:
        """Store an hour of calm and look once, so that every minute from now on counts."""
        watch.watch_minutes(self.settings, NOON - 60 * MINUTE)
        self.put(range(-60, 0), 100.0)
        self.look(-1)
        self.took = {"prices": [], "minutes": []}

    def put(self, minutes: Sequence[int], volume: float) -> None:
        """Store minutes of all metrics."""
        rows = [
            (metric, int((NOON + i * MINUTE).timestamp()), 10.0, 10.0, 10.0, 10.0, volume, 1)
            for metric in self.metrics
            for i in minutes
        ]
        self.store.prices.upsert(validate_rows(rows, NOON).kept)

    def fail(self, minute: int) -> None:
        """Note that a minute could not be had of any metric."""
        cause, reason = CAUSES[minute % len(CAUSES)]
        missed, noted = NOON + minute * MINUTE, NOON + (minute + 1) * MINUTE
        self.records.causes.upsert(
            [
                {"metric": metric, "minute": missed, "cause": cause, "reason": reason, "noted_at": noted}
                for metric in self.metrics
            ]
        )

    def look(self, minute: int) -> None:
        """Look as both sensors do."""
        self.hook.now = now = NOON + (minute + 1) * MINUTE + timedelta(seconds=3)
        began = time.perf_counter()
        self.cursor = watch.watch_prices(self.settings, now, self.cursor).cursor
        between = time.perf_counter()
        watch.watch_minutes(self.settings, now + timedelta(seconds=2))
        self.took["prices"].append(between - began)
        self.took["minutes"].append(time.perf_counter() - between)


def firing(bench: Bench) -> None:
    """All metrics spike, again before it is over, for an hour; then they are calm."""
    for i in range(LENGTH):
        bench.put([i], spike(i))
        bench.look(i)
    after(bench)


def failing(bench: Bench) -> None:
    """The minutes of all metrics are missed for an hour, then they come."""
    for i in range(LENGTH):
        bench.fail(i)
        bench.look(i)
    bench.put(range(LENGTH), 100.0)
    after(bench)


def both(bench: Bench) -> None:
    """Every other minute is missed, and the others spike; the missed ones come in the end."""
    for i in range(LENGTH):
        if i % 2:
            bench.fail(i)
        else:
            bench.put([i], spike(i))
        bench.look(i)
    bench.put(range(1, LENGTH, 2), 100.0)
    after(bench)


def brief(bench: Bench) -> None:
    """The first minutes of both."""
    for i in range(8):
        if i % 2:
            bench.fail(i)
        else:
            bench.put([i], spike(i))
        bench.look(i)


def after(bench: Bench) -> None:
    """Ten calm minutes."""
    for i in range(LENGTH, LENGTH + 10):
        bench.put([i], 100.0)
        bench.look(i)


def spike(minute: int) -> float:
    """Return a volume that is above what was before, every fourth minute."""
    return 400.0 * 1.5**minute if minute % 4 == 0 else 100.0


HOURS: tuple[Callable[[Bench], None], ...] = (firing, failing, both)


def measured(what: str) -> None:
    """Print as JSON what an hour costs in this process, or a look after a long history."""
    with tempfile.TemporaryDirectory() as name, Hook() as hook, patch.object(watch, "publish"):
        for path, answer in CHANNELS.items():
            hook.answers[path] = lambda _, answer=answer: answer  # type: ignore[misc]
        told = {hour.__name__: hour for hour in (*HOURS, brief)}
        bench = Bench(Path(name), hook, METRICS if what in told else 6)
        bench.begin()
        if what in told:
            told[what](bench)
        else:
            history(bench, int(what))
            for i in range(20):
                bench.put([i], 100.0)
                bench.look(i)
        print(json.dumps(figures(bench)))


def history(bench: Bench, days: int) -> None:
    """Write so many days of alerts that are over, each told to every channel, and join the files as upkeep does."""
    hour, names = timedelta(hours=1), [channel_name(bench.hook.channel(path)) for path in CHANNELS]
    for day in range(days):
        begin = NOON - (days - day) * 24 * hour
        alerts = [_alert(bench.metrics[i % 6], begin + i * MINUTE) for i in range(A_DAY)]
        bench.records.alerts.upsert(alerts)
        told = [(row, event) for row in alerts for event in ("firing", "resolved")]
        bench.records.deliveries.upsert([row for fact, event in told for row in _deliveries(fact, event, names)])
        if hasattr(bench.records, "messages"):
            bench.records.messages.upsert([_message(fact, event, names) for fact, event in told])
    maintain(bench.store)


def _alert(metric: str, minute: datetime) -> dict[str, Any]:
    fields = dict.fromkeys(("value", "average", "ratio", "factor", "peak", "peak_ratio"), 4.0)
    return {
        **fields,
        "id": f"spike|{metric}|volume|{minute:%Y-%m-%dT%H:%MZ}",
        "rule": "spike",
        "metric": metric,
        "measure": "volume",
        "minute": minute,
        "state": "resolved",
        "last_minute": minute,
        "minutes": 1,
        "peak_minute": minute,
        "fired_at": minute + MINUTE,
        "resolved_at": minute + 6 * MINUTE,
        "ended_because": "below again",
        "sent": True,
        "transitions": 2,
    }


def _message(fact: dict[str, Any], event: str, channels: Sequence[str]) -> dict[str, Any]:
    number = 1 if event == "firing" else 2
    return {
        "id": f"{fact['id']}#{number}",
        "fact": fact["id"],
        "subject": "alert",
        "event": event,
        "number": number,
        "recorded_at": fact["fired_at"] if number == 1 else fact["resolved_at"],
        "channels": channels,
        "headline": f"{fact['metric']} volume {event}",
        "text": f"{fact['metric']} volume {event}",
    }


def _deliveries(fact: dict[str, Any], event: str, channels: Sequence[str]) -> Iterator[dict[str, Any]]:
    for channel in channels:
        yield {
            "id": fact["id"],
            "subject": "alert",
            "event": event,
            "channel": channel,
            "attempt": 1,
            "attempted_at": fact["fired_at"] if event == "firing" else fact["resolved_at"],
            "delivered": True,
            "error": None,
            "retry_at": None,
        }


def figures(bench: Bench) -> dict[str, Any]:
    """Return what it cost and what was sent."""
    found: dict[str, Any] = {}
    for what, seconds in bench.took.items():
        found[f"look at {what}, median ms"] = round(statistics.median(seconds) * 1000)
        found[f"look at {what}, most ms"] = round(max(seconds) * 1000)
    found["memory, most MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for path in CHANNELS:
        posts = bench.hook.to(path)
        found[f"{path} requests"] = len(posts)
        found[f"{path} lines"] = sum(len(post.lines) for post in posts)
        found[f"{path} bytes"] = sum(post.size for post in posts)
    for name in ("alerts", "incidents", "messages", "deliveries"):
        table = getattr(bench.records, name, None)
        found[f"rows in {name}"] = None if table is None else len(table.rows())
    return found


def measure() -> Iterator[Row]:
    """Measure minutes in which all metrics spike and fail, then a look after no history and after a long one."""
    told = _in(HERE, brief.__name__)
    for what in ("prices", "minutes"):
        name = f"look at {what} of {METRICS} metrics that spike and fail"
        yield bounded(name, "ms", told[f"look at {what}, median ms"])
    yield bounded("memory of these looks", "MB", told["memory, most MiB"])
    few, long = (_in(HERE, str(days)) for days in (2, DAYS))  # the last day's are read at each look
    for what in ("prices", "minutes"):
        key, name = f"look at {what}, median ms", f"look at {what} after {DAYS} days of {A_DAY} alerts each"
        yield share(name, "ms", long[key], few[key], "after 2 days of them", at_most=1.15)


def main() -> None:
    """Measure and print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="another checkout")
    parser.add_argument("--only", nargs="*", help="firing, failing, both, 0 or 30 (days of history)")
    asked = parser.parse_args()
    if asked.beside is None and asked.only is None:
        alone(measure)
        return
    checkouts = {"here": HERE} if asked.beside is None else {"beside": asked.beside.absolute(), "here": HERE}
    hours = {hour.__name__: f"{hour.__doc__}" for hour in HOURS}
    for what in asked.only or (*hours, "0", str(DAYS)):
        columns = {name: _in(checkout, what) for name, checkout in checkouts.items()}
        told = hours.get(what, f"6 metrics at rest after {what} days of {A_DAY} alerts each.")
        print(f"{what}: {told}")
        print(f"  {'':32}" + "".join(f"{name:>14}" for name in columns))
        for row in next(iter(columns.values())):
            values = "".join(f"{'-' if own[row] is None else format(own[row], ','):>14}" for own in columns.values())
            print(f"  {row:32}{values}", flush=True)


def _in(checkout: Path, what: str) -> dict[str, Any]:
    """Measure one thing in a process of its own, with the program of a checkout."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(checkout), what]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=checkout)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
