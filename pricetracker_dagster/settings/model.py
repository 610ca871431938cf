"""What a user may set: every key, its default and its range."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from pricetracker_dagster.candles.metric import Metric, parse_metric
from pricetracker_dagster.files.data_folder import DataFolder, StateFile
from pricetracker_dagster.settings.alerts import AlertRule, AlertSettings
from pricetracker_dagster.settings.exchanges import (
    LISTED,
    SIMULATED,
    Exchanges,
    ExchangeSettings,
    check_exchange,
    simulated_counterpart,
)
from pricetracker_dagster.settings.folder import check_data_folder, check_is_no_file, simulated_folder
from pricetracker_dagster.settings.http import HttpSettings
from pricetracker_dagster.settings.markets import MarketSettings
from pricetracker_dagster.settings.routes import AlertRoute
from pricetracker_dagster.settings.secret import keep_given, keep_secrets
from pricetracker_dagster.settings.section import Section, its_own_name, no_truth_as_number
from pricetracker_dagster.settings.source import PREFIX, config_file, read_file, source_of
from pricetracker_dagster.settings.urls import host_name, link, public_url


class CollectSettings(Section):
    """How a tick collects."""

    budget_seconds: float = Field(default=40.0, ge=1, le=42)
    """A tick asks no exchange any more after this many seconds: it is over before the next begins."""
    heal_days: int = Field(default=7, ge=1, le=90)
    """How far back a tick looks for missed minutes to fetch them after all."""
    fill_hours: int = Field(default=24, ge=1, le=8760)
    """A longer silence in a recorded file is unknown, not quiet: it stays a gap."""


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
    url: Annotated[str, AfterValidator(public_url)] = ""
    """How people reach it, for links in messages, e.g. behind a reverse proxy; empty: host and port. A login is
    left out."""

    @property
    def link(self) -> str:
        """The UI's address as messages name it, without a trailing slash."""
        return link(self.url, self.host, self.port)


def _simulated(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the same metrics on the simulator; those of any exchange stay."""
    return tuple(re.sub(r"^[^:*]+(?=:)", lambda name: simulated_counterpart(name[0]), each) for each in patterns)


def _known_exchange(text: str) -> str:
    metric = parse_metric(text)
    its_own_name(text)
    check_exchange(metric.exchange)
    return text


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
    """How long Dagster remembers each tick. Prices are kept for good, unless keep_days says otherwise."""
    keep_days: int = Field(default=0, ge=0, le=36_525)
    """How many whole UTC days of minute prices are kept beside today's, 2 or more; 0: all, for good. What is older is
    announced first, a day before it is removed."""
    warm_starts: bool = True
    """`up` forks its processes and each run from one that has imported what they need; false: each imports it anew."""
    exchanges: Exchanges = Exchanges()
    collect: CollectSettings = CollectSettings()
    markets: MarketSettings = MarketSettings()
    watch: WatchSettings = WatchSettings()
    ui: UiSettings = UiSettings()
    http: HttpSettings = HttpSettings()
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

    @field_validator("keep_runs_hours", "keep_days", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any) -> Any:
        return no_truth_as_number(value, int)

    @field_validator("keep_days")
    @classmethod
    def _a_day_of_history_stays(cls, keep_days: int) -> int:
        if keep_days == 1:
            raise ValueError("less than the 24 hours that are published: write 2 or more, 0 for all")
        return keep_days

    @field_validator("metrics")
    @classmethod
    def _some_and_none_twice(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if not metrics:
            raise ValueError('metrics is an empty list: name at least one, e.g. "KRAKEN:BTCUSD"')
        seen: set[str] = set()
        by_name: dict[str, str] = {}
        for i, metric in enumerate(metrics):
            other = by_name.setdefault(metric.replace("/", ""), metric)
            # two markets may have one name without the slash, which tells them apart
            if metric in seen or (other != metric and not ("/" in other and "/" in metric)):
                raise ValueError(f'metrics[{i}] "{metric}" is listed twice: remove one')
            seen.add(metric)
        return metrics

    @field_validator("data")
    @classmethod
    def _a_folder(cls, data: str) -> str:
        check_data_folder(data, config_file().parent)
        return data

    @model_validator(mode="after")
    def _simulated_folder_is_no_file(self) -> Self:
        if self.simulated:
            try:
                check_is_no_file(self.folder)
            except ValueError as error:
                raise ValueError(f'data "{self.data}": {error}') from None
        return self

    @property
    def tracked(self) -> tuple[Metric, ...]:
        """The metrics to follow now: as listed, or their simulated counterparts."""
        metrics = map(parse_metric, self.metrics)
        if self.simulated:
            return tuple(dict.fromkeys(map(_counterpart, metrics)))
        return tuple(metrics)

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """The alert rules in force: as listed, or for the simulated counterparts of their metrics."""
        if not self.simulated:
            return self.alerts.rules
        return tuple(rule.model_copy(update={"metrics": _simulated(rule.metrics)}) for rule in self.alerts.rules)

    @property
    def routes(self) -> tuple[AlertRoute, ...]:
        """The routes of alerts in force, likewise."""
        routes = []
        for route in self.alerts.routes:
            match = route.match
            if self.simulated and match.metrics:
                match = match.model_copy(update={"metrics": _simulated(match.metrics)})
            routes.append(route.model_copy(update={"match": match}))
        return tuple(routes)

    def place_of(self, metric: Metric) -> str:
        """Return where a tracked metric was listed, as messages name it: ``pricetracker.toml: metrics[2] "…"``."""
        i, text = _listed(tuple(self.metrics), self.simulated)[metric]
        return f'{source_of("metrics")}: metrics[{i}] "{text}"'

    @property
    def folder(self) -> Path:
        """The data folder, absolute. Invented prices live in ``<data>-simulated``, never beside real ones."""
        folder = config_file().parent / Path(self.data).expanduser()
        return simulated_folder(folder) if self.simulated else folder

    @property
    def data_folder(self) -> DataFolder:
        """Where everything in the data folder lies."""
        return DataFolder(self.folder)

    def kept_since(self, now: datetime) -> datetime | None:
        """Return the oldest minute that ``keep_days`` keeps at a moment, a midnight in UTC; None: all are kept."""
        if not self.keep_days:
            return None
        return datetime.combine(now.astimezone(UTC).date() - timedelta(days=self.keep_days), time(), UTC)

    @property
    def state(self) -> Path:
        """The folder of small working files that processes share: locks, the allowance of requests."""
        return self.data_folder.state

    def exchange(self, name: str) -> ExchangeSettings:
        """Return how the exchange of that (upper-case) name is asked: the simulator where `up` has started it."""
        if not (name == SIMULATED or name.startswith(f"{SIMULATED}_")):
            return self.exchanges.of(name)
        found = self.exchanges.of(SIMULATED)
        if name != SIMULATED and found.requests_per_second == LISTED[SIMULATED].requests_per_second:
            found = found.model_copy(update={"requests_per_second": None})  # as many as the real one grants
        if found.url == LISTED[SIMULATED].url:
            with suppress(FileNotFoundError, UnicodeDecodeError):  # `up` does not run, or it is damaged
                return found.model_copy(update={"url": self.simulator_file.read_text(encoding="utf-8").strip()})
        return found

    @property
    def simulator_file(self) -> Path:
        """The file in which `up` leaves the address of the simulator that it has started, as long as that runs."""
        return self.state / StateFile.SIMULATOR_URL

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments come before the environment, the environment before the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_file(config_file()))


def _counterpart(metric: Metric) -> Metric:
    """Return the metric that stands on the simulator for a real one."""
    return Metric(simulated_counterpart(metric.exchange), metric.pair)


@cache
def _listed(metrics: tuple[str, ...], simulated: bool) -> dict[Metric, tuple[int, str]]:
    """Return where each metric is listed first, and how: of thousands that are unknown each is looked for."""
    parsed = ((i, text, parse_metric(text)) for i, text in reversed([*enumerate(metrics)]))
    return {_counterpart(metric) if simulated else metric: (i, text) for i, text, metric in parsed}
