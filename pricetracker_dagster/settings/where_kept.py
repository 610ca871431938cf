"""In which data folder the last good settings may lie, where the settings themselves cannot be read.

By what can still be made out of the settings file, by ``DAGSTER_HOME``, which `up` sets for whatever it starts, or
beside the settings file.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pricetracker_dagster.files.data_folder import DataFolder, StateFile
from pricetracker_dagster.settings.folder import simulated_folder
from pricetracker_dagster.settings.source import PREFIX, SettingsError, config_file, read_file, variables


def likely_folders() -> Iterator[tuple[Path, bool]]:
    """Yield data folders that may be the one, likely ones first; with each, whether the settings themselves name it."""
    file = None
    with suppress(SettingsError):
        file = config_file()
    home = os.environ.get("DAGSTER_HOME")
    if home:
        yield Path(home).parent, False
    if file is None:
        return
    data, simulated = _made_out(file)
    folder = file.parent / data
    beside = simulated_folder(folder) if folder.name else folder
    # where it cannot be made out, the one that was kept last
    both = [beside, folder] if simulated is None and _changed(beside) > _changed(folder) else [folder, beside]
    yield from ((each, True) for each in ([beside] if simulated else [folder] if simulated is False else both))
    with suppress(OSError):
        found = sorted(file.parent.glob(str(kept_file(Path("*")))), key=lambda each: each.stat().st_mtime, reverse=True)
        yield from ((each.parent.parent, False) for each in found)


def kept_file(folder: Path) -> Path:
    """Return the file of a data folder in which the last good settings are kept."""
    return DataFolder(folder).state / StateFile.LAST_SETTINGS


def _changed(folder: Path) -> float:
    with suppress(OSError):
        return kept_file(folder).stat().st_mtime
    return 0.0


def _made_out(file: Path) -> tuple[Path, bool | None]:
    """Make out where a settings file that is wrong somewhere keeps its data; None: whether simulated is unknown."""
    values: dict[str, Any]
    simulated: Any
    try:
        values, otherwise = read_file(file), False
    except SettingsError:
        values, otherwise = _keys_at_the_top(file), None
    values |= {name.upper().removeprefix(PREFIX).lower(): value for name, value in variables().items()}
    data, simulated = values.get("data"), values.get("simulated", otherwise)
    if isinstance(simulated, str):
        simulated = {"true": True, "1": True, "false": False, "0": False}.get(simulated.lower())
    folder = Path("data")
    with suppress(RuntimeError):  # no such user
        folder = Path(data if isinstance(data, str) and data.strip() else "data").expanduser()
    return folder, simulated if isinstance(simulated, bool) else None


def _keys_at_the_top(file: Path) -> dict[str, Any]:
    """Read what is said before the first table of a file that is no TOML, line by line."""
    values: dict[str, Any] = {}
    with suppress(OSError):
        text = file.read_bytes().decode("utf-8-sig", "replace")
        for line in re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines():
            if found := re.fullmatch(r"""\s*data\s*=\s*(["'])(.+?)\1\s*(#.*)?""", line):
                values["data"] = found[2]
            elif found := re.fullmatch(r"\s*simulated\s*=\s*(true|false)\s*(#.*)?", line):
                values["simulated"] = found[1] == "true"
    return values
