"""Settings as a small file holds them: secrets in clear, and what another version wrote or a disk damaged left out."""

import json
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from pricetracker_dagster.settings.channels import channel_name, is_channel, is_channel_name
from pricetracker_dagster.settings.folder import SIMULATED_SUFFIX, simulated_folder
from pricetracker_dagster.settings.model import Settings

_DAMAGES = 20
"""So many wrong values are left out before a kept file counts as lost."""

_CHANNELS = ("channels", "escalate_to")
"""The keys of a route that list channels."""


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
        return simulated_folder(folder) if self.simulated else folder

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what was kept."""
        del settings_cls
        return (init_settings,)


def as_json(settings: Settings) -> Any:
    """Return settings as JSON holds them, secrets as well."""

    def plain(value: SecretStr | time_of_day) -> str:
        return value.get_secret_value() if isinstance(value, SecretStr) else value.isoformat("minutes")

    return json.loads(json.dumps(settings.model_dump(by_alias=True), default=plain))


def restored(values: Any, folder: Path) -> Settings | None:
    """Make settings of what was kept in a folder. What another version kept, or is damaged, takes its default."""
    if not isinstance(values, dict):
        return None
    name = folder.name.removesuffix(SIMULATED_SUFFIX) if values.get("simulated") else folder.name
    values = {**values, "data": str(folder.absolute().with_name(name))}
    for _ in range(_DAMAGES):
        if isinstance(values.get("alerts"), dict):
            values["alerts"] = _with_usable_channels(values["alerts"])
        try:
            return LastGood(**values)
        except ValidationError as error:
            [details, *_] = error.errors()
            place = details["loc"]
            # a table without a key that it must have, e.g. one that was just left out, is of no use
            if not _left_out(values, place[:-1] if details["type"] == "missing" else place):
                return None
        except (ValueError, TypeError, RecursionError):
            return None
    return None


def _with_usable_channels(alerts: dict[str, Any]) -> dict[str, Any]:
    """Return what was kept of the alerts without channels that lead nowhere any more: one would have all refused.

    A route that is left without any is left out.
    """
    channels = _usable(alerts.get("channels"))
    routes = [
        {**each, **{key: _usable(each.get(key)) for key in _CHANNELS}}
        for each in _listed(alerts.get("routes"))
        if isinstance(each, dict)
    ]
    told = [*channels, *(each for route in routes for key in _CHANNELS for each in route[key])]
    names = {channel_name(each) for each in told if not is_channel_name(each)}
    rules = [each.get("name") for each in _listed(alerts.get("rules")) if isinstance(each, dict)]
    routes = [_to_what_there_is(route, names, rules) for route in routes]
    return {**alerts, "channels": channels, "routes": [route for route in routes if route["channels"]]}


def _to_what_there_is(route: dict[str, Any], names: set[str], rules: list[Any]) -> dict[str, Any]:
    """Return a route without names of channels and rules that are gone.

    One whose rules are all gone is for every rule: too many messages rather than none.
    """
    known = {key: [each for each in route[key] if not is_channel_name(each) or each in names] for key in _CHANNELS}
    route = {**route, **known}
    if not route["escalate_to"]:
        route.pop("escalate_after_minutes", None)
    match = route.get("match")
    if isinstance(match, dict) and match.get("rules"):
        route["match"] = {**match, "rules": [each for each in _listed(match["rules"]) if each in rules] or None}
    return route


def _usable(channels: Any) -> list[str]:
    """Return the channels of a list that are names, or URLs that apprise can send to."""
    texts = [each for each in _listed(channels) if isinstance(each, str)]
    return [each for each in texts if is_channel_name(each) or is_channel(each)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _left_out(values: Any, location: tuple[int | str, ...]) -> bool:
    """Leave a value out; False where there is nothing to leave out."""
    try:
        *outer, last = location
        for part in outer:
            values = values[part]
        del values[last]
    except (LookupError, TypeError, ValueError):
        return False
    return True
