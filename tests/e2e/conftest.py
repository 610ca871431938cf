"""Real processes: ``pricetracker`` as a user starts it, found again in /proc, ended with certainty."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.settings import CONFIG_VARIABLE, PREFIX
from tests.waiting import until

METRICS = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD", "SIMULATED:XRPUSD"]
"""What the settings of a test follow on the simulator."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def processes_of(folder: Path) -> dict[int, str]:
    """Return every living process that was started for a folder: its settings are in its environment."""
    found = {}
    mark = f"{CONFIG_VARIABLE}={folder}/".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended, or is a zombie
            continue
    return found


@dataclass
class Home:
    """A settings file and what runs by it."""

    folder: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        return self.folder / "data-simulated"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pricetracker_dagster.cli", *arguments]

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *arguments: str, **how: Any) -> subprocess.Popen[str]:
        output = (self.folder / "output.txt").open("a")
        try:
            return subprocess.Popen(
                self.command(*arguments), env=self.environment, stdout=output, stderr=output, text=True, **how
            )
        finally:
            output.close()

    def started(self, *arguments: str, **how: Any) -> tuple[subprocess.Popen[str], str]:
        """Start ``up`` and wait until it says where the UI is."""
        process = self.start("up", *arguments, **how)

        def ui() -> str | None:
            assert process.poll() is None, self.output()
            said = re.search(r"the UI\s+(http://\S+)", self.output())
            return said.group(1) if said else None

        return process, until(ui, 120, "the UI is there")

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()


@contextmanager
def home_in(folder: Path) -> Iterator[Home]:
    """Give a folder settings of three metrics whose exchange is not there, and end what was started by them."""
    (folder / "pricetracker.toml").write_text(
        'metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]\n[exchanges.kraken]\nurl = "http://127.0.0.1:1"\n'
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "MAKE", "DAGSTER"))
    }
    environment[CONFIG_VARIABLE] = str(folder / "pricetracker.toml")
    environment["PYTHONWARNINGS"] = "ignore"
    try:
        yield Home(folder, environment)
    finally:
        for pid in processes_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A folder with settings of three metrics whose exchange is not there."""
    with home_in(tmp_path) as home:
        yield home
