"""How a person calls the command line for the settings in force: messages name commands that can be copied."""

import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

from pricetracker_dagster.settings.source import (
    CONFIG_VARIABLE,
    NAME,
    PROJECT,
    PROJECT_PACKAGE,
    config_file,
    working_directory,
)


def command(*, simulated: bool) -> str:
    """Return how a person calls the command line for the settings in force."""
    file = config_file()
    named = "" if file == PROJECT / NAME else f"{CONFIG_VARIABLE}={shlex.quote(str(file))} "
    return f"{named}{_program()}{' --simulated' if simulated else ''}"


def backfill_command(first: datetime, last: datetime, *, simulated: bool, refetch: bool = False) -> str:
    """Return the command that fetches the minutes of a range; with ``refetch`` also those that are stored."""
    span = f"--from {first:%Y-%m-%dT%H:%MZ} --to {last:%Y-%m-%dT%H:%MZ}"
    return f"{command(simulated=simulated)} backfill {span}{' --refetch' if refetch else ''}"


def _program() -> str:
    """Return what is called: the checkout's own script, else the one that was installed beside this Python."""
    own = Path(".venv/bin/pricetracker")
    if (PROJECT / own).exists():
        return str(own) if working_directory() == PROJECT else shlex.quote(str(PROJECT / own))
    script = Path(sys.executable).with_name("pricetracker")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m {PROJECT_PACKAGE}.cli"
    on_path = shutil.which("pricetracker")
    return "pricetracker" if on_path and Path(on_path).samefile(script) else shlex.quote(str(script))
