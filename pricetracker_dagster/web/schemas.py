"""How OpenAPI describes answers: the columns of the published tables, and the shape of errors."""

from http import HTTPStatus
from typing import Any

import pyarrow as pa

from pricetracker_dagster.candles.schema import TIMESTAMP, column
from pricetracker_dagster.store import schema
from pricetracker_dagster.web.negotiation import ARROW, CSV, JSON
from pricetracker_dagster.web.problems import MEDIA_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "always about:blank: the status says the kind"},
        "title": {"type": "string", "description": "the phrase of the status"},
        "status": {"type": "integer", "description": "the HTTP status"},
        "detail": {"type": "string", "description": "what is wrong and the way out, in one line"},
        "parameter": {"type": "string", "description": "which parameter is wrong"},
        "value": {"description": "what was given for it"},
        "known": {"type": "array", "items": {"type": "string"}, "description": "what there is instead"},
    },
}
COMPONENTS = {"Problem": _PROBLEM}
"""Schemas that are told once."""

_STATUS = {
    401: ("the token is missing or wrong", "a token is needed: send the header Authorization: Bearer …"),
    404: ("there is no such metric or measure", "no measure prise; did you mean price?"),
    421: ("the server is not called as the header Host says", "this server is not called so"),
    422: (
        "a parameter is missing, unknown, given twice, or not of its form",
        'every "0m": write whole minutes, hours or days, e.g. 5m, 1h or 1d, at most 366 days',
    ),
    429: ("too many requests of one client; Retry-After says when to ask again", "ask again in 2 s"),
    503: (
        "nothing is published yet, or the answer takes too long or too much; Retry-After may say when to ask again",
        "nothing is published yet: run `pricetracker up` or `pricetracker tick` first",
    ),
}

_CANDLES = schema.Table(
    "candles",
    "Candles of a metric",
    pa.schema(
        [
            *[schema.MINUTE_PRICES.columns.field(name) for name in ("metric", "minute")],
            *[schema.MINUTE_PRICES.columns.field(name) for name in ("open", "high", "low", "close", "volume")],
            column("trades", pa.int64(), "number of trades; NULL where that of any of its minutes is not told"),
            column("minutes", pa.int64(), "how many minutes of the candle are stored"),
        ]
    ),
)
_OVERVIEW = schema.Table(
    "overview",
    "A row a metric in the order of the rank",
    pa.schema(
        [
            *[schema.METRIC_RANK.columns.field(name) for name in ("rank", "of", "metric")],
            *[schema.AVAILABLE_METRICS.columns.field(name) for name in ("last_value", "last_minute")],
            column("change_24h_percent", pa.float64(), "of the price, over the 24 hours", "per cent"),
            *[schema.METRIC_RANK.columns.field(name) for name in ("stddev", "mean", "relative_stddev", "observations")],
            column("sparkline", pa.list_(pa.int64()), "48 half hours: 0 the lowest, 100 the highest, null none"),
            column("firing", pa.int64(), "how many alerts fire on it, of any measure"),
        ]
    ),
)
_MARKET_HISTORY = schema.Table(
    "market_history",
    "The minutes of a market on each exchange",
    pa.schema(
        [
            *[schema.MARKETS.columns.field(name) for name in ("market", "exchange", "metric")],
            schema.MINUTE_PRICES.columns.field("minute"),
            column("price", pa.float64(), "the minute's close", "quote currency"),
            column("weighted_price", pa.float64(), "mean of all that have the minute, by volume_24h; null: alone"),
            column("deviation_bps", pa.float64(), "how far the price is from it", "basis points"),
        ]
    ),
)
_TABLES = {table.name: table for table in (*schema.VIEWS, *schema.TABLES, _CANDLES, _OVERVIEW, _MARKET_HISTORY)}


_EXAMPLES: dict[str, Any] = {
    "metric": "KRAKEN:BTCUSD",
    "measure": "price",
    "market": "BTC/USD",
    "base": "BTC",
    "quote": "USD",
    "volume_share": 0.25,
    "deviation_bps": -1.5,
    "largest_deviation_bps": 12.25,
    "cause": "exchange error",
    "rule": "spike",
    "state": "resolved",
    "observations": 1440,
    "minutes": 5,
    "trades": 21,
    "metrics": 3,
    "rows": 12960,
    "rank": 1,
    "of": 3,
    "stddev": 412.5,
    "mean": 96512.25,
    "relative_stddev": 0.00427,
    "change_24h_percent": -1.25,
    "volume": 3.25,
    "sparkline": [0, 37, 100],
    "firing": 0,
    "schema_version": 1,
}
_TIME = "2026-11-26T21:00:00Z"
_OF_KIND: dict[pa.DataType, Any] = {
    pa.string(): "text",
    pa.float64(): 96250.5,
    pa.bool_(): True,
    pa.list_(pa.string()): ["KRAKEN:BTCUSD"],
}


def answers_of(table: str) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a path that gives rows of a table."""
    row, example = _row(_TABLES[table]), _example(_TABLES[table])
    as_of = {"type": ["string", "null"], "format": "date-time", "description": "the newest minute covered, UTC"}
    rows = {"type": "array", "items": row, "description": _TABLES[table].comment}
    whole = {"type": "object", "required": ["as_of", "data"], "properties": {"as_of": as_of, "data": rows}}
    json = {"schema": whole, "example": {"as_of": _TIME, "data": [example]}}
    line = ",".join(str(value) for value in example.values() if not isinstance(value, list))
    columns = ",".join(name for name, value in example.items() if not isinstance(value, list))
    text = {"schema": {"type": "string"}, "example": f"{columns}\n{line}\n"}
    binary = {"schema": {"type": "string", "format": "binary"}}
    tag = {"description": "of this answer, for If-None-Match", "schema": {"type": "string"}}
    ok = {
        "description": f"{_TABLES[table].comment}.",
        "headers": {"ETag": tag},
        "content": {JSON: json, CSV: text, ARROW: binary},
    }
    unchanged = {"description": "it is what If-None-Match names"}
    problems: dict[int | str, dict[str, Any]] = {status: problem_answer(status) for status in _STATUS}
    return {200: ok, 304: unchanged, **problems}


def problem_answer(status: int) -> dict[str, Any]:
    """Return how an error of some status is answered."""
    said, detail = _STATUS[status]
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    return {"description": said, "content": content}


def _example(table: schema.Table) -> dict[str, Any]:
    """Return a row that shows what the columns are like."""
    return {
        name: _EXAMPLES.get(name, _TIME if kind == TIMESTAMP else _OF_KIND.get(kind, 3))
        for name, kind in zip(table.columns.names, table.columns.types, strict=True)
    }


def _row(table: schema.Table) -> dict[str, Any]:
    comments = schema.comments(table.columns)
    return {
        "type": "object",
        "properties": {
            name: {**_kind(kind), "description": comments[name]}
            for name, kind in zip(table.columns.names, table.columns.types, strict=True)
        },
    }


def _kind(kind: pa.DataType) -> dict[str, Any]:
    """Return a column's type in JSON; any value may be null."""
    if pa.types.is_list(kind):
        return {"type": ["array", "null"], "items": _kind(kind.value_type)}
    if kind == TIMESTAMP:
        return {"type": ["string", "null"], "format": "date-time"}
    of = {pa.string(): "string", pa.float64(): "number", pa.bool_(): "boolean"}
    return {"type": [of.get(kind, "integer"), "null"]}
