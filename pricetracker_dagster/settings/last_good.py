"""The last settings that could be read, kept in the data folder: by them alarms go on while the present ones cannot be.

They hold the secrets of the settings, so the file is its owner's alone, and no view shows it. What it holds is in
kept.py. It is looked for by what can still be made out of the settings file, by ``DAGSTER_HOME``, which `up` sets for
whatever it starts, and beside the settings file.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pricetracker_dagster.errors import plain
from pricetracker_dagster.files.data_folder import DataFolder, StateFile, is_same_folder
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.settings.folder import simulated_folder
from pricetracker_dagster.settings.kept import as_json, restored
from pricetracker_dagster.settings.model import Settings
from pricetracker_dagster.settings.source import PREFIX, SettingsError, config_file, read_file, variables

WRITTEN_WITHIN = 0.2
"""Seconds that an editor may take to write a settings file in its place."""

_SAID = 500
"""Most characters of a message about wrong settings."""


class SettingsKeeper:
    """Loads settings and, where it keeps them, keeps those that could be read for the time when they cannot."""

    def __init__(self, load: Callable[[], Settings], *, keeps: bool = True) -> None:
        """Load nothing yet."""
        self._load = load
        self._keeps = keeps
        self._last: tuple[Settings, Path] | None = None
        self._said: str | None = None

    def load(self) -> Settings:
        """Return the settings in force, and keep them; raise SettingsError where they cannot be used."""
        settings = self._load()
        if self._keeps:
            now = settings, settings.folder
            if now != self._last or not _kept_file(settings.folder).exists():
                keep(settings)
            self._last = now
        return settings

    def load_or_last_good(self) -> tuple[Settings, str | None]:
        """Return the settings in force, or the last that could be read and what is wrong with those of now.

        Raises:
            SettingsError: they cannot be used, and no others are known.
        """
        try:
            settings = self._load_when_written()
        except MemoryError:
            raise
        except Exception as error:  # a mistake of ours while reading them keeps no alarm from being told either
            known = last_good()
            if known is None and self._last is not None:
                settings, folder = self._last
                known = restored(as_json(settings), folder)  # independent of file and environment
            if known is None:
                raise
            self._said = message_of(error)
            return known, self._said
        self._said = None
        return settings, None

    def _load_when_written(self) -> Settings:
        """Load; once more where it fails for the first time: an editor may be writing the file just now."""
        try:
            return self.load()
        except SettingsError:
            if self._said is None:
                time.sleep(WRITTEN_WITHIN)
            return self.load()


def message_of(error: Exception) -> str:
    """Say what is wrong with settings, in one line."""
    if not isinstance(error, SettingsError):
        return plain(f"a mistake of pricetracker while reading the settings: {type(error).__name__}: {error}", _SAID)
    return plain("; ".join(str(error).splitlines()), _SAID)


def keep(settings: Settings) -> None:
    """Keep settings that were just read, unless these are kept already.

    A disk that takes nothing is no trouble, and where there is no data folder yet none is made.
    """
    with suppress(OSError, SettingsError):
        if not settings.folder.exists():
            return
        file = _kept_file(settings.folder)
        kept = {"config": str(config_file()), "settings": as_json(settings)}
        if kept_in(file) != kept or stat.S_IMODE(file.stat().st_mode) & 0o077:
            write_text(file, json.dumps(kept, indent=1), private=True)


def last_good() -> Settings | None:
    """Return the last settings that could be read; None where none were kept, or they cannot be found."""
    for folder, is_named in _likely_folders():
        kept = kept_in(_kept_file(folder))
        if kept and (is_named or _is_of_this_file(kept)) and (found := restored(kept.get("settings"), folder)):
            return found
    return None


def _is_of_this_file(kept: dict[str, Any]) -> bool:
    """Say whether settings were read from the present settings file; also where that cannot be known."""
    try:
        return isinstance(kept.get("config"), str) and is_same_folder(kept["config"], config_file())
    except SettingsError:
        return True
    except (OSError, ValueError):
        return False


def _likely_folders() -> Iterator[tuple[Path, bool]]:
    """Yield data folders that may be the one, likely ones first; with each, whether the settings themselves name it."""
    file = None
    with suppress(SettingsError):
        file = config_file()
    if home := os.environ.get("DAGSTER_HOME"):
        yield Path(home).parent, False
    if file is None:
        return
    data, simulated = _made_out(file)
    folder = file.parent / data
    beside = simulated_folder(folder) if folder.name else folder
    if simulated is None:  # the one that was kept last
        yield from ((each, True) for each in sorted([folder, beside], key=_kept_at, reverse=True))
    else:
        yield (beside if simulated else folder), True
    with suppress(OSError):
        found = [kept.parent.parent for kept in file.parent.glob(str(_kept_file(Path("*"))))]
        yield from ((each, False) for each in sorted(found, key=_kept_at, reverse=True))


def _kept_at(folder: Path) -> float:
    with suppress(OSError):
        return _kept_file(folder).stat().st_mtime
    return 0.0


def _kept_file(folder: Path) -> Path:
    """Return the file of a data folder in which the last good settings are kept."""
    return DataFolder(folder).state / StateFile.LAST_SETTINGS


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
