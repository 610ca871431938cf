"""Asks what a chart needs: the same by the local face and by the one over HTTP. How it is drawn stands in figure.py.

Which candles there are and why minutes are missed is answered elsewhere.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.errors import PricetrackerError, UnknownName, did_you_mean
from pricetracker_dagster.reading.drawn import CANDLES, Drawn, start_of
from pricetracker_dagster.reading.questions import known_measure

if TYPE_CHECKING:
    import duckdb
    import plotly.graph_objects as go

_BINS = (1, 5, 15, 30, 60, 180, 360, 1440)
_MOST_CANDLES, _MOST_POINTS = 400, 1500
"""More candles, or points of a line, than this cannot be told apart on a screen."""


class Face(Protocol):
    """What both faces answer and a chart asks."""

    def snapshot(self) -> "duckdb.DuckDBPyRelation":
        """Answer what the published file is."""

    def history(
        self, metric: str, measure: str, *, start: datetime | None, end: datetime | None, every: str | None
    ) -> "duckdb.DuckDBPyRelation":
        """Answer a measure's values."""

    def candles(
        self, metric: str, start: datetime | None, end: datetime | None, every: str
    ) -> "duckdb.DuckDBPyRelation":
        """Answer candles."""

    def missed(self, metric: str | None) -> "duckdb.DuckDBPyRelation":
        """Answer which minutes are missed."""

    def alerts(self, *, since: datetime | None) -> "duckdb.DuckDBPyRelation":
        """Answer the alerts."""


def chart(prices: Face, metric: str, what: str, *, hours: float = 24) -> "go.Figure":
    """Ask what a chart needs, and draw it: the hours up to as_of.

    Args:
        prices: the face that is asked.
        metric: of which metric, e.g. ``KRAKEN:BTCUSD``.
        what: a measure, or ``candles``.
        hours: how much time it shows; of more time, a candle or a point stands for more minutes.

    Raises:
        UnknownName: there is no such metric or measure.
        PricetrackerError: the hours are no positive number, nothing is stored yet, and errors of the face.
    """
    from pricetracker_dagster.reading.figure import figure

    return figure(asked(prices, metric, what, hours=hours))


def asked(prices: Face, metric: str, what: str, *, hours: float = 24) -> Drawn:
    """Ask what a chart needs. Arguments and errors as of chart()."""
    what = _what(what)
    if not 0 < hours <= 24 * 366 * 10:
        raise PricetrackerError(f"hours={hours!r}: write a number above 0 and up to ten years, e.g. 24")
    [(as_of,)] = prices.snapshot().select("as_of").fetchall()
    if as_of is None:
        raise PricetrackerError("no minute is stored yet: run `pricetracker up` or `pricetracker tick` first")
    minutes, start, end = _bin_minutes(what, hours), start_of(as_of, hours), as_of + MINUTE
    if what == CANDLES:
        rows = prices.candles(metric, start, end, f"{minutes}m")
    else:
        rows = prices.history(metric, what, start=start, end=end, every=f"{minutes}m")
    missed, alerts = prices.missed(metric), prices.alerts(since=start)
    return Drawn(
        metric, what, rows.to_dicts(), missed.to_dicts(), alerts.to_dicts(), as_of.astimezone(UTC), hours, minutes
    )


def _what(name: str) -> str:
    """Return what a name means; see asked()."""
    try:
        return name if name == CANDLES else known_measure(name)
    except UnknownName:
        raise UnknownName(f"nothing to draw is called {name}{did_you_mean(name, [CANDLES, *MEASURES])}") from None


def _bin_minutes(what: str, hours: float) -> int:
    most = _MOST_CANDLES if what == CANDLES else _MOST_POINTS
    return next((minutes for minutes in _BINS if hours * 60 / minutes <= most), _BINS[-1])
