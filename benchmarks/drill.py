"""The whole thing under faults: the real daemon for some minutes, an exchange that misbehaves, and every minute there.

``python -m benchmarks.drill --minutes 15`` starts ``pricetracker up --simulated`` on a folder of its own, switches one
fault after the other on for a while, lets two quiet minutes pass, and compares what is stored with what the exchange
says itself. Exit status 1 where a minute is missing or differs.
"""

import argparse
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from pricetracker_dagster.candles import MINUTE, newest_closed_minute, parse_metric
from pricetracker_dagster.exchanges import Deadline, open_exchange
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.prices import Store

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "error", "text": "EService:Unavailable"},
    {"kind": "hole", "pair": "XBTUSD"},
    {"kind": "server_error"},
    {"kind": "rate_limit"},
    {"kind": "hang"},
    {"kind": "correction", "minutes": 3},
    {"kind": "truncated"},
    {"kind": "insane", "pair": "ETHUSD"},
    {"kind": "maintenance"},
    {"kind": "delisted", "pair": "XRPUSD"},
    {"kind": "clock_skew", "seconds": -25},
    {"kind": "slow", "seconds": 4},
)
ON, OFF = 45.0, 25.0
"""Seconds that a fault is on, and off again before the next."""


def main() -> int:
    """Run the drill and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        settings_file = Path(folder) / "pricetracker.toml"
        settings_file.write_text('metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]\n')
        os.environ |= {"PRICETRACKER_CONFIG": str(settings_file), "PRICETRACKER_SIMULATED": "true"}
        output = (Path(folder) / "output.txt").open("w+")
        command = [sys.executable, "-m", "pricetracker_dagster.cli", "up", "--simulated"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            exchange = _exchange_url(Path(folder), process)
            os.environ["PRICETRACKER_EXCHANGES__SIMULATED__URL"] = exchange
            began = newest_closed_minute(datetime.now(UTC))
            end = time.monotonic() + minutes * 60
            for fault in itertools.cycle(FAULTS):
                if time.monotonic() + ON > end:
                    break
                print(f"{datetime.now(UTC):%H:%M:%S} on: {fault}", flush=True)
                _ask(f"{exchange}/faults", fault)
                time.sleep(ON)
                _ask(f"{exchange}/faults", method="DELETE")
                time.sleep(OFF)
            time.sleep(125)  # two quiet ticks
            return _compare(began - timedelta(hours=2))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
            output.seek(0)
            print(output.read())


def _exchange_url(folder: Path, process: subprocess.Popen[bytes]) -> str:
    log = folder / "data-simulated" / "logs" / "exchange.log"
    for _ in range(1200):
        said = re.search(r"at (http://\S+?):? ", log.read_text()) if log.exists() else None
        if said and "the UI" in (folder / "output.txt").read_text():
            return said.group(1).rstrip(":")
        if process.poll() is not None:
            raise SystemExit((folder / "output.txt").read_text())
        time.sleep(0.1)
    raise SystemExit("it did not start within two minutes")


def _ask(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    return requests.request(method or "POST", url, json=body, timeout=10).json()


def _compare(first: datetime) -> int:
    """Compare what is stored with what the exchange says now, minute by minute."""
    settings = load_settings()
    store = Store(settings.folder)
    last = newest_closed_minute(datetime.now(UTC)) - MINUTE
    metrics = [str(metric) for metric in settings.tracked]
    missed = store.missed(metrics, first, last, since_first_row=False)
    wrong = 0
    exchange = open_exchange("SIMULATED", settings)
    ours = {(row["metric"], row["minute"]): row for row in store.candles(metrics, first, last).to_pylist()}
    for metric in metrics:
        for row in exchange.candles(parse_metric(metric).pair, first, Deadline.after(30)).kept.to_pylist():
            mine = ours.get((metric, row["minute"]))
            if row["minute"] <= last and mine is not None:
                wrong += any(row[name] != mine[name] for name in ("open", "high", "low", "close", "volume", "trades"))
    print(f"{len(ours)} minutes of {len(metrics)} metrics since {first:%H:%M}; missing: {missed}; different: {wrong}")
    return 1 if missed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
