"""What the HTTP API carries while a minute is published each second; each answer is compared with what was published.

Requests a second, and how long 99 of a hundred take at most. Beside it, in the same run: a fresh connection of DuckDB
for each request, and, where they are installed, Prometheus and VictoriaMetrics with the same prices and ranking.
``--requests 1000000`` sends so many requests of several paths across publications instead, and looks at memory.
"""

import argparse
import gzip
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.consistency import mixed
from benchmarks.http_clients import Answered, ask
from benchmarks.publishing import fill, kept_files, names
from benchmarks.rows import Row, absent, alone, bounded
from benchmarks.series_servers import free_port, prometheus, ranked, ranking_path, victoria_metrics
from pricetracker_dagster.local.process_groups import python
from pricetracker_dagster.settings import CONFIG_VARIABLE
from pricetracker_dagster.store.store import Store

CONNECTIONS = 50
FRESH = 50

TIMES = 20
GOAL = f">= {TIMES} x"
"""How many times as many answers as another server gives."""

ROOT = "/pricetracker"
METRIC = names(1)[0]
RANKING = "SELECT * FROM metric_rank WHERE measure = 'price' ORDER BY rank"
HISTORY = "FROM history_24h WHERE metric = '{}' AND measure = '{}' ORDER BY minute"
PATHS = {
    f"{ROOT}/metricsrank?measure_name=price": RANKING,
    f"{ROOT}/historicalprices?metric_name={METRIC}&measure_name=price": HISTORY.format(METRIC, "price"),
    f"{ROOT}/metricsrank?measure_name=volume": RANKING.replace("price", "volume"),
    f"{ROOT}/historicalprices?metric_name={METRIC}&measure_name=volume": HISTORY.format(METRIC, "volume"),
    f"{ROOT}/snapshot": "FROM snapshot",
}


def measure(seconds: float = 4.0) -> Iterator[Row]:
    """Ask for ranking and history of 3 and of 1,000 metrics, and others for the same.

    Args:
        seconds: how long each question is asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        for metrics in (3, 1000):
            yield from _measured(Path(folder) / str(metrics), metrics, seconds)


def _measured(folder: Path, metrics: int, seconds: float) -> Iterator[Row]:
    as_of = begin()
    store = fill(folder, metrics, as_of)
    candles = store.prices.files()
    with served(folder) as (port, _), publishing(store, folder, metrics):
        told = {path: judged(port, path, store, seconds) for path in list(PATHS)[:2]}
        fresh = fresh_connections(store)
    rankings, histories = told.values()
    ranking, history = f"ranking of {metrics:,} metrics over HTTP", f"history of one of {metrics:,} metrics over HTTP"
    at_least, at_most = (5000, 30) if metrics == 1000 else (None, None)
    yield rate(ranking, rankings.rate, fresh, "a fresh connection of DuckDB each")
    for what, answered in ((ranking, rankings), (history, histories)):
        yield bounded(f"{what}, answers", "answers/s", answered.rate, at_least=at_least)
        yield bounded(f"{what}, 99 of 100 within", "ms", answered.percentile(99), at_most=at_most)
    if metrics < 1000:
        return
    others = ("VictoriaMetrics", "victoria-metrics", victoria_metrics), ("Prometheus", "prometheus", prometheus)
    for name, package, server in others:
        beside = f"{ranking}, beside {name}"
        with server(folder / name, candles) as port_of_other:
            if port_of_other is None:
                yield absent(beside, "answers/s", rankings.rate, GOAL, f"Debian: apt-get install {package}")
                continue
            path = ranking_path(as_of)
            compare(store, ranked(port_of_other, path), as_of)
            other = ask(port_of_other, [path], connections=CONNECTIONS, seconds=seconds)
            yield rate(beside, rankings.rate, other.rate, name, GOAL)


def rate(name: str, ours: float, peer: float, peer_name: str, goal: str = "") -> Row:
    """Return the row of answers a second."""
    ratio = ours / peer
    return Row(name, "answers/s", ours, peer, ratio, goal, ratio >= TIMES if goal else None, peer_name)


def judged(port: int, path: str, store: Store, seconds: float) -> Answered:
    """Ask for one path and judge each answer.

    Raises:
        AssertionError: an answer is an error, or not that of one published file.
    """
    ask(port, [path], connections=CONNECTIONS, seconds=0.5)
    answered = ask(port, [path], connections=CONNECTIONS, seconds=seconds)
    wrong = mixed([each for same in answered.seen.values() for each in same], {0: PATHS[path]}, kept_files(store))
    assert not wrong, "\n".join(wrong[:5])
    assert not answered.errors, f"{answered.errors} of {answered.statuses.total()} answers are errors"
    return answered


def fresh_connections(store: Store) -> float:
    """Return how many rankings a second a fresh connection for each gives, as compressed JSON."""
    began = time.perf_counter()
    for _ in range(FRESH):
        with duckdb.connect(str(store.folder.published), read_only=True) as connection:
            answer = connection.execute(RANKING)
            columns = [column for column, *_ in answer.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
        gzip.compress(json.dumps({"data": rows}, default=str).encode(), 6)
    return FRESH / (time.perf_counter() - began)


def compare(store: Store, theirs: list[tuple[str, float]], as_of: datetime) -> None:
    """Check that another server ranks alike."""
    file = kept_files(store) / f"{as_of:%Y-%m-%dT%H%M}.duckdb"
    with duckdb.connect(str(file), read_only=True) as connection:
        ours = connection.execute("SELECT metric, stddev FROM metric_rank WHERE measure = 'price'").fetchall()
    of_sample = math.sqrt(1440 / 1439)
    expected = dict(ours)
    assert len(theirs) == len(expected)
    for metric, stddev in theirs:
        assert math.isclose(stddev * of_sample, expected[metric], rel_tol=1e-6), (metric, stddev, expected[metric])


def across_publications(folder: Path, requests: int) -> None:
    """Send so many requests of all paths, some of them conditional, and print errors, mixed answers and memory."""
    store = fill(folder, 1000, begin())
    with served(folder) as (port, process), publishing(store, folder, 1000):
        ask(port, list(PATHS), connections=CONNECTIONS, requests=requests // 20)
        parts, memory, files = [], [resident(process)], [open_files(process)]
        for _ in range(10):
            parts.append(ask(port, list(PATHS), connections=CONNECTIONS, requests=requests // 10, known=7))
            memory.append(resident(process))
            files.append(open_files(process))
    seen = [each for part in parts for same in part.seen.values() for each in same]
    wrong = mixed(seen, dict(enumerate(PATHS.values())), kept_files(store))
    answers = sum(part.statuses.total() for part in parts)
    unchanged, errors = sum(part.statuses[304] for part in parts), sum(part.errors for part in parts)
    lasted = sum(part.lasted for part in parts)
    tags = {tag for part in parts for _, tag in part.seen}
    print(
        f"{answers:,} requests of 1,000 metrics in {lasted:.0f} s ({answers / lasted:,.0f} a second), {len(tags)} files"
    )
    print(f"  {errors} errors, {len(wrong)} mixed answers, {unchanged:,} unchanged (304)")
    print(f"  p99 {max(part.percentile(99) for part in parts):.1f} ms at worst of ten parts")
    print(f"  memory of the server in MiB: {', '.join(f'{each:.0f}' for each in memory)}; open files: {files}")
    for each in wrong[:5]:
        print(f"    {each}")


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, int]]:
    """Run `pricetracker serve` on a folder; give its port and its process id."""
    settings = folder / "pricetracker.toml"
    settings.write_text(f'metrics = ["{METRIC}"]\n[http]\nrequests_per_second = 0\n')
    port = free_port()
    environment = {**os.environ, CONFIG_VARIABLE: str(settings), "PYTHONUNBUFFERED": "1"}
    command = python("pricetracker_dagster.cli", "serve", "--port", str(port))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("prices"), "the server does not start"
        try:
            yield port, process.pid
        finally:
            process.terminate()


@contextmanager
def publishing(store: Store, folder: Path, metrics: int) -> Iterator[None]:
    """Publish a minute each second meanwhile."""
    before = len(list(kept_files(store).iterdir()))
    command = python("benchmarks.publishing", str(folder), str(metrics))
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        try:
            while len(list(kept_files(store).iterdir())) == before:
                assert process.poll() is None, "the publisher has ended"
                time.sleep(0.1)
            yield
        finally:
            process.kill()  # SIGTERM may be ignored where tests run in the background; a publication is whole or none


def begin() -> datetime:
    """Return a minute so long ago that many can follow."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=12)


def resident(process: int) -> float:
    """Return the memory of a process in MiB."""
    [line] = [each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def open_files(process: int) -> int:
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each question is asked")
    parser.add_argument("--requests", type=int, help="send so many requests across publications instead")
    arguments = parser.parse_args()
    if not arguments.requests:
        alone(lambda: measure(arguments.seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        across_publications(Path(folder), arguments.requests)


if __name__ == "__main__":
    main()
