"""The exchanges that there are, and how each is asked.

A new exchange is a module in exchanges/ and a line in LISTED: its table of the settings is made from that line, and
exchanges/registry.py loads the module that it names.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, SecretStr, ValidationInfo, create_model, field_validator, model_validator

from pricetracker_dagster.process.secret_forms import without_login
from pricetracker_dagster.settings.section import Section
from pricetracker_dagster.settings.urls import http_url

SIMULATED = "SIMULATED"
"""The exchange name of every invented price."""

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
"""By the name that metrics bear. The settings call their tables the same in lower case."""


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
