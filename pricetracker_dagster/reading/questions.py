"""Every question that is asked of the published file, once: for the command line, Python and the HTTP API.

A question is a statement with the values of its parameters. Names are checked here as far as nothing need be read for
that; whether there is such a metric is known by the file (published.py). All times are UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import UnknownName, did_you_mean


@dataclass(frozen=True)
class Question:
    """A statement and the values of its parameters, to be answered from the published file.

    Attributes:
        metric: one that must be known, or the question is an error.
        market: likewise; with or without the slash between base and quote.
        first: of a question about a range of stored minutes, the first minute of its first bin; and the end of the
            last one. Then ``{{minutes}}`` in the statement stands for the stored minutes of the UTC days between.
    """

    statement: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metric: str | None = None
    first: datetime | None = None
    end: datetime | None = None
    market: str | None = None


def of_metrics() -> Question:
    """Ask what has values in the last 24 hours: the columns of available_metrics."""
    return Question("FROM available_metrics")


def of_rank(measure: str | None = None) -> Question:
    """Ask for the metrics by standard deviation of a measure, or of each: the columns of metric_rank, rank 1 first.

    Raises:
        UnknownName: there is no such measure; the message says which there are.
    """
    if measure is not None:
        measure = known_measure(measure)
    return Question(sql.load("reading/sql/rank.sql"), {"measure": measure, "measures": list(MEASURES)})


def of_overview(measure: str) -> Question:
    """Ask for a row a metric as people look at it: rank, newest value, change over 24 hours, shape, alerts.

    Its ``sparkline`` has 48 half hours: 0 is the lowest, 100 the highest of them, NULL one without a minute.

    Raises:
        UnknownName: there is no such measure.
    """
    return Question(sql.load("reading/sql/overview.sql"), {"measure": known_measure(measure)})


def of_history(metric: str, measure: str) -> Question:
    """Ask for a measure of a metric over the last 24 hours: metric, measure, minute, value, oldest first.

    Raises:
        UnknownName: there is no such measure.
    """
    values = {"metric": metric, "measure": known_measure(measure)}
    return Question(sql.load("reading/sql/history_24h.sql"), values, metric)


def of_history_between(metric: str, measure: str, first: datetime, end: datetime, every: timedelta) -> Question:
    """Ask for the same between two times, of candles of a width: the price is their close, the volume their sum.

    Raises:
        UnknownName: there is no such measure.
    """
    candles = of_candles(metric, first, end, every)
    values = {**candles.parameters, "measure": known_measure(measure)}
    statement = sql.load("reading/sql/history.sql").replace("{{candles}}", candles.statement)
    return Question(statement, values, metric, candles.first, candles.end)


def of_candles(metric: str, first: datetime, end: datetime, every: timedelta = MINUTE) -> Question:
    """Ask for the candles of a metric that overlap a range of time, oldest first.

    Columns: metric, minute (open time of the candle), open, high, low, close, volume, trades (NULL where that of any of
    its minutes is not told), and minutes: how many of its minutes are stored. Candles begin at multiples of their width
    since 1970; each is whole, also where the range begins or ends within it. One without a stored minute is no row.
    """
    seconds = round(every.total_seconds())
    low, high = int(first.timestamp()) // seconds, -(-int(end.timestamp()) // seconds)
    opened, closed = (datetime.fromtimestamp(each * seconds, first.tzinfo) for each in (low, high))
    values = {"metric": metric, "start": opened, "end": closed, "seconds": seconds}
    return Question(sql.load("reading/sql/candles.sql"), values, metric, opened, closed)


def of_alerts(
    *, only_open: bool = False, since: datetime | None = None, metric: str | None = None, most: int | None = None
) -> Question:
    """Ask for the alerts: the columns of the view alerts, newest first.

    Args:
        only_open: leave out those that are resolved.
        since: only those that were above in this minute or later.
        metric: only those of a metric.
        most: the newest so many.
    """
    values = {"only_open": only_open, "since": since, "metric": metric}
    return _at_most(Question(sql.load("reading/sql/alerts.sql"), values), most)


def of_incidents(*, only_open: bool = False, since: datetime | None = None, most: int | None = None) -> Question:
    """Ask for the incidents: the columns of the view incidents, newest first. Arguments as of alerts."""
    return _at_most(Question(sql.load("reading/sql/incidents.sql"), {"only_open": only_open, "since": since}), most)


def of_missed(metric: str | None = None) -> Question:
    """Ask for the missed minutes of the last 24 hours, of one metric or of all: metric, minute, cause."""
    return Question(sql.load("reading/sql/missed.sql"), {"metric": metric})


def of_missed_counts() -> Question:
    """Ask how many minutes of the last 24 hours each metric lacks: metric, minutes (0 where it lacks none)."""
    return Question(sql.load("reading/sql/missed_counts.sql"))


def of_markets(market: str | None = None) -> Question:
    """Ask what exchanges say of a market, or of each: the columns of the table markets, by market and volume."""
    return Question(sql.load("reading/sql/markets.sql"), {"market": market}, market=market)


def of_market_history(market: str) -> Question:
    """Ask for the prices of a market on each exchange over the last 24 hours, oldest first.

    Columns: market, exchange, metric, minute, price, weighted_price (NULL where one is alone in the minute) and
    deviation_bps, the distance of the two in basis points, by the weights of the table markets.
    """
    return Question(sql.load("reading/sql/market_history.sql"), {"market": market}, market=market)


def of_snapshot() -> Question:
    """Ask what the file is: as_of, published_at, metrics, rows, schema_version in one row."""
    return Question("FROM snapshot")


def fewer_observations(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return which rows of metric_rank stand on fewer minutes than others of the measure: over less time.

    Returns:
        For each such measure and metric, how many minutes have a value and how many those of the fullest metric have.
    """
    ranked = list(rows)
    fullest_last = sorted(ranked, key=lambda row: row["observations"])
    most = {row["measure"]: row["observations"] for row in fullest_last}
    return {
        (row["measure"], row["metric"]): (row["observations"], most[row["measure"]])
        for row in ranked
        if row["observations"] < most[row["measure"]]
    }


def known_measure(measure: str) -> str:
    """Return the name of a measure; ``change_percent`` is what the system before called change_percentage.

    Raises:
        UnknownName: there is no such measure; the message says which there are.
    """
    name = {"change_percent": "change_percentage"}.get(measure, measure)
    if name not in MEASURES:
        raise UnknownName(f"no measure {measure}{did_you_mean(measure, MEASURES)}")
    return name


def _at_most(question: Question, rows: int | None) -> Question:
    if rows is None:
        return question
    return Question(f"{question.statement}\nLIMIT $most", {**question.parameters, "most": rows})
