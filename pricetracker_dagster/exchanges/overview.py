"""What there is to say of each exchange that a metric may name: for people who choose one."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from pricetracker_dagster.candles.minutes import DAY
from pricetracker_dagster.errors import UnknownName
from pricetracker_dagster.exchanges.base import Exchange, ExchangeError
from pricetracker_dagster.exchanges.by_ccxt.records import UNKNOWN, record_of
from pricetracker_dagster.exchanges.registry import open_exchange, reach_of
from pricetracker_dagster.files.data_folder import pairs_file
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.files.small import kept_in
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.settings.exchanges import check_exchange, exchange_names

COLUMNS = ("exchange", "metrics", "pairs", "reach", "back", "quiet_minutes", "requests_per_second", "note")

_PATIENCE = 60.0

_QUIET = {
    "listed": "listed as flat rows",
    "left out": "left out",
    "unknown": "not known: by its trades",
}


def overview(settings: Settings, asked: Collection[str] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield a row of COLUMNS an exchange, by name.

    Args:
        settings: what is followed, and how exchanges are asked.
        asked: those that are asked for their pairs now, and nothing is said of others; none: all, of which nobody is
            asked: pairs are counted as they were listed when somebody asked last.

    The columns: how many metrics are followed and how many pairs there are (None: not known), how far back one answer
    reaches in minutes, how far back candles go at all, what becomes of minutes without trades, how many requests for
    candles are sent a second at most, and what is wrong with it.

    Raises:
        UnknownName: a name is none of an exchange.
    """
    for name in asked:
        try:
            check_exchange(name)
        except ValueError as error:
            raise UnknownName(str(error)) from None
    for name in asked or exchange_names():
        yield _row(name, settings, ask=bool(asked))


def _row(name: str, settings: Settings, *, ask: bool) -> tuple[Any, ...]:
    record, rate, pairs, note = record_of(name), None, _kept_count(settings, name), ""
    try:
        exchange = open_exchange(name, settings)
        rate = round(exchange.allowance.requests_per_second, 3)
        if ask:
            pairs = _count(exchange, settings)
    except ExchangeError as error:
        note = str(error)
    followed = sum(metric.exchange == name for metric in settings.tracked)
    back = "by trades: all" if name == "KRAKEN" else _back(record.back)
    if record is UNKNOWN:
        back = "not known"
    return (name, followed, pairs, reach_of(name) // timedelta(minutes=1), back, _QUIET[record.quiet], rate, note)


def _count(exchange: Exchange, settings: Settings) -> int:
    wanted = {metric.pair for metric in settings.tracked if metric.exchange == exchange.name}
    pairs = exchange.pairs(wanted, Deadline.after(_PATIENCE))
    return len({pair.replace("/", "") for pair in pairs})


def _kept_count(settings: Settings, name: str) -> int | None:
    kept = kept_in(pairs_file(settings.state, name))
    listed = kept.get("symbols", kept.get("pairs"))
    return len(listed) if isinstance(listed, dict) and listed else None


def _back(back: timedelta | None) -> str:
    if back is None:
        return "all"
    return "24 h" if back == DAY else f"{back}"
