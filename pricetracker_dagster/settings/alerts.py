"""What deserves a message, and who gets it: ``[alerts]`` and ``[[alerts.rules]]``. Routes are in routes.py."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from pricetracker_dagster.candles.metric import Measure
from pricetracker_dagster.errors import did_you_mean, plain
from pricetracker_dagster.settings.channels import channel_name, is_channel, is_channel_name
from pricetracker_dagster.settings.routes import AlertRoute
from pricetracker_dagster.settings.section import Measures, Patterns, Section
from pricetracker_dagster.settings.urls import http_url

RuleKind = Literal["spike", "divergence"]

SPIKE, DIVERGENCE = get_args(RuleKind)

_ONLY_OF: dict[RuleKind, tuple[str, ...]] = {
    SPIKE: ("measures", "factor", "window_minutes", "min_points", "min_average"),
    DIVERGENCE: ("basis_points", "others"),
}
"""The keys that rules of one kind have; all others belong to every rule."""


class AlertRule(Section):
    """A measure exceeds ``factor`` times its average over the minutes before. docs/alerts.md says how it is judged.

    Of kind "divergence": a price differs from the median of the others of its market by more than ``basis_points``.
    """

    name: str = Field(default="spike", pattern=r"^[A-Za-z0-9_-]+$")
    kind: RuleKind = SPIKE
    """What is judged: "spike", a measure against its average, or "divergence", a price against other exchanges."""
    metrics: Patterns = ("*",)
    """Which metrics it is for: names, or patterns such as ``KRAKEN:*``."""
    measures: Measures = ("price", "volume")
    factor: float = Field(default=3.0, gt=0, le=1_000_000)
    window_minutes: int = Field(default=60, ge=1, le=1440)
    min_points: int = Field(default=30, ge=1)
    """Fewer stored minutes in the window: not judged."""
    min_average: float = Field(default=0.0, ge=0)
    """An average not above this is not judged."""
    for_minutes: int = Field(default=1, ge=1, le=1440)
    """So many consecutive minutes must be above before it fires."""
    resolve_after_minutes: int = Field(default=5, ge=1, le=1440)
    """So many minutes without one above, and it is resolved."""
    basis_points: float = Field(default=50.0, ge=0.01, le=1_000_000)
    """How far a price may be from the median of the others: 50 are half a per cent."""
    others: int = Field(default=3, ge=1, le=1000)
    """With prices of fewer others in the same minute it is not judged."""

    @model_validator(mode="before")
    @classmethod
    def _is_called_as_its_kind(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == DIVERGENCE:
            return {"name": DIVERGENCE, **given}
        return given

    @model_validator(mode="after")
    def _has_keys_of_its_kind(self) -> Self:
        for key in sorted(self.model_fields_set & self.keys_of_other_kinds()):
            [other] = [kind for kind, keys in _ONLY_OF.items() if key in keys]
            raise ValueError(
                f'{key} is a key of rules of kind "{other}", and the kind of this one is "{self.kind}": '
                f'leave {key} away, or write kind = "{other}"'
            )
        return self

    @model_validator(mode="after")
    def _points_fit_into_the_window(self) -> Self:
        if self.min_points > self.window_minutes:
            raise ValueError(
                f"min_points {self.min_points} is more than window_minutes {self.window_minutes}: it would never fire; "
                "lower min_points"
            )
        return self

    @model_serializer(mode="wrap")
    def _with_keys_of_its_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        others = self.keys_of_other_kinds()
        return {key: value for key, value in handler(self).items() if key not in others}

    def keys_of_other_kinds(self) -> frozenset[str]:
        """Return the keys that a rule of this kind does not have."""
        return frozenset(key for kind, keys in _ONLY_OF.items() if kind != self.kind for key in keys)

    @property
    def judged_measures(self) -> tuple[Measure, ...]:
        """The measures that it judges, each once: of a divergence it is the price."""
        return ("price",) if self.kind == DIVERGENCE else tuple(dict.fromkeys(self.measures))

    @property
    def limit(self) -> float:
        """What has to be exceeded: a factor, or of a divergence basis points."""
        return self.basis_points if self.kind == DIVERGENCE else self.factor

    @property
    def lookback_minutes(self) -> int:
        """How many minutes before a minute count where it is judged."""
        return 0 if self.kind == DIVERGENCE else self.window_minutes


def _known_to_apprise(channel: SecretStr) -> SecretStr:
    if not is_channel(channel.get_secret_value()):
        raise ValueError(
            "no URL that apprise can use: write e.g. slack://TokenA/TokenB/TokenC or json://host/path; "
            "see the apprise documentation"
        )
    return channel


class AlertSettings(Section):
    """What deserves a message, and who gets it."""

    rules: tuple[AlertRule, ...] = Field(default=(AlertRule(),), examples=[AlertRule(kind=DIVERGENCE, name=DIVERGENCE)])
    channels: tuple[Annotated[SecretStr, AfterValidator(_known_to_apprise)], ...] = ()
    """apprise URLs. They hold secrets."""
    max_age_minutes: int = Field(default=15, ge=1, le=525_600)
    """Alerts of older minutes are recorded but not sent; a message that no channel takes is given up after as long."""
    repeat_minutes: int = Field(default=60, ge=0, le=525_600)
    """A reminder as often while it lasts; 0 = none."""
    missed_grace_minutes: int = Field(default=2, ge=0, le=1440)
    """How long after its end a minute may still come before it is missed."""
    incident_resolve_after_minutes: int = Field(default=5, ge=1, le=1440)
    """So many minutes in a row must be stored before a metric is back; an incident ends when all its metrics are."""
    keep_days: int = Field(default=365, ge=1, le=36_525)
    """How long resolved alerts and incidents are kept, with their messages; what is open stays. What the last
    collect.heal_days may still change stays, too."""
    heartbeat_url: SecretStr = SecretStr("")
    """Requested after each good tick; a service that hears nothing for a while says so."""
    routes: tuple[AlertRoute, ...] = ()
    """Who gets which messages; without one every channel gets all. docs/alerts.md says more."""

    @field_validator("rules")
    @classmethod
    def _no_name_twice(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        for i, rule in enumerate(rules):
            if rule.name in [other.name for other in rules[:i]]:
                raise ValueError(f'alerts.rules[{i}] name "{rule.name}" is listed twice: give it another')
        return rules

    @field_validator("routes")
    @classmethod
    def _lead_to_what_there_is(cls, routes: tuple[AlertRoute, ...], info: ValidationInfo) -> tuple[AlertRoute, ...]:
        if not {"rules", "channels"} <= info.data.keys():  # a mistake in these is reported already
            return routes
        rules = [rule.name for rule in info.data["rules"]]
        told = [*info.data["channels"], *(each for route in routes for each in (*route.channels, *route.escalate_to))]
        urls = [each.get_secret_value() for each in told if not is_channel_name(each.get_secret_value())]
        names = list(dict.fromkeys(map(channel_name, urls)))
        for i, route in enumerate(routes):
            for j, name in enumerate(route.match.rules or ()):
                if name not in rules:
                    unknown = f'"{plain(name)}": no such rule{did_you_mean(name, sorted(rules))}'
                    raise ValueError(f"alerts.routes[{i}].match.rules[{j}] {unknown}")
            for key, channels in (("channels", route.channels), ("escalate_to", route.escalate_to)):
                for j, channel in enumerate(channels):
                    if wrong := _wrong_with(channel.get_secret_value(), names):
                        raise ValueError(f"alerts.routes[{i}].{key}[{j}] {wrong}")
        return routes

    @field_validator("heartbeat_url")
    @classmethod
    def _a_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            http_url(url.get_secret_value(), "https://…")
        return url


def _wrong_with(channel: str, names: Sequence[str]) -> str | None:
    """Return what is wrong with a channel of a route, an apprise URL or the name of one; None where nothing is."""
    if is_channel_name(channel):
        return None if channel in names else f'"{channel}": no channel of that name{did_you_mean(channel, names)}'
    if is_channel(channel):
        return None
    return (
        "(not shown, it may hold secrets): neither a URL that apprise can use nor the name of a channel: "
        "write e.g. json://host/path, or a name as `pricetracker alerts test` shows it"
    )
