"""The command line as a user runs it: in a process of its own."""

import subprocess
import sys

COMMAND = [sys.executable, "-W", "ignore", "-m", "pricetracker_dagster.cli"]
"""The command, followed by its arguments."""


def pricetracker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and return what it printed."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)
