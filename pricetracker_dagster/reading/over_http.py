"""The Python face over the HTTP API: the same questions and answers, by paths and parameters.

How one request is made, and what can go wrong with it, stands in http_answers.py.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.reading.every import width
from pricetracker_dagster.reading.http_answers import Api
from pricetracker_dagster.reading.prices import Prices
from pricetracker_dagster.reading.questions import known_measure
from pricetracker_dagster.reading.times import Moment, between, moment_of

_NO_SQL = (
    "the HTTP API takes no SQL: ask by the other methods, of whose answers more can be asked, as in "
    'prices.rank().filter("observations < 1440"); or open the published file itself, open_prices(path)'
)

Parameters = dict[str, str]
_PATHS = {"rank": "metricsrank", "history": "historicalprices", "market_history": "markethistory"}


class NotOverHttp(PricetrackerError):
    """What the HTTP API does not do; the message says what does."""


class PricesOverHttp(Prices):
    """What an HTTP API publishes. Connections are kept and used again; each answer is held in memory.

    Besides the errors of all Prices: ApiError where the API cannot be reached, lets nobody in, or is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """Ask once, so that what is wrong with address or token is told here.

        Args:
            url: of the API, e.g. ``http://127.0.0.1:8000``.
            token: which it wants; None: that of PRICETRACKER_HTTP__TOKEN, if set.
        """
        self._api = Api(url, token)
        super().__init__(self._api.shown)
        self._as_of()

    def _answer(self, what: str, **given: Any) -> duckdb.DuckDBPyRelation:
        if what == "sql":
            raise NotOverHttp(_NO_SQL)
        parameters = _PARAMETERS[what](given)
        if what == "history" and given["start"] is None and given["hours"] != 24:
            first, _ = between(None, moment_of(given["end"]), given["hours"], self._as_of())
            parameters["start"] = _text(first)
        return _relation(self._api.table(_PATHS.get(what, what), parameters))

    def _as_of(self) -> datetime | None:
        [(as_of,)] = _relation(self._api.table("snapshot", {})).select("as_of").fetchall()
        return None if as_of is None else as_of.astimezone(UTC)


def _relation(table: pa.Table) -> duckdb.DuckDBPyRelation:
    """Return the rows as a relation of their own: it needs neither the answer nor any later question."""
    return sql.connect().from_arrow(table).materialize()


def _history(given: Mapping[str, Any]) -> Parameters:
    return {"measure_name": known_measure(given["measure"])} | _candles(given)


def _candles(given: Mapping[str, Any]) -> Parameters:
    every = given["every"]
    if every is not None:
        width(every)  # what is wrong is told without asking
    return (
        {"metric_name": given["metric"]} | _times(given, "start", "end") | ({} if every is None else {"every": every})
    )


def _facts(given: Mapping[str, Any]) -> Parameters:
    return ({"open": "true"} if given["only_open"] else {}) | _times(given, "since")


def _times(given: Mapping[str, Any], *names: str) -> Parameters:
    found: dict[str, datetime | None] = {name: moment_of(given[name]) for name in names}
    return {name: _text(moment) for name, moment in found.items() if moment is not None}


def _text(moment: Moment) -> str:
    return moment if isinstance(moment, str) else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


_PARAMETERS: Mapping[str, Callable[[Mapping[str, Any]], Parameters]] = {
    "metrics": lambda _: {},
    "rank": lambda given: {} if given["measure"] is None else {"measure_name": known_measure(given["measure"])},
    "history": _history,
    "candles": _candles,
    "alerts": _facts,
    "incidents": _facts,
    "markets": lambda given: {} if given["market"] is None else {"market_name": given["market"]},
    "market_history": lambda given: {"market_name": given["market"]},
    "missed": lambda given: {} if given["metric"] is None else {"metric_name": given["metric"]},
    "snapshot": lambda _: {},
}
"""Of each question by the name of its method: the parameters of its path."""
