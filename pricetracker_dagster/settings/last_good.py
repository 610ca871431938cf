"""The last settings that could be read, kept in the data folder: by them alarms go on while the present ones cannot be.

They hold the secrets of the settings, so the file is its owner's alone, and no view shows it. What the file holds is
in kept.py, where it is looked for in where_kept.py.
"""

import json
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pricetracker_dagster.errors import plain
from pricetracker_dagster.files.folders import is_same_folder
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.settings.kept import as_json, restored
from pricetracker_dagster.settings.model import Settings
from pricetracker_dagster.settings.source import SettingsError, config_file
from pricetracker_dagster.settings.where_kept import kept_file, likely_folders

WRITTEN_WITHIN = 0.2
"""Seconds that an editor may take to write a settings file in its place."""

_SAID = 500
"""Most characters of a message about wrong settings."""


class SettingsKeeper:
    """Loads settings and keeps those that could be read, for the time when they cannot.

    Args:
        load: returns the settings.
        keeps: whether what is read is kept.
    """

    def __init__(self, load: Callable[[], Settings], *, keeps: bool = True) -> None:
        """Load nothing yet."""
        self._load = load
        self._keeps = keeps
        self._last: tuple[Settings, Path] | None = None
        self._said: str | None = None

    def load(self) -> Settings:
        """Return the settings in force, and keep them.

        Raises:
            SettingsError: they cannot be used.
        """
        settings = self._load()
        if self._keeps:
            now = settings, settings.folder
            if now != self._last or not kept_file(settings.folder).exists():
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
            known = last_good() or (None if self._last is None else pinned(*self._last))
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
        file = kept_file(settings.folder)
        kept = {"config": str(config_file()), "settings": as_json(settings)}
        if kept_in(file) != kept or stat.S_IMODE(file.stat().st_mode) & 0o077:
            write_text(file, json.dumps(kept, indent=1), private=True)


def last_good() -> Settings | None:
    """Return the last settings that could be read; None where none were kept, or they cannot be found."""
    for folder, is_named in likely_folders():
        kept = kept_in(kept_file(folder))
        if kept and (is_named or _is_of_this_file(kept)) and (found := restored(kept.get("settings"), folder)):
            return found
    return None


def pinned(settings: Settings, folder: Path) -> Settings | None:
    """Return settings as they are, in a data folder, independent of file and environment."""
    return restored(as_json(settings), folder)


def _is_of_this_file(kept: dict[str, Any]) -> bool:
    """Say whether settings were read from the present settings file; also where that cannot be known."""
    try:
        return isinstance(kept.get("config"), str) and is_same_folder(kept["config"], config_file())
    except SettingsError:
        return True
    except (OSError, ValueError):
        return False
