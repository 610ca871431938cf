"""From what a reader asks, by name and arguments, to the question: the same for Python and the HTTP API."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pricetracker_dagster.reading import questions
from pricetracker_dagster.reading.every import width
from pricetracker_dagster.reading.questions import Question
from pricetracker_dagster.reading.times import Moment, between, moment_of


def asked(what: str, as_of: datetime | None, **given: Any) -> Question:
    """Return the question of a name (``metrics``, ``rank``, ``history`` …) and its arguments.

    Args:
        what: the name, as that of a method of prices.Prices; or ``overview``.
        as_of: the newest minute of the file that is going to be asked, up to which a range goes by default.
        given: the arguments.

    Raises:
        UnknownName: there is no such measure.
        WrongTimes, NotAWidth: a time or a width that cannot be meant.
    """
    if what in _OVER_TIME:
        return _OVER_TIME[what](as_of, **given)
    return _OTHERS[what](**given)


def _history(
    as_of: datetime | None,
    metric: str,
    measure: str,
    hours: float = 24,
    start: Moment | None = None,
    end: Moment | None = None,
    every: str | None = None,
) -> Question:
    if (hours, start, end, every) == (24, None, None, None):
        return questions.of_history(metric, measure)
    first, last = between(moment_of(start), moment_of(end), hours, as_of)
    return questions.of_history_between(metric, measure, first, last, width(every or "1m"))


def _candles(
    as_of: datetime | None,
    metric: str,
    start: Moment | None = None,
    end: Moment | None = None,
    every: str | None = None,
) -> Question:
    first, last = between(moment_of(start), moment_of(end), 24, as_of)
    return questions.of_candles(metric, first, last, width(every or "1m"))


def _sql(query: str, parameters: Mapping[str, Any] | None = None) -> Question:
    return Question(query, parameters or {})


_OVER_TIME: Mapping[str, Callable[..., Question]] = {"history": _history, "candles": _candles}

_OTHERS: Mapping[str, Callable[..., Question]] = {
    "metrics": questions.of_metrics,
    "rank": questions.of_rank,
    "overview": questions.of_overview,
    "alerts": lambda since=None, **given: questions.of_alerts(since=moment_of(since), **given),
    "incidents": lambda since=None, **given: questions.of_incidents(since=moment_of(since), **given),
    "markets": questions.of_markets,
    "market_history": questions.of_market_history,
    "missed": questions.of_missed,
    "snapshot": questions.of_snapshot,
    "sql": _sql,
}
