"""The Dagster instance of a data folder, ``<data>/dagster``: made ready, opened, its errors put into plain words."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._check import CheckError
from sqlalchemy.exc import SQLAlchemyError

from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.files.data_folder import DataFolder
from pricetracker_dagster.instance import dagster_yaml
from pricetracker_dagster.instance.once import once
from pricetracker_dagster.process.secrets import shown_url
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.errors import repair_command
from pricetracker_dagster.store.repairing.databases import damaged_databases
from pricetracker_dagster.store.writing import LEAST_FREE


class InstanceError(PricetrackerError):
    """What Dagster keeps of its runs and schedules cannot be used. The message says which file, why and the way out."""


def dagster_home(settings: Settings) -> Path:
    """Return the instance's folder, which exists and holds a readable ``dagster.yaml``, ours or a user's own."""
    return _made_ready(settings)[0]


def check_dagster_yaml(settings: Settings, warn: Callable[[str], object]) -> None:
    """Open the instance once where its dagster.yaml is a user's own, before anything relies on it.

    ``warn`` is given a line where that file lacks a setting that we rely on.

    Raises:
        InstanceError: the instance cannot be opened by that file.
    """
    if not _made_ready(settings)[1]:
        with open_instance(settings, warn=warn):
            pass


def is_kept(home: Path) -> bool:
    """Say whether an instance was ever opened in a folder: looking at one that was not would make it."""
    sqlite = (home / "schedules" / "schedules.db", home / "history" / "runs.db")
    return dagster_yaml.names_storage(home) or all(file.exists() for file in sqlite)


@contextmanager
def open_instance(
    settings: Settings, *, warn: Callable[[str], object] = lambda _: None
) -> Iterator[dg.DagsterInstance]:
    """Open the instance of the data folder, in which the runs of ``up`` and of the command line are recorded.

    ``warn`` is given a line where a dagster.yaml of the user's lacks a setting that we rely on.

    Raises:
        InstanceError: it cannot be opened, or its databases cannot be used, also later in the block.
    """
    home, is_ours = _made_ready(settings)
    with opened(settings.data_folder) as instance:
        if not is_ours and (lacking := list(dagster_yaml.absent(instance))):
            warn(
                f"Warning: {home / dagster_yaml.FILE} is your own and lacks {', '.join(lacking)}: "
                f"take what is missing from {dagster_yaml.project_file()}"
            )
        yield instance


@contextmanager
def opened(folder: DataFolder) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a data folder as it is.

    Raises:
        InstanceError: it cannot be opened, or its databases cannot be used, also later in the block.
    """
    try:
        once()
        with _instance_in(folder.dagster_home) as instance:
            yield instance
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise InstanceError(in_plain_words(error, folder)) from error


def _instance_in(home: Path) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.from_config(str(home))
    except (yaml.YAMLError, ValueError, CheckError, dg.DagsterInvalidConfigError) as error:
        raise InstanceError(
            f"{home / dagster_yaml.FILE} cannot be used: {_why_refused(error)}: correct the file, or delete it: "
            "then the project's own is put there"
        ) from error


def _made_ready(settings: Settings) -> tuple[Path, bool]:
    """Make the instance's folder ready, and say whether its dagster.yaml is the project's."""
    home = settings.data_folder.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    try:
        return home, dagster_yaml.renew(settings.data_folder)
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        file = home / dagster_yaml.FILE
        if file.is_file() and os.access(file, os.R_OK):
            raise  # it cannot be written
        raise InstanceError(f"{file} cannot be read: {error.strerror}: check who owns it, or move it away") from error


def _why_refused(error: Exception) -> str:
    """Say why Dagster takes no dagster.yaml, without a value that stands in it: it may be a password."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"it is not valid YAML: {error.problem}, line {error.problem_mark.line + 1}"
    if isinstance(error, UnicodeDecodeError | yaml.reader.ReaderError):
        return "it is not a text in UTF-8"
    said = shown_url(str(error).removeprefix("Failure condition: "))
    for end in (", instead got", " Expected: ", " is not valid for"):
        said = said.partition(end)[0]
    return plain(re.sub(r'Value ".*?" of', "A value of", said), 300)


def in_plain_words(error: Exception, folder: DataFolder) -> str:
    """Return an error of Dagster's databases as a user reads it: which file, why, the way out."""
    home = folder.dagster_home
    said = plain(str(error).partition("\n[SQL: ")[0], 200)
    for file, what in damaged_databases(home):
        return (
            f"Dagster's database {file} {what}; prices are untouched. Run `{repair_command(folder.path)} --yes`: it "
            "sets the file aside, and Dagster makes a new one"
        )
    if "full" in said or shutil.disk_usage(folder.path).free < LEAST_FREE:
        return f"the disk of {home} is full: free some space ({said})"
    if "readonly" in said or "unable to open" in said or not os.access(home, os.W_OK):
        return f"{home} cannot be written: check who owns it, and whether its disk is read-only ({said})"
    return f"what Dagster keeps in {home} cannot be used: {said}"
