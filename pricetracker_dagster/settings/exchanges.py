"""The exchanges that there are, and how each is asked.

A new exchange that ccxt does not have is a module in exchanges/ and a line in LISTED, from which its table of the
settings is made; exchanges/registry.py loads the module that the line names. All others are ccxt's.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pricetracker_dagster.errors import did_you_mean
from pricetracker_dagster.process.secret_forms import without_login
from pricetracker_dagster.settings.section import Section
from pricetracker_dagster.settings.urls import http_url

SIMULATED = "SIMULATED"
"""How the names of exchanges with invented prices begin; of the one that speaks Kraken's dialect it is the name."""

_SPOKEN_BY_THE_SIMULATOR = ("COINBASE", "BINANCE")
"""Exchanges whose dialect the simulator speaks too: ``SIMULATED_COINBASE`` …"""

LEAST_RATE = 0.05
"""Requests a second with which one metric gets its minute: the time, the list of pairs and the minute in 60 s."""


class Listed(NamedTuple):
    """One exchange: the class that speaks to it, ``module:class`` in exchanges/, its default URL and rate limit."""

    kind: str
    url: str
    requests_per_second: float


LISTED: Mapping[str, Listed] = {
    "KRAKEN": Listed("kraken.client:Kraken", "https://api.kraken.com", 1.0),
    SIMULATED: Listed("kraken.client:Kraken", "http://127.0.0.1:8650", 100.0),
}
"""Those with a module of their own, by the name that metrics bear. The settings call their tables the same in lower
case."""

_IN_CCXT = {"COINBASE": "coinbaseexchange", "COINBASEADVANCED": "coinbase"}
"""What ccxt calls exchanges otherwise than by their name in lower case."""


@cache
def _ccxt_ids() -> frozenset[str]:
    """Return what ccxt calls its exchanges, without importing it; none where it is not installed."""
    spec = find_spec("ccxt")
    folders = spec.submodule_search_locations if spec is not None else None
    files = Path(folders[0]).glob("[a-z]*.py") if folders else []
    return frozenset(file.stem for file in files)


def in_ccxt(name: str) -> str:
    """Return what ccxt calls an exchange."""
    real = name.removeprefix(f"{SIMULATED}_")
    return _IN_CCXT.get(real, real.lower())


def exchange_names() -> list[str]:
    """Return the names that metrics may bear, sorted: those of LISTED, and of ccxt's where it is installed."""
    called = {theirs: ours for ours, theirs in _IN_CCXT.items()}
    names = {called.get(each, each.upper()) for each in _ccxt_ids()}
    return sorted(names | LISTED.keys() - {SIMULATED})


def check_exchange(name: str) -> None:
    """Refuse, by a ValueError, the name of an exchange that no metric may bear.

    Where ccxt is not installed any name is taken: whoever opens the exchange says how to install it.
    """
    if name == SIMULATED or name.startswith(f"{SIMULATED}_"):
        raise ValueError("invented prices are never kept beside real ones: list KRAKEN:… and set simulated = true")
    known = exchange_names()
    if name not in known and _ccxt_ids():
        raise ValueError(f"no exchange {name}{did_you_mean(name, known)}")


def simulated_counterpart(name: str) -> str:
    """Return the simulated exchange that stands for a real one: in its dialect, else in Kraken's."""
    return f"{SIMULATED}_{name}" if name in _SPOKEN_BY_THE_SIMULATOR else SIMULATED


class ExchangeSettings(Section):
    """How one exchange is asked."""

    url: str = ""
    """Root of its REST interface, without a path; empty: the exchange's own. User and password that stand in it become
    the login."""
    login: SecretStr = SecretStr("")
    """``user:password`` that every request bears, as a URL holds them: a colon or an @ in one of them as %3A, %40."""
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)
    """Most requests a second, over all processes of this machine that share the data folder. Not set: what the
    exchange is known to grant."""
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=60)
    """Longest wait for one answer."""
    options: Mapping[str, Any] = {}
    """Options of ccxt for this exchange, as its manual has them. API keys are not needed and not accepted."""

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
        return url and http_url(url, "https://api.kraken.com")

    @field_validator("options", mode="before")
    @classmethod
    def _a_table(cls, options: Any) -> Any:
        if isinstance(options, str):  # of a variable
            with suppress(ValueError):
                return json.loads(options)
        return options

    @field_validator("options")
    @classmethod
    def _no_keys(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if found := sorted(_CREDENTIALS & options.keys()):
            raise ValueError(f"{found[0]}: API keys are not needed and not accepted: remove it")
        return options

    @field_validator("requests_per_second")
    @classmethod
    def _enough_for_one_metric(cls, rate: float | None) -> float | None:
        if rate is not None and rate < LEAST_RATE:
            raise ValueError(f"too few for one metric a minute: write {LEAST_RATE} or more")
        return rate


_CREDENTIALS = {"apiKey", "secret", "password", "uid", "login", "privateKey", "walletAddress", "token", "twofa"}


def _its_name(key: str) -> str:
    """Return a key that names one of ccxt's exchanges in lower case."""
    try:
        check_exchange(key.upper())
    except ValueError:
        raise PydanticCustomError("extra_forbidden", "no such exchange") from None
    return key


class Exchanges(Section):
    """Every exchange that a metric may name, in lower case; all have the keys of the first."""

    model_config = ConfigDict(extra="allow")

    if not TYPE_CHECKING:  # for mypy it would be an argument
        __pydantic_extra__: dict[Annotated[str, AfterValidator(_its_name)], ExchangeSettings]

    def of(self, name: str) -> ExchangeSettings:
        """Return how the exchange of that (upper-case) name is asked."""
        found = getattr(self, name.lower(), None)
        return found if isinstance(found, ExchangeSettings) else ExchangeSettings()

    @field_validator(*map(str.lower, LISTED), check_fields=False)
    @classmethod
    def _goes_without_ccxt(cls, how: ExchangeSettings, info: ValidationInfo) -> ExchangeSettings:
        if how.options:
            raise ValueError(
                f"options are for exchanges that ccxt asks; {info.field_name} is none of them: remove them"
            )
        return how

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> ExchangeSettings:
            """Return the table of an exchange: there is one for each that is listed."""

    @field_validator("*", mode="before")
    @classmethod
    def _beside_its_defaults(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].default
        return {**default.model_dump(), **value} if isinstance(value, dict) else value


if not TYPE_CHECKING:
    # under the same name: pickle finds the class by it, and template.py the source
    Exchanges = create_model(
        Exchanges.__name__,
        __base__=Exchanges,
        __module__=__name__,
        __doc__=Exchanges.__doc__,
        **{
            name.lower(): (ExchangeSettings, ExchangeSettings(url=url, requests_per_second=rate))
            for name, (_, url, rate) in LISTED.items()
        },
    )
