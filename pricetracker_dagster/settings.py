"""What a user may set: ``pricetracker.toml`` and ``PRICETRACKER_*`` environment variables, checked at load.

Each tick loads the settings afresh, so a changed file takes effect at the next minute. Here belongs what can
be judged from the settings alone; whether an exchange knows a pair is for the exchange to say.
"""

import difflib
import json
import logging
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SettingsSourceError,
)

from pricetracker_dagster.candles import Metric, parse_metric
from pricetracker_dagster.errors import PricetrackerError

CONFIG_VARIABLE = "PRICETRACKER_CONFIG"
PREFIX = "PRICETRACKER_"
SIMULATED = "SIMULATED"
"""The exchange name of every invented price."""

PROJECT = Path(__file__).resolve().parents[1]
"""The folder that holds ``pricetracker.toml`` where no other file is named."""


Measure = Literal["price", "volume", "change_absolute", "change_percentage"]


class SettingsError(PricetrackerError, ValueError):
    """The settings cannot be used. Each line of the message names file, key, value and remedy."""


class Section(BaseModel):
    """A table of the settings file: keys it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExchangeSettings(Section):
    """How one exchange is asked."""

    url: str
    """Root of its REST interface, without a path."""
    requests_per_second: float = Field(gt=0, le=1000)
    """Most requests a second, over all processes of this machine that share the data folder."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    """Longest wait for one answer."""

    @field_validator("url")
    @classmethod
    def _a_url_without_trailing_slash(cls, url: str) -> str:
        if not re.match(r"https?://[^/\s]+", url):
            raise ValueError("not a URL: write e.g. https://api.kraken.com")
        return url.rstrip("/")


class Exchanges(Section):
    """Every exchange that a metric may name, in lower case."""

    kraken: ExchangeSettings = ExchangeSettings(url="https://api.kraken.com", requests_per_second=1.0)
    simulated: ExchangeSettings = ExchangeSettings(url="http://127.0.0.1:8650", requests_per_second=100.0)


class CollectSettings(Section):
    """How a tick collects."""

    budget_seconds: float = Field(default=40.0, ge=1, le=42)
    """A tick asks no exchange any more after this many seconds: it is over before the next begins."""
    heal_days: int = Field(default=7, ge=1, le=90)
    """How far back a tick looks for missed minutes to fetch them after all."""


class UiSettings(Section):
    """Where the Dagster UI listens. It has no login: beyond loopback, put a reverse proxy before it."""

    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    url: str = ""
    """How people reach it, for links in messages, e.g. behind a reverse proxy; empty: host and port."""

    @property
    def link(self) -> str:
        """The UI's address as messages name it, without a trailing slash."""
        return self.url.rstrip("/") or f"http://{self.host}:{self.port}"


def _metric_pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_.:*?]+", text):
        hint = f"; did you mean {text.strip().upper()}?" if re.fullmatch(r"\s*[\w.:*?]+\s*", text) else ""
        raise ValueError(f'"{text}" matches no metric: write e.g. KRAKEN:BTCUSD or KRAKEN:*{hint}')
    return text


class AlertRule(Section):
    """A measure exceeds ``factor`` times its average over the minutes before. docs/alerts.md says how it is judged."""

    name: str = Field(default="spike", pattern=r"^[A-Za-z0-9_-]+$")
    metrics: tuple[Annotated[str, AfterValidator(_metric_pattern)], ...] = ("*",)
    """Which metrics it is for: names, or patterns such as ``KRAKEN:*``."""
    measures: tuple[Measure, ...] = ("price", "volume")
    factor: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    window_minutes: int = Field(default=60, ge=1, le=1440)
    min_points: int = Field(default=30, ge=1)
    """Fewer stored minutes in the window: not judged."""
    min_average: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """An average not above this is not judged."""
    for_minutes: int = Field(default=1, ge=1, le=1440)
    """So many consecutive minutes must be above before it fires."""
    resolve_after_minutes: int = Field(default=5, ge=1, le=1440)
    """So many minutes without one above, and it is resolved."""

    @field_validator("metrics", "measures")
    @classmethod
    def _at_least_one(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError("an empty list: leave the key away, or name one")
        return values

    @model_validator(mode="after")
    def _points_fit_into_the_window(self) -> Self:
        if self.min_points > self.window_minutes:
            raise ValueError(
                f"min_points {self.min_points} is more than window_minutes {self.window_minutes}: it would never fire; "
                "lower min_points"
            )
        return self


def changed_rules(rules: Sequence[AlertRule], instead: Mapping[str, Any]) -> tuple[AlertRule, ...]:
    """Return rules with some of their values changed, checked as those of the file are.

    Raises:
        SettingsError: a rule would be wrong with them.
    """
    try:
        return tuple(AlertRule.model_validate({**rule.model_dump(), **instead}) for rule in rules)
    except ValidationError as error:
        raise SettingsError("\n".join(_said_of_rule(details) for details in error.errors())) from None


def _said_of_rule(details: ErrorDetails) -> str:
    name, message = ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
    return f"{name} {_quoted(details['input'])}: {message[:1].lower()}{message[1:]}" if name else message


class AlertSettings(Section):
    """What deserves a message, and who gets it."""

    rules: tuple[AlertRule, ...] = (AlertRule(),)
    channels: tuple[SecretStr, ...] = ()
    """apprise URLs. They hold secrets."""
    max_age_minutes: int = Field(default=15, ge=1)
    """Alerts of older minutes are recorded but not sent; a message that no channel takes is given up after as long."""
    repeat_minutes: int = Field(default=60, ge=0)
    """A reminder as often while it lasts; 0 = none."""
    missed_grace_minutes: int = Field(default=2, ge=0, le=1440)
    """How long after its end a minute may still come before it is missed."""
    heartbeat_url: SecretStr = SecretStr("")
    """Requested after each good tick; a service that hears nothing for a while says so."""

    @field_validator("rules")
    @classmethod
    def _no_name_twice(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        for i, rule in enumerate(rules):
            if rule.name in {other.name for other in rules[:i]}:
                raise ValueError(f'alerts.rules[{i}] name "{rule.name}" stands there twice: give it another')
        return rules

    @field_validator("channels")
    @classmethod
    def _apprise_knows_them(cls, channels: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for i, channel in enumerate(channels):
            if not is_channel(channel.get_secret_value()):
                raise ValueError(
                    f"alerts.channels[{i}] (not shown, it may hold secrets): no URL that apprise can use: "
                    "write e.g. slack://TokenA/TokenB/TokenC or json://host/path; see the apprise documentation"
                )
        return channels

    @field_validator("heartbeat_url")
    @classmethod
    def _a_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not re.match(r"https?://[^/\s]+", url.get_secret_value()):
            raise ValueError("alerts.heartbeat_url (not shown, it may hold secrets): not a URL: write e.g. https://…")
        return url


def is_channel(url: str) -> bool:
    """Say whether apprise can send to a URL."""
    import apprise  # 0.2 s, for those who have channels

    log_of_apprise()
    return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None


def log_of_apprise() -> logging.Logger:
    """Return apprise's logger, cut off from ours for good: what it says may name a URL and its secrets."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # which names paths when it debugs
    return log


def _known_exchange(text: str) -> str:
    metric = parse_metric(text)
    if metric.exchange == SIMULATED:
        raise ValueError("invented prices are never kept beside real ones: list KRAKEN:… and set simulated = true")
    known = [name.upper() for name in Exchanges.model_fields if name.upper() != SIMULATED]
    if metric.exchange not in known:
        raise ValueError(f"no exchange {metric.exchange}{did_you_mean(metric.exchange, known)}")
    return text


class Settings(BaseSettings):
    """Everything a user may set.

    Raises:
        pydantic.ValidationError: load_settings() turns it into a SettingsError that names the file.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,  # it may hold secrets; load_settings() shows what may be shown
    )

    metrics: tuple[Annotated[str, AfterValidator(_known_exchange)], ...]
    """The metrics to follow, ``EXCHANGE:BASEQUOTE``. Read ``tracked`` instead, which heeds ``simulated``."""
    data: str = "data"
    """The data folder. Relative to the settings file. Read ``folder`` instead."""
    simulated: bool = False
    """Follow the same pairs on the built-in simulator, as ``SIMULATED:…``, in a data folder of their own."""
    keep_runs_hours: int = Field(default=48, ge=1)
    """How long Dagster remembers each tick. Prices are kept for good."""
    exchanges: Exchanges = Exchanges()
    collect: CollectSettings = CollectSettings()
    ui: UiSettings = UiSettings()
    alerts: AlertSettings = AlertSettings()

    @field_validator("metrics")
    @classmethod
    def _some_and_none_twice(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not metrics:
            raise ValueError('metrics is an empty list: name at least one, e.g. "KRAKEN:BTCUSD"')
        for i, metric in enumerate(metrics):
            if metric in metrics[:i]:
                raise ValueError(f'metrics[{i}] "{metric}" stands there twice: remove one')
        return metrics

    @field_validator("data")
    @classmethod
    def _a_folder(cls, data: str) -> str:
        if "://" in data:
            raise ValueError("object stores are not supported by this version: name a folder on this machine")
        if not data.strip():
            raise ValueError('data is empty: name a folder, e.g. "data"')
        try:
            folder = Path(data).expanduser()
        except RuntimeError:
            raise ValueError("no such user: name a folder by its path") from None
        if not (config_file().parent / folder).name:
            raise ValueError("not a folder to keep data in: name one below it")
        return data

    @property
    def tracked(self) -> tuple[Metric, ...]:
        """The metrics to follow now: as listed, or their simulated counterparts."""
        metrics = tuple(parse_metric(text) for text in self.metrics)
        if self.simulated:
            return tuple(dict.fromkeys(Metric(SIMULATED, metric.pair) for metric in metrics))
        return metrics

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """The alert rules in force: as listed, or for the simulated counterparts of their metrics."""
        if not self.simulated:
            return self.alerts.rules
        return tuple(
            rule.model_copy(
                update={"metrics": tuple(re.sub(r"^[^:]+:", f"{SIMULATED}:", each) for each in rule.metrics)}
            )
            for rule in self.alerts.rules
        )

    def place_of(self, metric: Metric) -> str:
        """Return where a tracked metric was listed, as messages name it: ``pricetracker.toml: metrics[2] "…"``."""
        i, text = next((i, text) for i, text in enumerate(self.metrics) if parse_metric(text).pair == metric.pair)
        return f'{_source_of("metrics")}: metrics[{i}] "{text}"'

    @property
    def folder(self) -> Path:
        """The data folder, absolute. Invented prices live in ``<data>-simulated``, never beside real ones."""
        folder = config_file().parent / Path(self.data).expanduser()
        return folder.with_name(f"{folder.name}-simulated") if self.simulated else folder

    @property
    def state(self) -> Path:
        """The folder of small working files that processes share: locks, the allowance of requests."""
        return self.folder / "state"

    def exchange(self, name: str) -> ExchangeSettings:
        """Return how the exchange of that (upper-case) name is asked: the simulator where `up` has started it."""
        found = getattr(self.exchanges, name.lower())
        assert isinstance(found, ExchangeSettings)  # noqa: S101 - metrics name only exchanges that have settings
        if name == SIMULATED and found == Exchanges().simulated and self.simulator_file.exists():
            return found.model_copy(update={"url": self.simulator_file.read_text(encoding="utf-8").strip()})
        return found

    @property
    def simulator_file(self) -> Path:
        """The file in which `up` leaves the address of the simulator that it has started, as long as that runs."""
        return self.state / "simulator.url"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments come before the environment, the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def command(*, simulated: bool) -> str:
    """Return how a person calls the command line for the settings in force."""
    file = config_file()
    named = "" if file == PROJECT / "pricetracker.toml" else f"{CONFIG_VARIABLE}={shlex.quote(str(file))} "
    return f"{named}.venv/bin/pricetracker{' --simulated' if simulated else ''}"


def config_file() -> Path:
    """Return the settings file: ``PRICETRACKER_CONFIG``, else ``pricetracker.toml`` at the project's root."""
    return Path(os.environ.get(CONFIG_VARIABLE) or PROJECT / "pricetracker.toml").expanduser().absolute()


def load_settings(**overrides: Any) -> Settings:
    """Load and check the settings.

    Args:
        overrides: values that come before environment and file, by their top-level name.

    Raises:
        SettingsError: the file is absent or no TOML, or a key or value in file or environment is wrong.
    """
    path = config_file()
    if not path.is_file():
        raise SettingsError(f"{path}: no such settings file; write one or name another with {CONFIG_VARIABLE}")
    unknown = list(_unknown_variables())
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        return Settings(**overrides)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name}: not valid TOML: {error}; see {path}") from error
    except ValidationError as error:
        raise SettingsError("\n".join(_line(details, path) for details in error.errors())) from None
    except SettingsSourceError as error:  # which does not name the variable
        raise SettingsError("\n".join(_variables_that_are_no_json()) or str(error)) from error


def _unknown_variables() -> Iterator[str]:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {CONFIG_VARIABLE}
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable.split("__")[0].upper() not in known:
            yield f"environment: {variable}: no such setting{did_you_mean(variable, sorted(known))}"


def _variables_that_are_no_json() -> Iterator[str]:
    for variable in sorted(name for name in os.environ if name.upper().startswith(PREFIX)):
        location = variable[len(PREFIX) :].lower().split("__")
        example = _EXAMPLES.get(tuple(location)) or ('{"key": "value"}' if _model_at(location) else None)
        if example is None:
            continue
        try:
            json.loads(os.environ[variable])
        except ValueError:
            yield f"environment {variable} {_quoted(os.environ[variable], location)}: not JSON: write e.g. {example}"


def _line(details: ErrorDetails, path: Path) -> str:
    """Put one of pydantic's findings as file, key, value and remedy."""
    location = details["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    source = _source_of(*location)
    if details["type"] == "extra_forbidden":
        table = _model_at(location[:-1])
        known = list(table.model_fields) if table else []
        return f"{source}: {key}: no such key{did_you_mean(str(location[-1]), known)}"
    if details["type"] == "missing":
        return f"{source}: {key} is missing: see {path}"
    message = details["msg"].removeprefix("Value error, ")
    if message.startswith(key):  # the finding names a place within the value
        return f"{source}: {message}"
    value = _quoted(details["input"], location)
    if details["type"] == "tuple_type":
        example = _EXAMPLES.get(tuple(part for part in location if isinstance(part, str)))
        return f"{source}: {key} {value}: not a list{f': write e.g. {example}' if example else ''}"
    if details["type"].startswith("model_"):
        return f"{source}: {key} {value}: not a table: write [{key}] and its keys below"
    if message.startswith(value):
        return f"{source}: {key} {message}"
    return f"{source}: {key} {value}: {message[:1].lower()}{message[1:]}"


def _source_of(*location: int | str) -> str:
    """Name the place that decides a key: an environment variable, else the file."""
    names = takewhile(lambda part: isinstance(part, str), location)
    key = f"{PREFIX}{'__'.join(map(str, names))}".upper()
    for variable in sorted(os.environ):
        given = variable.upper()
        if given == key or key.startswith(f"{given}__") or given.startswith(f"{key}__"):
            return f"environment {variable}"
    return config_file().name


def _quoted(value: object, location: Sequence[int | str] = ()) -> str:
    """Show a value that was found; not where it may hold a secret."""
    if tuple(location[:2]) in _SECRET:
        return "(not shown, it may hold secrets)"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _model_at(location: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the table of settings at a place, None where there is no table."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, int):  # in a list of tables
            continue
        field = model.model_fields.get(part)
        [kind, *_] = (field and get_args(field.annotation)) or [field and field.annotation]
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


_EXAMPLES: Mapping[tuple[str, ...], str] = {
    ("metrics",): '["KRAKEN:BTCUSD"]',
    ("alerts", "channels"): '["json://host/path"]',
    ("alerts", "rules"): "[[alerts.rules]] and its keys below",
    ("alerts", "rules", "metrics"): '["KRAKEN:*"]',
    ("alerts", "rules", "measures"): '["price", "volume"]',
}
"""Lists, and how one is written."""

_SECRET = {("alerts",), ("alerts", "channels"), ("alerts", "heartbeat_url")}
"""Keys whose values no message shows."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return how a message goes on after naming an unknown word: with the nearest known one, or with them all."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    if not known:
        return "; there is none yet"
    return f"; there is {', '.join(known[:20])}{' …' if len(known) > 20 else ''}"
