"""Draws rows: a plotly figure of candles, or of a measure's line. Pure; what it looks like stands in layout.py.

A minute without a row stays a gap. A time is written in UTC and without a zone: a browser would move one into its own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import plotly.graph_objects as go

from pricetracker_dagster.candles.digits import shown
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, ranges
from pricetracker_dagster.reading import layout
from pricetracker_dagster.reading.drawn import CANDLES, Drawn
from pricetracker_dagster.settings import DIVERGENCE

_OF_A_CANDLE = ("open", "high", "low", "close", "volume", "trades", "minutes")
_OF_A_MINUTE = {"xperiod": 60_000, "xperiodalignment": "middle", "mode": "markers"}


def figure(drawn: Drawn) -> go.Figure:
    """Draw what was asked: values with gaps, missed minutes shaded with their cause, alerts at their minute."""
    found = go.Figure(layout=layout.of(drawn))
    found.add_traces(_candles(drawn) if drawn.what == CANDLES else [_line(drawn)])
    spans = _missed(drawn)
    for span, _ in spans:
        ends = {"x0": _text(span.first), "x1": _text(span.last + MINUTE), "y0": 0, "y1": 1}
        look = {"layer": "below", "line_width": 0, "fillcolor": layout.SHADE}
        found.add_shape(type="rect", name="missed minutes", xref="x", yref="paper", **ends, **look)
    if spans:
        found.add_trace(_causes(spans))
    found.add_traces(_alerts(drawn))
    return found


def _candles(drawn: Drawn) -> list[Any]:
    at, minutes = {row["minute"].astimezone(UTC): row for row in drawn.rows}, drawn.bins()
    columns = {
        name: [at[minute][name] if minute in at else None for minute in minutes]
        for name in ("open", "high", "low", "close", "volume")
    }
    said = [[_number(at.get(minute, {}).get(name)) for name in _OF_A_CANDLE] for minute in minutes]
    stored = "" if drawn.bin_minutes == 1 else f"<br>%{{customdata[6]}} of {drawn.bin_minutes} minutes stored"
    own = _own(drawn, minutes) | {"customdata": said}
    volume = columns.pop("volume")
    return [
        go.Candlestick(
            **own,
            **columns,
            name="price",
            hovertemplate="open %{customdata[0]}<br>high %{customdata[1]}<br>low %{customdata[2]}"
            f"<br>close %{{customdata[3]}}{stored}<extra></extra>",
            increasing={"line": {"color": layout.RISE, "width": 1}},
            decreasing={"line": {"color": layout.FALL, "width": 1}},
        ),
        go.Bar(
            **own,
            y=volume,
            yaxis="y2",
            name="volume",
            hovertemplate="volume %{customdata[4]}<br>trades %{customdata[5]}<extra></extra>",
            marker={"color": layout.BARS, "line": {"width": 0}},
        ),
    ]


def _line(drawn: Drawn) -> Any:
    at, minutes = {row["minute"].astimezone(UTC): row["value"] for row in drawn.rows}, drawn.bins()
    values = [at.get(minute) for minute in minutes]
    return go.Scatter(
        **_own(drawn, minutes),
        y=values,
        customdata=[_number(value) for value in values],
        name=drawn.what,
        mode="lines",
        connectgaps=False,
        line={"color": layout.LINE, "width": 1.5},
        hovertemplate=f"{drawn.what} %{{customdata}}<extra></extra>",
    )


def _missed(drawn: Drawn) -> list[tuple[MinuteRange, str]]:
    """Return the missed minutes shown, as ranges of one cause each."""
    by_cause: dict[str, list[datetime]] = {}
    for row in drawn.missed:
        if row["metric"] == drawn.metric and drawn.shows(row["minute"]):
            by_cause.setdefault(row["cause"] or "cause unknown", []).append(row["minute"].astimezone(UTC))
    return sorted((span, cause) for cause, minutes in by_cause.items() for span in ranges(minutes))


def _causes(spans: Sequence[tuple[MinuteRange, str]]) -> Any:
    """Return marks at the foot of the shaded ranges: a shape says nothing when one points at it."""
    said = [
        (span.first + MINUTE * i, f"missed {span}: {layout.plain(cause)}")
        for span, cause in spans
        for i in range(span.length)
    ]
    return go.Scatter(
        **_OF_A_MINUTE,
        x=[_text(minute) for minute, _ in said],
        y=[0.0] * len(said),
        yaxis="y3",
        customdata=[text for _, text in said],
        name="missed minutes",
        marker={"symbol": "square", "size": 5, "color": layout.FALL},
        hovertemplate="%{customdata}<extra></extra>",
    )


def _alerts(drawn: Drawn) -> list[Any]:
    """Return the marks of alerts: beside candles those of price and volume, else those of the measure."""
    axes = {"price": "y", "volume": "y2"} if drawn.what == CANDLES else {drawn.what: "y"}
    marks = []
    for measure, axis in axes.items():
        of_it = [row for row in drawn.alerts if (row["metric"], row["measure"]) == (drawn.metric, measure)]
        shown_here = [row for row in of_it if drawn.shows(row["minute"])]
        spikes = [row for row in shown_here if row.get("rule_kind") != DIVERGENCE]
        divergences = [row for row in shown_here if row.get("rule_kind") == DIVERGENCE]
        for name, compared, rows in (
            (f"{measure} alerts", "× its average %{customdata[2]}", spikes),
            ("divergences", "basis points from %{customdata[2]}, the median of others", divergences),
        ):
            if not rows:
                continue
            said = [
                [
                    layout.plain(row["rule"]),
                    *(_number(row[name]) for name in ("value", "average", "ratio")),
                    row["state"],
                ]
                for row in rows
            ]
            mark = go.Scatter(
                **_OF_A_MINUTE,
                x=[_text(row["minute"]) for row in rows],
                y=[row["value"] for row in rows],
                yaxis=axis,
                customdata=said,
                name=name,
                marker=layout.ALERT,
                hovertemplate=f"<b>alert %{{customdata[0]}}</b>: {measure} %{{customdata[1]}}, %{{customdata[3]}} "
                f"{compared} (%{{customdata[4]}})<extra></extra>",
            )
            marks.append(mark)
    return marks


def _own(drawn: Drawn, minutes: Sequence[datetime]) -> dict[str, Any]:
    """Return where a trace's bins stand: each in the middle of its time, so that shades and marks fit it."""
    return {
        "x": [_text(minute) for minute in minutes],
        "xperiod": drawn.bin_minutes * 60_000,
        "xperiodalignment": "middle",
    }


def _number(value: float | None) -> str:
    return "\u2013" if value is None else shown(value)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
