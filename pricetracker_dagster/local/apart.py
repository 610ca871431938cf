"""What ``up`` does before its parts are started and after they ended, each in a process of its own.

Asking an exchange and opening store and instance imports Dagster, pyarrow and more: 60 MB, which the process that keeps
the others running would hold for as long as it runs.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.local.terminal import say
from pricetracker_dagster.settings import load_settings

P = ParamSpec("P")
R = TypeVar("R")


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of this module in a process that ends with it; return, or raise, what it does."""
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def why_no_answer() -> str:
    """Ask the exchanges for their time and say it; return why none of them answers, empty where one does.

    One that does not is said: the others are followed all the same.
    """
    from pricetracker_dagster.exchanges.registry import exchange_times

    times = exchange_times(load_settings())
    errors = [str(error) for error in times.values() if isinstance(error, Exception)]
    if len(errors) == len(times):
        return "; ".join(errors)
    for error in errors:
        say("", f"does not answer now: {error}", error=True)
    for name, moment in times.items():
        if isinstance(moment, datetime):
            say("", f"{name} answers; its time is {moment:%Y-%m-%d %H:%M:%S} UTC")
    return ""


def make_ready(*, simulated: bool) -> bool:
    """Make the instance ready, publish anew where what is published is not as it should be; say what is wrong.

    Returns:
        Whether the store is empty.

    Raises:
        InstanceError: Dagster's instance cannot be opened by a dagster.yaml of the user's.
    """
    from pricetracker_dagster.instance.home import check_dagster_yaml
    from pricetracker_dagster.store.errors import StoreError
    from pricetracker_dagster.store.publishing.publish import publish_if_moved
    from pricetracker_dagster.store.store import open_store

    settings = load_settings(simulated=True) if simulated else load_settings()
    check_dagster_yaml(settings, lambda line: say("", line, error=True))
    store = open_store(settings)
    with suppress(PricetrackerError):  # ticks and readers tell of it
        publish_if_moved(store, [str(metric) for metric in settings.tracked], now=datetime.now(UTC))
    try:
        return store.prices.rows() == 0
    except StoreError as error:  # each tick reports it; readers go on, and it can be repaired meanwhile
        say("", str(error), error=True)
        return False


def sweep(*, simulated: bool) -> None:
    """Remove what a publisher that was killed left half-written."""
    from pricetracker_dagster.store.publishing import publish
    from pricetracker_dagster.store.store import open_store

    publish.sweep(open_store(load_settings(simulated=True) if simulated else load_settings()))
