"""The Python face: an object that answers questions by DuckDB relations, from the file or over HTTP.

Here belongs what a question is called in Python. What it asks is in questions.py, how a file is held in published.py,
how the HTTP API is asked in over_http.py, which of the two it is in opening.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pricetracker_dagster.errors import PricetrackerError, first_line
from pricetracker_dagster.reading.asked import asked
from pricetracker_dagster.reading.published import Follower, identity
from pricetracker_dagster.reading.times import Moment
from pricetracker_dagster.store.publishing.access import NotPublished

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Prices(ABC):
    """What is published, to be read. Each answer is a DuckDB relation of rows in memory.

    So ``.df()`` gives pandas, ``.pl()`` polars, ``.to_arrow_table()`` Arrow, ``.fetchall()`` rows, ``.to_dicts()``
    dicts; all times are UTC. It always answers from the newest published file; an answer does not change any more.
    Errors: UnknownName for a metric or measure that is not there (the message says what is), NotPublished,
    PublishedDamaged and StoreError where the file cannot be read.
    """

    def __init__(self, place: str) -> None:
        """Name where it reads, as a person is shown it."""
        self._place = place

    def __repr__(self) -> str:
        """Return where it reads, how much is there, and how new it is."""
        try:
            [(metrics, as_of)] = self.snapshot().select("metrics, as_of").fetchall()
        except (PricetrackerError, duckdb.Error) as error:
            return f"<prices of {self._place}: {first_line(error)}>"
        if as_of is None:
            return f"<prices of {self._place}: no minute is stored yet>"
        return f"<prices of {self._place}: {metrics:,} metrics, up to {as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC>"

    def metrics(self) -> duckdb.DuckDBPyRelation:
        """Return what has values in the last 24 hours: the columns of the table available_metrics."""
        return self._answer("metrics")

    def rank(self, measure: str | None = None) -> duckdb.DuckDBPyRelation:
        """Return the metrics by standard deviation of one measure, or of each: the columns of metric_rank."""
        return self._answer("rank", measure=measure)

    def history(
        self,
        metric: str,
        measure: str,
        *,
        hours: float = 24,
        start: Moment | None = None,
        end: Moment | None = None,
        every: str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return one measure of one metric over time: metric, measure, minute, value, oldest first.

        Args:
            metric: e.g. "KRAKEN:BTCUSD".
            measure: price, volume, change_absolute or change_percentage.
            hours: how many hours up to as_of, where no start is given.
            start: the first minute; end: the first minute after the range, by default after as_of.
            end: see start.
            every: of candles of this width ("5m", "1h", "1d") instead of minutes: the price is their close.
        """
        return self._answer("history", metric=metric, measure=measure, hours=hours, start=start, end=end, every=every)

    def candles(
        self, metric: str, start: Moment | None = None, end: Moment | None = None, every: str = "1m"
    ) -> duckdb.DuckDBPyRelation:
        """Return candles: metric, minute (open time), open, high, low, close, volume, trades, minutes.

        Args:
            metric: e.g. "KRAKEN:BTCUSD".
            start: a time in the first candle; None: 24 hours before the end.
            end: the first minute after the range; None: after as_of.
            every: how wide they are: whole minutes, hours or days. They begin at multiples of it since 1970, and are
                whole. One of which no minute is stored is no row; ``minutes`` says how many of its minutes are.
        """
        return self._answer("candles", metric=metric, start=start, end=end, every=every)

    def markets(self, market: str | None = None) -> duckdb.DuckDBPyRelation:
        """Return what exchanges say of a market ("BTC/USD" or "BTCUSD"), or of each: the columns of the table markets.

        UnknownName where there is no such market; the message says which are like it.
        """
        return self._answer("markets", market=market)

    def market_history(self, market: str) -> duckdb.DuckDBPyRelation:
        """Return the prices of a market on each exchange over the last 24 hours, oldest first.

        Columns: market, exchange, metric, minute, price, weighted_price (of all that have the minute, by their volume
        of 24 hours; NULL where one is alone) and deviation_bps, how far the price is from it in basis points.
        """
        return self._answer("market_history", market=market)

    def alerts(self, *, only_open: bool = False, since: Moment | None = None) -> duckdb.DuckDBPyRelation:
        """Return the alerts, newest first: all, only those that are not resolved, only those above since then."""
        return self._answer("alerts", only_open=only_open, since=since)

    def incidents(self, *, only_open: bool = False, since: Moment | None = None) -> duckdb.DuckDBPyRelation:
        """Return the incidents, newest first: all, only those that are open, only those with minutes since then."""
        return self._answer("incidents", only_open=only_open, since=since)

    def missed(self, metric: str | None = None) -> duckdb.DuckDBPyRelation:
        """Return the missed minutes of the last 24 hours: metric, minute, cause."""
        return self._answer("missed", metric=metric)

    def snapshot(self) -> duckdb.DuckDBPyRelation:
        """Return what the published file is: as_of, published_at, metrics, rows, schema_version in one row."""
        return self._answer("snapshot")

    def sql(self, query: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Return what any SQL statement answers, e.g. "FROM metric_rank WHERE measure = $m" with {"m": "price"}.

        The engine is locked: it reads the published tables and views, and no other file.

        Raises:
            ValueError: the statement answers nothing.
            duckdb.Error: the statement is wrong, or would write or read elsewhere.
        """
        return self._answer("sql", query=query, parameters=parameters)

    @abstractmethod
    def _answer(self, what: str, **given: Any) -> duckdb.DuckDBPyRelation:
        """Answer what is asked by the name of a method and its arguments."""

    def chart(self, metric: str, what: str = "price", *, hours: float = 24) -> "go.Figure":
        """Return a plotly figure of a measure, or of "candles" with their volume, over the hours up to as_of.

        Gaps stay gaps, missed minutes of the last 24 hours are shaded with their cause, alerts marked; times are UTC.
        Of more hours a candle stands for more minutes: 5 of a day, 30 of a week.
        """
        from pricetracker_dagster.reading.chart import chart

        return chart(self, metric, what, hours=hours)


class LocalPrices(Prices):
    """What is published in a file of this machine."""

    def __init__(self, published: Path) -> None:
        """Follow it; raise NotPublished where there is no file yet."""
        if identity(published) is None:
            raise NotPublished(published)
        super().__init__(str(published))
        self._follower = Follower(published)

    def _answer(self, what: str, **given: Any) -> duckdb.DuckDBPyRelation:
        file = self._follower.current()
        return file.answer(asked(what, file.as_of, **given))
