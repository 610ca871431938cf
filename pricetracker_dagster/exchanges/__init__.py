"""Where prices come from: one module per exchange behind one small Protocol (exchange.Exchange).

A new exchange is a module with such a class, its section in settings.Exchanges and a line in open_exchange().
"""

from datetime import datetime

from pricetracker_dagster.exchanges.base import (
    Exchange,
    ExchangeError,
    ExchangeUnreachable,
    Maintenance,
    PairUnknown,
    RateLimited,
)
from pricetracker_dagster.exchanges.kraken import Kraken
from pricetracker_dagster.exchanges.rate_limit import RateLimiter
from pricetracker_dagster.files.locks import Deadline, DeadlineExceeded
from pricetracker_dagster.settings import Settings

__all__ = [
    "Deadline",
    "DeadlineExceeded",
    "Exchange",
    "ExchangeError",
    "ExchangeUnreachable",
    "Maintenance",
    "PairUnknown",
    "RateLimited",
    "exchange_time",
    "open_exchange",
]


def open_exchange(name: str, settings: Settings, *, low_priority: bool = False) -> Exchange:
    """Return the exchange of that name, ready to be asked.

    Args:
        name: the part of a metric before the colon, e.g. ``KRAKEN``.
        settings: how it is asked.
        low_priority: its requests wait while a tick is at work.
    """
    how = settings.exchange(name)
    limiter = RateLimiter(settings.state, name, how.requests_per_second, low_priority=low_priority)
    login = how.login.get_secret_value()
    return Kraken(name, how.url, limiter, timeout=how.timeout_seconds, cache=settings.state, login=login)


def exchange_time(settings: Settings, *, patience: float = 5.0) -> dict[str, datetime]:
    """Ask every exchange that a tracked metric names for its time, UTC.

    Raises:
        ExchangeError: one of them gives none within ``patience`` seconds.
    """
    deadline = Deadline.after(patience)
    names = dict.fromkeys(metric.exchange for metric in settings.tracked)
    return {name: open_exchange(name, settings).time(deadline) for name in names}
