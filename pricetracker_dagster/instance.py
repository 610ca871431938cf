"""The Dagster instance that belongs to a data folder: ``<data>/dagster``, with the project's dagster.yaml."""

from pathlib import Path

import dagster as dg

from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.settings import PROJECT, Settings


def dagster_home(settings: Settings) -> Path:
    """Return the instance's folder, made ready: it exists and holds the project's ``dagster.yaml``."""
    home = settings.folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    ours = _dagster_yaml().read_text(encoding="utf-8")
    theirs = home / "dagster.yaml"
    if not theirs.exists() or theirs.read_text(encoding="utf-8") != ours:
        write_text(theirs, ours)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance of the data folder, in which the runs of ``up`` and of the command line are recorded."""
    return dg.DagsterInstance.from_config(str(dagster_home(settings)))


def _dagster_yaml() -> Path:
    """Return the project's file: at the root of a checkout, beside this module in an installed package."""
    checkout = PROJECT / "dagster.yaml"
    return checkout if checkout.exists() else Path(__file__).with_name("dagster.yaml")
