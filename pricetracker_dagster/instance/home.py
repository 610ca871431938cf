"""The Dagster instance that belongs to a data folder: ``<data>/dagster``, with the project's dagster.yaml."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.settings import PROJECT, Settings
from pricetracker_dagster.store.delta import LEAST_FREE, repair_command
from pricetracker_dagster.store.repair import damaged_databases


class InstanceError(PricetrackerError):
    """What Dagster keeps of its runs and schedules cannot be used. The message says which file, why and the way out."""


def dagster_home(settings: Settings) -> Path:
    """Return the instance's folder, made ready: it exists and holds the project's ``dagster.yaml``."""
    home = settings.data_folder.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    ours = _dagster_yaml().read_text(encoding="utf-8")
    theirs = home / "dagster.yaml"
    if not theirs.exists() or theirs.read_bytes() != ours.encode():  # whatever is in it: it is not a user's to change
        write_text(theirs, ours)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance of the data folder, in which the runs of ``up`` and of the command line are recorded.

    Raises:
        InstanceError: its databases cannot be used, also later in the block.
    """
    with (
        plain_of_databases(settings.data_folder),
        dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance,
    ):
        yield instance


@contextmanager
def plain_of_databases(folder: DataFolder) -> Iterator[None]:
    """Put in plain words what SQLite says of the instance of a data folder.

    Raises:
        InstanceError: it said something.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise InstanceError(_said(error, folder)) from error


def _said(error: Exception, folder: DataFolder) -> str:
    home = folder.dagster_home
    said = plain(str(error).partition("\n[SQL: ")[0], 200)
    for file, what in damaged_databases(home):
        command = f"{repair_command(folder.path)} --yes"
        return (
            f"Dagster's database {file} {what}; prices are untouched. Run `{command}`: it sets the file aside, and "
            "Dagster makes a new one"
        )
    if "full" in said or shutil.disk_usage(folder.path).free < LEAST_FREE:
        return f"the disk of {home} is full: free some space ({said})"
    if "readonly" in said or "unable to open" in said or not os.access(home, os.W_OK):
        return f"{home} cannot be written: check who owns it, and whether its disk is read-only ({said})"
    return f"what Dagster keeps in {home} cannot be used: {said}"


def _dagster_yaml() -> Path:
    """Return the project's file: at the root of a checkout, beside this module in an installed package."""
    checkout = PROJECT / "dagster.yaml"
    return checkout if checkout.exists() else Path(__file__).with_name("dagster.yaml")
