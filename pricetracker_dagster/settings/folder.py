"""The data folder as a setting: which paths are refused, and which folder invented prices have."""

import re
from pathlib import Path

from pricetracker_dagster.errors import in_one_line, is_utf8

SIMULATED_SUFFIX = "-simulated"
"""What is added to the name of the data folder for invented prices."""


def simulated_folder(folder: Path) -> Path:
    """Return the folder of invented prices that belongs to a data folder."""
    return folder.with_name(f"{folder.name}{SIMULATED_SUFFIX}")


def check_data_folder(data: str, base: Path) -> None:
    """Refuse a data folder in which no data can be kept.

    Args:
        data: as it is set.
        base: what a relative path is relative to, the folder of the settings file.

    Raises:
        ValueError: no data can be kept there.
    """
    if "://" in data:
        raise ValueError("object stores are not supported by this version: name a folder on this machine")
    if not data.strip():
        raise ValueError('data is empty: name a folder, e.g. "data"')
    if re.search(r"[\x00-\x1f\x7f]", data):
        raise ValueError("a control character is in it: name a folder without one")
    if re.search(r"\$(\w|\{)", data):
        raise ValueError('variables are not put in here: write the path itself, "~/…" for the home folder')
    try:
        folder = Path(data).expanduser()
    except RuntimeError:
        raise ValueError("no such user: name a folder by its path") from None
    if not (base / folder).name:
        raise ValueError("not a folder to keep data in: name one below it")
    _check_names(base / folder)
    check_is_no_file(base / folder)


def check_is_no_file(folder: Path) -> None:
    """Refuse a folder that is a file, or lies below one, by a ValueError."""
    try:
        for place in (folder, *folder.parents):
            if place.exists() and not place.is_dir():
                raise ValueError(f"{place} is a file: name a folder")
    except PermissionError:  # told by what first opens it
        pass
    except OSError as error:  # too long a name, a link to itself
        raise ValueError(f"{error.strerror}: name another folder") from None


def _check_names(folder: Path) -> None:
    """Refuse a folder whose path Delta Lake or DuckDB take for another one.

    delta-rs 1.6 reads a backslash as a slash and ``%20`` as a blank, DuckDB 2.0 what follows a ``?`` as options: rows
    would be looked for in another folder.
    """
    path = str(folder)
    for odd, what in ((r"\\", "a backslash"), (r"\?", "a question mark"), (r"%[0-9A-Fa-f]{2}", "a % with two digits")):
        if found := re.search(odd, path):
            raise ValueError(f'{what} ("{found[0]}") is in {path}: name a folder without one, or move it')
    if not is_utf8(path):
        raise ValueError(f"{in_one_line(path)} is not in UTF-8: name a folder whose path is, or move it")
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise ValueError(f"a control character is in {path!r}: name a folder without one, or move it")
    if "_delta_log" in folder.parts:
        raise ValueError(f'a folder of {path} is called "_delta_log", as the logs of tables are: name another')
