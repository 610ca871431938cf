"""The last settings that could be read, kept in the data folder: by them alarms go on while the present ones cannot be.

They hold the secrets of the settings, so the file is its owner's alone, and no view shows it. It is found without the
settings file, or with one that is damaged: by what can still be made out of that, by ``DAGSTER_HOME``, which `up` sets
for whatever it starts, or beside the settings file.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from pricetracker_dagster.errors import plain
from pricetracker_dagster.files.folders import is_same_folder
from pricetracker_dagster.files.replacing import write_text
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.settings.model import Settings, is_channel
from pricetracker_dagster.settings.routes import channel_name, is_channel_name
from pricetracker_dagster.settings.source import PREFIX, SettingsError, config_file, read_file, variables

FILE = "last_settings.json"
"""Its name, in ``state/`` of the data folder."""

_BESIDE = "-simulated"
"""How the folder of invented prices is told from that of real ones."""

_WRITTEN_WITHIN = 0.2
"""Seconds that an editor may take to write a settings file in its place."""

_SAID = 500
"""Most characters of what is said of wrong settings."""

_DAMAGES = 20
"""So many wrong values are left out before a kept file counts as lost."""


class LastGood(Settings):
    """Settings as they were: neither the settings file nor the environment is asked, nor where the file lies."""

    @field_validator("data")
    @classmethod
    def _a_folder(cls, data: str) -> str:
        return data

    @property
    def folder(self) -> Path:
        """The data folder in which they were kept."""
        folder = Path(self.data)
        return folder.with_name(f"{folder.name}{_BESIDE}") if self.simulated else folder

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what was kept."""
        return (init_settings,)


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
            if now != self._last or not _file(settings).exists():
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
            self._said = said_of(error)
            return known, self._said
        self._said = None
        return settings, None

    def _load_when_written(self) -> Settings:
        """Load; once more where it fails for the first time: an editor may be writing the file just now."""
        try:
            return self.load()
        except SettingsError:
            if self._said is None:
                time.sleep(_WRITTEN_WITHIN)
            return self.load()


def said_of(error: Exception) -> str:
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
        file = _file(settings)
        kept = {"config": str(config_file()), "settings": _plain(settings)}
        if kept_in(file) != kept or stat.S_IMODE(file.stat().st_mode) & 0o077:
            write_text(file, json.dumps(kept, indent=1), private=True)


def last_good() -> Settings | None:
    """Return the last settings that could be read; None where none were kept, or they cannot be found."""
    for folder, is_named in _folders():
        kept = kept_in(folder / "state" / FILE)
        if kept and (is_named or _is_of_this_file(kept)) and (found := _restored(kept.get("settings"), folder)):
            return found
    return None


def pinned(settings: Settings, folder: Path) -> Settings | None:
    """Return settings as they are, in a data folder, independent of file and environment."""
    return _restored(_plain(settings), folder)


def _file(settings: Settings) -> Path:
    return settings.state / FILE


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it, secrets as well."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {field.alias or name: _plain(getattr(value, name)) for name, field in fields.items()}
    if isinstance(value, time_of_day):
        return value.isoformat("minutes")
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _restored(values: Any, folder: Path) -> Settings | None:
    """Make settings of what was kept in a folder. What an other version kept, or is damaged, takes its default."""
    if not isinstance(values, dict):
        return None
    name = folder.name.removesuffix(_BESIDE) if values.get("simulated") else folder.name
    values = {**values, "data": str(folder.absolute().with_name(name))}
    for _ in range(_DAMAGES):
        if isinstance(values.get("alerts"), dict):
            values["alerts"] = _with_usable_channels(values["alerts"])
        try:
            return LastGood(**values)
        except ValidationError as error:
            [details, *_] = error.errors()
            place = details["loc"]
            # a table that lacks something, as what was just left out, is of no use
            if not _left_out(values, place[:-1] if details["type"] == "missing" else place):
                return None
        except (ValueError, TypeError, RecursionError):
            return None
    return None


def _with_usable_channels(alerts: dict[str, Any]) -> dict[str, Any]:
    """Return what was kept of the alerts without channels that lead nowhere any more: one would have all refused.

    A route that is left without any is left out, one whose rules are gone is for every rule: too much is told rather
    than nothing.
    """
    routes = [dict(each) for each in _listed(alerts.get("routes")) if isinstance(each, dict)]
    lists = [(route, key) for route in routes for key in ("channels", "escalate_to")]
    for table, key in ((alerts := {**alerts}, "channels"), *lists):
        table[key] = [each for each in _listed(table.get(key)) if isinstance(each, str) and _leads_somewhere(each)]
    told = [each for table, key in ((alerts, "channels"), *lists) for each in table[key]]
    names = {channel_name(each) for each in told if not is_channel_name(each)}
    rules = {each.get("name") for each in _listed(alerts.get("rules")) if isinstance(each, dict)}
    for route, key in lists:
        route[key] = [each for each in route[key] if not is_channel_name(each) or each in names]
    for route in routes:
        if not route["escalate_to"]:
            route.pop("escalate_after_minutes", None)
        match = route.get("match")
        if isinstance(match, dict) and match.get("rules"):
            route["match"] = {**match, "rules": [each for each in _listed(match["rules"]) if each in rules] or None}
    return {**alerts, "routes": [route for route in routes if route["channels"]]}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _leads_somewhere(channel: str) -> bool:
    return is_channel_name(channel) or is_channel(channel)


def _left_out(values: Any, location: tuple[int | str, ...]) -> bool:
    """Leave a value out; False where there is nothing to leave out."""
    *outer, last = location or [None]
    for part in outer:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return False
    try:
        del values[last]
    except (LookupError, TypeError):
        return False
    return True


def _folders() -> Iterator[tuple[Path, bool]]:
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
    beside = folder.with_name(f"{folder.name}{_BESIDE}") if folder.name else folder
    # where it cannot be made out, the one that was kept last
    both = [beside, folder] if simulated is None and _changed(beside) > _changed(folder) else [folder, beside]
    yield from ((each, True) for each in ([beside] if simulated else [folder] if simulated is False else both))
    with suppress(OSError):
        found = sorted(file.parent.glob(f"*/state/{FILE}"), key=lambda each: each.stat().st_mtime, reverse=True)
        yield from ((each.parent.parent, False) for each in found)


def _changed(folder: Path) -> float:
    with suppress(OSError):
        return (folder / "state" / FILE).stat().st_mtime
    return 0.0


def _is_of_this_file(kept: dict[str, Any]) -> bool:
    """Say whether settings were read from the settings file of now, or nobody can tell."""
    try:
        return isinstance(kept.get("config"), str) and is_same_folder(kept["config"], config_file())
    except SettingsError:
        return True
    except (OSError, ValueError):
        return False


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
