"""How OpenAPI describes answers: the columns of the published tables, and the shape of errors."""

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
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and the way out, in one line"},
        "parameter": {"type": "string"},
        "value": {},
        "known": {"type": "array", "items": {"type": "string"}},
    },
}
_STATUS = {
    401: "a token is wanted",
    404: "there is no such metric or measure; the detail says what there is",
    421: "this host is not served",
    422: "a parameter is missing, unknown or not of its form",
    429: "too many requests; Retry-After says when",
    503: "nothing is published, or the answer takes too long",
}

_CANDLES = schema.Table(
    "candles",
    "Candles of a metric",
    pa.schema(
        [
            *[schema.MINUTE_PRICES.columns.field(name) for name in ("metric", "minute")],
            *[
                schema.MINUTE_PRICES.columns.field(name)
                for name in ("open", "high", "low", "close", "volume", "trades")
            ],
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
_TABLES = {table.name: table for table in (*schema.VIEWS, *schema.TABLES, _CANDLES, _OVERVIEW)}


def answers_of(table: str) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a path that gives rows of a table."""
    rows = {"type": "array", "items": _row(_TABLES[table])}
    as_of = {"type": ["string", "null"], "format": "date-time", "description": "the newest minute covered, UTC"}
    whole = {"type": "object", "required": ["as_of", "data"], "properties": {"as_of": as_of, "data": rows}}
    text, binary = {"schema": {"type": "string"}}, {"schema": {"type": "string", "format": "binary"}}
    ok = {"description": _TABLES[table].comment, "content": {JSON: {"schema": whole}, CSV: text, ARROW: binary}}
    unchanged = {"description": "it is what If-None-Match names"}
    return {200: ok, 304: unchanged, **{status: _problem(said) for status, said in _STATUS.items()}}


def _problem(said: str) -> dict[str, Any]:
    return {"description": said, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}


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
