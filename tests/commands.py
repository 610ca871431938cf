"""The command line as a user runs it: in a process of its own; or in this one, where that proves the same."""

import subprocess
import sys

from click.testing import CliRunner

from pricetracker_dagster.cli import main

COMMAND = [sys.executable, "-W", "ignore", "-m", "pricetracker_dagster.cli"]
"""The command, followed by its arguments."""


def pricetracker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and return what it printed."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def pricetracker_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Do the same in this process, which need not start: what leaves through an exception is raised."""
    ended = CliRunner().invoke(main, arguments, prog_name="pricetracker")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess([*arguments], ended.exit_code, ended.stdout, ended.stderr)
