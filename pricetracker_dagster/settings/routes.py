"""Who is told what: the tables ``[[alerts.routes]]`` of the settings file."""

import difflib
import re
import zoneinfo
from datetime import time
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from pricetracker_dagster.settings.section import AtLeastOne, Measures, Patterns, Section


class RouteMatch(Section):
    """Which alerts and incidents a route is for: those of which all that is set is true."""

    metrics: Patterns | None = None
    """Names, or patterns such as ``KRAKEN:*``; of an incident any one of its metrics."""
    rules: AtLeastOne[str] | None = None
    """Names of rules; an incident has none."""
    measures: Measures | None = None
    """An incident has none."""
    kind: Literal["alert", "incident"] | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.kind == "incident" and (self.rules or self.measures):
            raise ValueError("an incident has neither rule nor measure: leave kind away, or rules and measures")
        return self


class QuietHours(Section):
    """A time of each day when nothing is sent; at its end it is said what lasts."""

    model_config = ConfigDict(serialize_by_alias=True)

    begin: time = Field(alias="from")
    """By the clock on the wall; after ``to`` it goes over midnight."""
    to: time
    time_zone: str
    """As the IANA database names it, e.g. ``Europe/Zurich``."""

    @field_validator("begin", "to", mode="before")
    @classmethod
    def _a_time_of_day(cls, value: Any) -> Any:
        if isinstance(value, time) and value.tzinfo is None and not (value.second or value.microsecond):
            return value  # as TOML can write it, too
        if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
            hour, _, minute = value.partition(":")
            return time(int(hour), int(minute))
        raise ValueError('not a time of day: write e.g. "22:00"')

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # none, a path, a folder of several
            raise ValueError(_no_zone(name)) from None
        return name

    @model_validator(mode="after")
    def _some_of_the_day(self) -> Self:
        if self.begin == self.to:
            raise ValueError(f"from and to are both {self.to:%H:%M}: write two times, or leave quiet_hours away")
        return self


def _no_zone(name: str) -> str:
    """Say that there is no such time zone, and which was meant."""
    known = sorted(zoneinfo.available_timezones())
    if not known:
        return "this machine knows no time zones: install tzdata"
    word = name.strip().replace(" ", "_").lower()
    meant = [zone for zone in known if word in (zone.lower(), zone.rpartition("/")[2].lower())]
    by_lower = {zone.lower(): zone for zone in known}
    meant += [by_lower[close] for close in difflib.get_close_matches(word, by_lower, n=1, cutoff=0.6)]
    return "no such time zone: " + (f"did you mean {meant[0]}?" if meant else 'write e.g. "Europe/Zurich" or "UTC"')


class AlertRoute(Section):
    """Who gets which messages, how often, and when not."""

    match: RouteMatch = Field(default=RouteMatch(), examples=[{"metrics": ["KRAKEN:*"], "kind": "alert"}])
    """Which messages: metrics, rules, measures, kind (alert or incident). Each may be left away; all that are named
    must hold."""
    channels: tuple[SecretStr, ...] = Field(examples=[["slack-3f9a01bc"]])
    """apprise URLs, or names of channels as ``pricetracker alerts test`` shows them."""
    quiet_hours: QuietHours | None = Field(
        default=None, examples=[{"from": "22:00", "to": "07:00", "time_zone": "Europe/Zurich"}]
    )
    """When nothing is sent; at its end it is said what lasts."""
    repeat_minutes: int | None = Field(default=None, ge=0, le=525_600, examples=[30])
    """A reminder as often while it lasts; 0 = none. Left away: alerts.repeat_minutes."""
    escalate_after_minutes: int | None = Field(default=None, ge=1, le=525_600, examples=[15])
    """How long nobody may acknowledge it before others are told."""
    escalate_to: tuple[SecretStr, ...] = Field(default=(), examples=[["pagerduty-0c1d2e3f"]])
    """Who these are; written as channels are."""

    @field_validator("channels")
    @classmethod
    def _at_least_one(cls, channels: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not channels:
            raise ValueError("an empty list: nobody would be told; name a channel")
        return channels

    @model_validator(mode="after")
    def _escalation_is_whole(self) -> Self:
        if self.escalate_to and self.escalate_after_minutes is None:
            raise ValueError("escalate_to is set, escalate_after_minutes is not: set both or neither")
        if not self.escalate_to and self.escalate_after_minutes is not None:
            raise ValueError("escalate_after_minutes is set, escalate_to is not: set both or neither")
        return self
