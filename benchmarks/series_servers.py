"""Prometheus and VictoriaMetrics, where they are installed, with the same prices and the same ranking to ask for.

Both are Debian packages (prometheus, victoria-metrics). Their ranking is a query of PromQL; the standard deviation is
that of the population, 1/2879 smaller than ours over 1,440 minutes.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import duckdb
import requests

QUERY = "sort_desc(stddev_over_time(price[24h]))"


def ranking_path(as_of: datetime) -> str:
    """Return the path that answers the ranking as of a minute, for both."""
    return f"/api/v1/query?query={quote(QUERY)}&time={as_of.timestamp():.0f}"


@contextmanager
def victoria_metrics(folder: Path, candles: list[str]) -> Iterator[int | None]:
    """Run VictoriaMetrics with the closes of some Parquet files; give its port, or None where it is not installed."""
    found = shutil.which("victoria-metrics") or shutil.which("victoria-metrics-prod")
    if found is None:
        yield None
        return
    port = free_port()
    listens = [f"-httpListenAddr=127.0.0.1:{port}", "-search.maxQueueDuration=60s", "-loggerLevel=ERROR"]
    with _running([found, f"-storageDataPath={folder}", "-retentionPeriod=10y", *listens], port, "/health"):
        lines = _written(candles, folder.with_suffix(".txt"), 1000)
        with lines.open("rb") as content:
            requests.post(f"http://127.0.0.1:{port}/api/v1/import/prometheus", data=content, timeout=120)
        requests.get(f"http://127.0.0.1:{port}/internal/force_flush", timeout=60)
        yield port


@contextmanager
def prometheus(folder: Path, candles: list[str]) -> Iterator[int | None]:
    """Run Prometheus likewise."""
    found, tool = shutil.which("prometheus"), shutil.which("promtool")
    if found is None or tool is None:
        yield None
        return
    lines = _written(candles, folder.with_suffix(".txt"), 1)
    with lines.open("a", encoding="utf-8") as end:
        end.write("# EOF\n")
    made = [tool, "tsdb", "create-blocks-from", "openmetrics", str(lines), str(folder)]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    settings = folder.with_suffix(".yml")
    settings.write_text("global: {}\n")
    port = free_port()
    listens = [f"--web.listen-address=127.0.0.1:{port}", f"--config.file={settings}", "--log.level=error"]
    kept = [f"--storage.tsdb.path={folder}", "--storage.tsdb.retention.time=10y"]
    with _running([found, *listens, *kept], port, "/-/ready"):
        yield port


def ranked(port: int, path: str) -> list[tuple[str, float]]:
    """Return metrics with their standard deviations, the highest first, as one of the two answers."""
    answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=60).json()
    return [(each["metric"]["metric"], float(each["value"][1])) for each in answer["data"]["result"]]


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _written(candles: list[str], file: Path, unit: int) -> Path:
    """Write closes in the text format of Prometheus, their times in so many parts of a second."""
    with duckdb.connect() as connection:
        lines = connection.read_parquet(candles).project(
            f"""format('price{{{{metric="{{}}"}}}} {{}} {{}}', metric, close, (epoch(minute) * {unit})::BIGINT) AS line,
            metric, minute"""
        )
        lines.order("metric, minute").project("line").write_csv(str(file), header=False, quotechar="", sep="\t")
    return file


@contextmanager
def _running(command: list[str], port: int, health: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{port}{health}", timeout=5).ok:
                    break
            except requests.ConnectionError:
                assert process.poll() is None, f"{command[0]} has ended"
            assert time.monotonic() < until, f"{command[0]} does not answer"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)
