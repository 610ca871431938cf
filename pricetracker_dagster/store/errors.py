"""The errors of the store: which file of which table cannot be read or written, what is lost and the way out.

Here belongs the one error of the store and its messages. What is wrong with a table is found in damage.py and log.py.
"""

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.files.data_folder import DataFolder, TableLocation
from pricetracker_dagster.store.damage import Damage


class StoreError(PricetrackerError):
    """A table cannot be read or written. The message says which file of which table, what is lost and the way out."""

    def __init__(self, message: str, table: str, damage: Damage | None = None) -> None:
        """Keep the table's name, and its file that is damaged or gone; None where the reason is e.g. a full disk."""
        super().__init__(message)
        self.table = table
        self.damage = damage


def is_damaged(found: Damage, folder: DataFolder) -> StoreError:
    """Return the error for a damaged file."""
    command = repair_command(folder.path)
    way_out = f"Run `{command}`: it shows what is wrong in {folder.path}; with --yes it mends it"
    return StoreError(f"{found}. {way_out}", found.table, found)


def is_full(table: TableLocation) -> StoreError:
    """Return the error for a disk without room."""
    return StoreError(f"the disk of {table.url} is full: nothing was stored; free some space", table.name)


def is_refused(table: TableLocation, error: BaseException | None) -> StoreError | None:
    """Return the error for what delta-rs raised where the disk or the rights of the user are why; else None."""
    said = str(error or "")
    if "os error 28" in said or "No space left" in said:
        return is_full(table)
    if re.search(r"os error (30|13|1)\b|Permission denied|Read-only", said):
        return StoreError(
            f"{table.url} cannot be written or read by this user: {plain(said, 200)}; check who owns it, and whether "
            "its disk is read-only",
            table.name,
        )
    return None


def cannot_be_used(table: TableLocation, error: BaseException | None) -> StoreError:
    """Return the error for whatever else delta-rs raised."""
    said = plain(error or "", 200)
    return StoreError(f"the table {table.name} in {table.url.rpartition('/')[0]} cannot be used: {said}", table.name)


def repair_command(folder: Path) -> str:
    """Return the command that shows and mends what is wrong with a data folder."""
    return f"pricetracker{simulated_option(folder)} repair"


def simulated_option(folder: Path) -> str:
    """Return the option of the command line that chooses a data folder, if it needs one."""
    return " --simulated" if folder.name.endswith("-simulated") else ""


@contextmanager
def access(folder: Path, table: str) -> Iterator[None]:
    """Say in plain words which file cannot be read in the block, and who owns it: that is no damage.

    Raises:
        StoreError: a file of the folder or of the table (empty: of none) cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(_no_access(error, folder), table) from error


def _no_access(error: OSError, folder: Path) -> str:
    """Say in plain words why a file of a data folder could not be read, and the way out."""
    file = Path(str(error.filename or folder))
    if not isinstance(error, PermissionError):
        return (
            f"{file} cannot be read: {error.strerror}. That tells nothing of what is in it, so nothing is mended: look "
            "after the disk and the memory of this machine, then try again"
        )
    owner = "another user"
    for place in (file, *file.parents):  # the nearest that this user may look at
        with suppress(OSError, KeyError):
            owner = place.owner()
            break
    me = str(os.geteuid())
    with suppress(KeyError):
        me = pwd.getpwuid(os.geteuid()).pw_name
    return (
        f"{file} belongs to {owner} and cannot be read by {me}: {error.strerror}. It is not damaged, and nothing is "
        f"mended: run `sudo chown -R {me} {folder}`, or let all read it with `sudo chmod -R a+rX {folder}`"
    )
