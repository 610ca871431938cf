"""How an exchange is opened by its name. Which there are is the table in settings/exchanges.py."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from pricetracker_dagster.exchanges.asking import Client
from pricetracker_dagster.exchanges.base import Exchange, ExchangeError
from pricetracker_dagster.exchanges.by_ccxt.records import record_of
from pricetracker_dagster.exchanges.http import Http
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.exchanges import LISTED


class ExchangeKind(Protocol):
    """The class of an exchange."""

    reach: timedelta

    def __call__(self, name: str, client: Client, *, cache: Path) -> Exchange:
        """Make one, which asks nothing yet. ``cache`` is a folder for what it keeps from process to process."""


def open_exchange(name: str, settings: Settings, *, low_priority: bool = False) -> Exchange:
    """Return an exchange, e.g. ``KRAKEN``, ready to be asked; with a low priority it waits while a tick is at work.

    Raises:
        ExchangeError: ccxt, which would ask it, is not installed, or has no such minutes.
    """
    how = settings.exchange(name)

    def client(url: str, per_second: float) -> Client:
        http = Http(how.url or url, how.timeout_seconds, how.login.get_secret_value())
        per_second = how.requests_per_second or per_second
        return Client(http, RateLimiter(settings.state, name, per_second, low_priority=low_priority))

    if name in LISTED:
        listed = LISTED[name]
        return kind_of(name)(name, client(listed.url, listed.requests_per_second), cache=settings.state)
    from pricetracker_dagster.exchanges.ccxt import open_by_ccxt

    return open_by_ccxt(name, client, options=how.options, cache=settings.state)


def kind_of(name: str) -> ExchangeKind:
    """Return the class of an exchange that is listed. What no metric names is never imported."""
    module, _, kind = LISTED[name].kind.partition(":")
    return cast("ExchangeKind", getattr(import_module(f"{__package__}.{module}"), kind))


def reach_of(name: str) -> timedelta:
    """Return how far back an exchange answers for candles."""
    return kind_of(name).reach if name in LISTED else record_of(name).reach


def exchange_times(settings: Settings, *, patience: float = 5.0) -> dict[str, datetime | ExchangeError]:
    """Ask every exchange that a tracked metric names for its time, all at once.

    Returns:
        By exchange its time, UTC, or why it has given none within ``patience`` seconds.
    """
    deadline = Deadline.after(patience)

    def ask(name: str) -> datetime | ExchangeError:
        try:
            return open_exchange(name, settings).time(deadline)
        except ExchangeError as error:
            return error

    names = list(dict.fromkeys(metric.exchange for metric in settings.tracked))
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))
