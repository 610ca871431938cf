"""The parameters of the HTTP API: their form, as OpenAPI shows it, and what a value means."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query

from pricetracker_dagster.candles.metric import MEASURES, parse_metric
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.reading.every import FORM
from pricetracker_dagster.reading.times import moment_of
from pricetracker_dagster.web.problems import Problem

FORMS = {
    "metric_name": "EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD",
    "market_name": "BASE/QUOTE or BASEQUOTE, e.g. BTC/USD",
    "measure_name": f"one of {', '.join(MEASURES)}",
    **dict.fromkeys(("start", "end", "since"), "ISO 8601, e.g. 2026-11-24T12:00Z (a + is %2B in a URL)"),
    "every": FORM,
    "format": "json, csv or arrow",
    "open": "true or false",
}
"""The form of each parameter in words."""

_METRIC = Query(
    description=f"A metric: {FORMS['metric_name']}.",
    examples=["KRAKEN:BTCUSD"],
    json_schema_extra={"pattern": "^[A-Z][A-Z0-9_]*:[A-Z0-9.]+$"},
    max_length=100,
)
_MEASURE = Query(
    description="A measure. change_percent is accepted for change_percentage.",
    examples=["price"],
    json_schema_extra={"enum": [*MEASURES, "change_percent"]},
    max_length=100,
)
_MARKET = Query(description=f"A market: {FORMS['market_name']}.", examples=["BTC/USD"], max_length=100)


def _time(what: str) -> object:
    return Query(
        description=f"{what} {FORMS['start']}; without a zone it is UTC, a date alone its midnight.",
        json_schema_extra={"format": "date-time"},
        max_length=40,
    )


MetricName = Annotated[str, _METRIC]
AnyMetricName = Annotated[str | None, _METRIC]
MarketName = Annotated[str, _MARKET]
AnyMarketName = Annotated[str | None, _MARKET]
MeasureName = Annotated[str, _MEASURE]
AnyMeasureName = Annotated[str | None, _MEASURE]
Start = Annotated[str | None, _time("The first minute; by default 24 hours before the end.")]
End = Annotated[str | None, _time("The first minute after the range; by default that after as_of.")]
Since = Annotated[str | None, _time("Only those that reach this minute.")]
Every = Annotated[
    str | None,
    Query(
        description=f"How wide the candles are: {FORM}. They begin at multiples of it since 1970 and are whole.",
        examples=["5m"],
        json_schema_extra={"pattern": "^[1-9][0-9]{0,5}[mhd]$"},
        max_length=10,
    ),
]
Form = Annotated[
    Literal["json", "csv", "arrow"] | None,
    Query(alias="format", description="In which form; comes before the header Accept."),
]
OnlyOpen = Annotated[bool, Query(alias="open", description="Leave out those that are resolved.")]


def checked_metric(text: str | None) -> str | None:
    """Return the name of a metric; raise a Problem where it is none."""
    if text is None:
        return None
    try:
        return str(parse_metric(text))
    except ValueError as error:
        raise Problem(422, f"metric_name: {error}", parameter="metric_name", value=text) from None


def checked_time(name: str, text: str | None) -> datetime | None:
    """Return a time; raise a Problem that names its parameter where it is none."""
    try:
        return moment_of(text)
    except PricetrackerError:
        said = f'{name} "{text}" is no time between 1970 and 2999: write {FORMS[name]}'
        raise Problem(422, said, parameter=name, value=text) from None
