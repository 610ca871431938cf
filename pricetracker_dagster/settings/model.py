"""What a user may set: every key, its default and its range.

Here belongs what can be judged from the settings alone; whether an exchange knows a pair is for the exchange to say.
"""

import ipaddress
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pricetracker_dagster.candles.metric import Metric, parse_metric
from pricetracker_dagster.errors import did_you_mean, in_one_line, is_utf8
from pricetracker_dagster.process.secret_forms import without_login
from pricetracker_dagster.settings.routes import AlertRoute, channel_name, is_channel_name, no_such_rule
from pricetracker_dagster.settings.secret import keep_given, keep_secrets
from pricetracker_dagster.settings.section import (
    Measure,
    Section,
    at_least_one,
    its_own_name,
    metric_pattern,
    no_truth_as_number,
)
from pricetracker_dagster.settings.source import PREFIX, config_file, read_file, source_of

SIMULATED = "SIMULATED"
"""The exchange name of every invented price."""

LEAST_RATE = 0.05
"""Requests a second with which one metric gets its minute: the time, the list of pairs and the minute in 60 s."""


def http_url(text: str, example: str) -> str:
    """Return a URL without a trailing slash.

    Raises:
        ValueError: it is none that a request can be sent to.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port above 65535, brackets that do not close
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"not a URL: write e.g. {example}")
    return text.rstrip("/")


class ExchangeSettings(Section):
    """How one exchange is asked."""

    url: str
    """Root of its REST interface, without a path. User and password that stand in it become the login."""
    login: SecretStr = SecretStr("")
    """``user:password`` that every request bears, as a URL holds them: a colon or an @ in one of them as %3A, %40."""
    requests_per_second: float = Field(gt=0, le=1000)
    """Most requests a second, over all processes of this machine that share the data folder."""
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=60)
    """Longest wait for one answer."""

    @model_validator(mode="before")
    @classmethod
    def _login_out_of_url(cls, given: Any) -> Any:
        """Take user and password out of the URL, so that whoever names the URL names no secret."""
        if not isinstance(given, dict) or not isinstance(given.get("url"), str):
            return given
        url, login = without_login(given["url"])
        if login and given.get("login", "") not in ("", SecretStr("")):
            raise ValueError("its url holds user and password, and login is set too: write them once")
        return {**given, "url": url, "login": login} if login else given

    @field_validator("url")
    @classmethod
    def _a_url_without_trailing_slash(cls, url: str) -> str:
        if re.search("[?#]", url):
            raise ValueError("no query belongs there: write e.g. https://api.kraken.com")
        return http_url(url, "https://api.kraken.com")

    @field_validator("requests_per_second")
    @classmethod
    def _enough_for_one_metric(cls, rate: float) -> float:
        if rate < LEAST_RATE:
            raise ValueError(f"too few for one metric a minute: write {LEAST_RATE} or more")
        return rate


class Exchanges(Section):
    """Every exchange that a metric may name, in lower case."""

    kraken: ExchangeSettings = ExchangeSettings(url="https://api.kraken.com", requests_per_second=1.0)
    simulated: ExchangeSettings = ExchangeSettings(url="http://127.0.0.1:8650", requests_per_second=100.0)

    @field_validator("*", mode="before")
    @classmethod
    def _beside_its_defaults(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].default
        return {**default.model_dump(), **value} if isinstance(value, dict) else value


class CollectSettings(Section):
    """How a tick collects."""

    budget_seconds: float = Field(default=40.0, ge=1, le=42)
    """A tick asks no exchange any more after this many seconds: it is over before the next begins."""
    heal_days: int = Field(default=7, ge=1, le=90)
    """How far back a tick looks for missed minutes to fetch them after all."""
    fill_hours: int = Field(default=24, ge=1, le=8760)
    """A longer silence in a recorded file is unknown, not quiet: it stays a gap."""


def http_address(host: str, port: int) -> str:
    """Return the URL of a server: an IPv6 address stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def host_name(text: str) -> str:
    """Return a host to listen on, an IP address or a name.

    Raises:
        ValueError: it is neither. What a resolver would take for one (``0``, an empty text: every address) is refused.
    """
    remedy = 'write an address or a name, e.g. "127.0.0.1"; "0.0.0.0" is every address of this machine'
    if not text.strip():
        raise ValueError(f"empty: {remedy}")
    with suppress(ValueError):
        return str(ipaddress.ip_address(text))
    if text.startswith("[") and text.endswith("]"):
        raise ValueError(f'not a host: write it without brackets, "{text[1:-1]}"')
    labels = text.split(".")
    if re.search(r"[:/]", text):
        raise ValueError(f"not a host: no scheme, port or path belongs there; {remedy}")
    if not all(re.fullmatch(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", label) for label in labels):
        raise ValueError(f"not a host: {remedy}")
    if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", labels[-1]):  # a number in one of the forms that inet_aton() takes
        raise ValueError(f"not an IP address: {remedy}")
    return text


class WatchSettings(Section):
    """When `up` and `pricetracker watch` say that something stands still."""

    standstill_minutes: int = Field(default=3, ge=2, le=1440)
    """How old the newest stored minute, evaluation or heartbeat may be. A schedule by the minute needs two."""
    clock_seconds: float = Field(default=30.0, ge=2, le=3600)
    """How far this machine's clock may be from the exchanges'. They tell whole seconds."""
    free_disk_mb: int = Field(default=500, ge=0, le=10_000_000)
    """How much disk must be free where the data lie."""


class UiSettings(Section):
    """Where the Dagster UI listens. It has no login: beyond loopback, put a reverse proxy before it."""

    host: Annotated[str, AfterValidator(host_name)] = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    url: str = ""
    """How people reach it, for links in messages, e.g. behind a reverse proxy; empty: host and port. A login is
    left out."""

    @field_validator("url")
    @classmethod
    def _empty_or_a_url(cls, url: str) -> str:
        # a password is for nobody who reads a message
        return http_url(without_login(url)[0], "https://prices.example.org") if url else url

    @property
    def link(self) -> str:
        """The UI's address as messages name it, without a trailing slash."""
        return self.url.rstrip("/") or http_address(self.host, self.port)


class AlertRule(Section):
    """A measure exceeds ``factor`` times its average over the minutes before. docs/alerts.md says how it is judged."""

    name: str = Field(default="spike", pattern=r"^[A-Za-z0-9_-]+$")
    metrics: tuple[Annotated[str, AfterValidator(metric_pattern)], ...] = ("*",)
    """Which metrics it is for: names, or patterns such as ``KRAKEN:*``."""
    measures: tuple[Measure, ...] = ("price", "volume")
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

    @field_validator("metrics", "measures")
    @classmethod
    def _at_least_one(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return at_least_one(values)

    @model_validator(mode="after")
    def _points_fit_into_the_window(self) -> Self:
        if self.min_points > self.window_minutes:
            raise ValueError(
                f"min_points {self.min_points} is more than window_minutes {self.window_minutes}: it would never fire; "
                "lower min_points"
            )
        return self


class AlertSettings(Section):
    """What deserves a message, and who gets it."""

    rules: tuple[AlertRule, ...] = (AlertRule(),)
    channels: tuple[SecretStr, ...] = ()
    """apprise URLs. They hold secrets."""
    max_age_minutes: int = Field(default=15, ge=1, le=525_600)
    """Alerts of older minutes are recorded but not sent; a message that no channel takes is given up after as long."""
    repeat_minutes: int = Field(default=60, ge=0, le=525_600)
    """A reminder as often while it lasts; 0 = none."""
    missed_grace_minutes: int = Field(default=2, ge=0, le=1440)
    """How long after its end a minute may still come before it is missed."""
    incident_resolve_after_minutes: int = Field(default=5, ge=1, le=1440)
    """So many minutes in a row must be stored before a metric is back; an incident ends when all its metrics are."""
    heartbeat_url: SecretStr = SecretStr("")
    """Requested after each good tick; a service that hears nothing for a while says so."""
    routes: tuple[AlertRoute, ...] = ()
    """Who gets which messages; without one every channel gets all. docs/alerts.md says more."""

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

    @field_validator("routes")
    @classmethod
    def _routes_lead_to_what_there_is(
        cls, routes: tuple[AlertRoute, ...], info: ValidationInfo
    ) -> tuple[AlertRoute, ...]:
        if not {"rules", "channels"} <= info.data.keys():  # a mistake in these is told, and would make another here
            return routes
        rules = [rule.name for rule in info.data["rules"]]
        told = [*info.data["channels"], *(each for route in routes for each in (*route.channels, *route.escalate_to))]
        urls = [each.get_secret_value() for each in told if not is_channel_name(each.get_secret_value())]
        names = list(dict.fromkeys(map(channel_name, urls)))
        for i, route in enumerate(routes):
            for j, name in enumerate(route.match.rules or ()):
                if name not in rules:
                    raise ValueError(f"alerts.routes[{i}].match.rules[{j}] {no_such_rule(name, rules)}")
            for key, channels in (("channels", route.channels), ("escalate_to", route.escalate_to)):
                for j, channel in enumerate(channels):
                    if wrong := _wrong_with(channel.get_secret_value(), names):
                        raise ValueError(f"alerts.routes[{i}].{key}[{j}] {wrong}")
        return routes

    @field_validator("heartbeat_url")
    @classmethod
    def _a_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            try:
                http_url(url.get_secret_value(), "https://…")
            except ValueError as error:
                raise ValueError(f"alerts.heartbeat_url (not shown, it may hold secrets): {error}") from None
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


def _simulated(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the same metrics on the simulator."""
    return tuple(re.sub(r"^[^:]+:", f"{SIMULATED}:", each) for each in patterns)


def _known_exchange(text: str) -> str:
    metric = parse_metric(text)
    if metric.exchange == SIMULATED:
        raise ValueError("invented prices are never kept beside real ones: list KRAKEN:… and set simulated = true")
    known = [name.upper() for name in Exchanges.model_fields if name.upper() != SIMULATED]
    if metric.exchange not in known:
        raise ValueError(f"no exchange {metric.exchange}{did_you_mean(metric.exchange, known)}")
    its_own_name(text)
    return text


def _check_is_no_file(folder: Path) -> None:
    """Refuse a folder that is a file, or lies below one.

    Raises:
        ValueError: it does.
    """
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

    Raises:
        ValueError: it is one.
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


class Settings(BaseSettings):
    """Everything a user may set.

    Raises:
        pydantic.ValidationError: load_settings() turns it into a SettingsError that names the file.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # an empty variable means: not set
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # it may hold secrets; load_settings() shows what may be shown
    )

    metrics: tuple[Annotated[str, AfterValidator(_known_exchange)], ...]
    # code reads `tracked`, which heeds `simulated`
    """The metrics to follow, ``EXCHANGE:BASEQUOTE``."""
    data: str = "data"
    # code reads `folder`
    """The data folder, relative to the settings file."""
    simulated: bool = False
    """Follow the same pairs on the built-in simulator, as ``SIMULATED:…``, in a data folder of their own."""
    keep_runs_hours: int = Field(default=48, ge=1, le=876_000)
    """How long Dagster remembers each tick. Prices are kept for good."""
    exchanges: Exchanges = Exchanges()
    collect: CollectSettings = CollectSettings()
    watch: WatchSettings = WatchSettings()
    ui: UiSettings = UiSettings()
    alerts: AlertSettings = AlertSettings()

    @model_validator(mode="before")
    @classmethod
    def _secret_before_it_is_judged(cls, given: Any) -> Any:
        if isinstance(given, dict):
            keep_given(given)
        return given

    def model_post_init(self, context: Any) -> None:
        """Let no text of this process hold what is secret in these settings, wherever they come from."""
        del context
        keep_secrets(self)

    @field_validator("keep_runs_hours", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any) -> Any:
        return no_truth_as_number(value, int)

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
        if re.search(r"[\x00-\x1f\x7f]", data):
            raise ValueError("a control character is in it: name a folder without one")
        if re.search(r"\$(\w|\{)", data):
            raise ValueError('variables are not put in here: write the path itself, "~/…" for the home folder')
        try:
            folder = Path(data).expanduser()
        except RuntimeError:
            raise ValueError("no such user: name a folder by its path") from None
        if not (config_file().parent / folder).name:
            raise ValueError("not a folder to keep data in: name one below it")
        _check_names(config_file().parent / folder)
        _check_is_no_file(config_file().parent / folder)
        return data

    @model_validator(mode="after")
    def _a_folder_beside(self) -> Self:
        if self.simulated:
            try:
                _check_is_no_file(self.folder)
            except ValueError as error:
                raise ValueError(f'data "{self.data}": {error}') from None
        return self

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
        return tuple(rule.model_copy(update={"metrics": _simulated(rule.metrics)}) for rule in self.alerts.rules)

    @property
    def routes(self) -> tuple[AlertRoute, ...]:
        """The routes of alerts in force: as listed, or for the simulated counterparts of their metrics."""
        if not self.simulated:
            return self.alerts.routes
        return tuple(
            route.model_copy(
                update={"match": route.match.model_copy(update={"metrics": _simulated(route.match.metrics)})}
            )
            if route.match.metrics
            else route
            for route in self.alerts.routes
        )

    def place_of(self, metric: Metric) -> str:
        """Return where a tracked metric was listed, as messages name it: ``pricetracker.toml: metrics[2] "…"``."""
        i, text = next((i, text) for i, text in enumerate(self.metrics) if parse_metric(text).pair == metric.pair)
        return f'{source_of("metrics")}: metrics[{i}] "{text}"'

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
        if name == SIMULATED and found == Exchanges().simulated:
            with suppress(FileNotFoundError, UnicodeDecodeError):  # `up` does not run, or it is damaged
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
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_file(config_file()))
