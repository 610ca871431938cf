"""Where the figures come from: the machine, the versions of what took part, the commit."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("dagster", "deltalake", "duckdb", "numpy", "pandas", "polars", "pyarrow", "uvicorn")
SERVERS = {"Prometheus": ("prometheus",), "VictoriaMetrics": ("victoria-metrics", "victoria-metrics-prod")}
HOW_TO_INSTALL = {
    "polars": "pip install polars",
    "Prometheus": "Debian: apt-get install prometheus",
    "VictoriaMetrics": "Debian: apt-get install victoria-metrics",
}
"""The peers, which not everybody has."""


def machine() -> dict[str, str]:
    """Return what the machine is, by name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the version of each part and peer; of one that is not there, how to install it."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = _absent(package)
    return found | {name: _server(commands) or _absent(name) for name, commands in SERVERS.items()}


def commit() -> str:
    """Return the commit that is measured, with a plus where files differ from it."""
    here = Path(__file__).parents[1]
    name = _said("git", "-C", str(here), "rev-parse", "--short=12", "HEAD")
    return name + ("+" if _said("git", "-C", str(here), "status", "--porcelain") else "") if name else "no repository"


def _absent(name: str) -> str:
    return f"absent: {HOW_TO_INSTALL.get(name, 'pip install ' + name)}"


def _server(commands: tuple[str, ...]) -> str:
    """Return what a server says of its version, in short."""
    for command in commands:
        if shutil.which(command):
            said = _said(command, "--version").replace(",", " ").split()
            numbers = [word for word in said if any(letter.isdigit() for letter in word)]
            # Debian's VictoriaMetrics does not know its version: its package does
            return numbers[0] if numbers else _said("dpkg-query", "-W", "-f", "${Version}", commands[0]) or "there"
    return ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
