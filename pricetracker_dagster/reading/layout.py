"""What a figure looks like: colours, axes with their units, title. Nothing here knows a row."""

from html import escape
from typing import Any

from pricetracker_dagster.candles.digits import shown
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.reading.drawn import CANDLES, Drawn

UNITS = {
    "price": "quote currency",
    "volume": "base units",
    "change_absolute": "quote currency",
    "change_percentage": "%",
}
"""The unit of each measure, as an axis says it."""

# in the middle between black and white: one figure is legible on a light page and on a dark one
_INK, _GRID, _CLEAR = "#7d8590", "rgba(125, 133, 144, 0.22)", "rgba(0, 0, 0, 0)"
LINE, RISE, FALL, BARS = "#3b82c4", "#26a17b", "#e0524d", "rgba(125, 133, 144, 0.6)"
SHADE = "rgba(224, 82, 77, 0.16)"
ALERT = {"symbol": "triangle-down", "size": 12, "color": "#e69f00", "line": {"width": 1, "color": _INK}}

_AXIS = {"gridcolor": _GRID, "linecolor": _GRID, "zeroline": False, "automargin": True}
_NUMBERS = _AXIS | {"exponentformat": "none", "separatethousands": True}


def of(drawn: Drawn) -> dict[str, Any]:
    """Return the layout of a figure: times in UTC, the figures' units, and how new they are."""
    of_bin = "" if drawn.bin_minutes == 1 else f", {_bin_text(drawn.bin_minutes)} each"
    title = {
        "text": f"{plain(drawn.metric)} · {drawn.what}{of_bin}",
        "subtitle": {"text": f"{shown(drawn.hours)} hours up to {drawn.as_of:%Y-%m-%d %H:%M} UTC (as_of)"},
        "font": {"size": 16},
        "x": 0,
        "xref": "paper",
    }
    colours = {
        "template": "none",
        "font": {"color": _INK, "size": 12},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "modebar": {"bgcolor": _CLEAR, "color": _INK, "activecolor": LINE},
        "hoverlabel": {"bgcolor": "#24292f", "bordercolor": "#24292f", "font": {"color": "#f6f8fa"}},
    }
    places = {
        "height": 520 if drawn.what == CANDLES else 400,
        "margin": {"t": 80, "r": 24, "b": 56, "l": 72},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        "bargap": 0.15,
        "hovermode": "x unified",
        "hoversubplots": "axis",
    }
    return {"title": title, **colours, **places, **_axes(drawn)}


def plain(text: str) -> str:
    """Return a text that is shown as it is: plotly takes tags in one for format, and a percent sign for a value."""
    return escape(text, quote=False).replace("%{", "%&#123;")


def _axes(drawn: Drawn) -> dict[str, Any]:
    """Return the axis of time, that of the values, that of volumes below candles, and one for marks at the foot."""
    candles = drawn.what == CANDLES
    above = "price" if candles else drawn.what
    axes = {
        "xaxis": _AXIS
        | {
            "type": "date",
            "title": {"text": "time (UTC)"},
            "hoverformat": "%Y-%m-%d %H:%M UTC",
            "range": [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (drawn.start, drawn.as_of + MINUTE)],
            "rangeslider": {"visible": False},
            "spikecolor": _INK,
            "spikethickness": 1,
            "anchor": "y2" if candles else "y",
        },
        "yaxis": _NUMBERS | {"title": {"text": f"{above} ({UNITS[above]})"}, "domain": [0.3, 1] if candles else [0, 1]},
        "yaxis3": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    }
    if candles:
        below = {"title": {"text": f"volume ({UNITS['volume']})"}, "domain": [0, 0.22], "rangemode": "tozero"}
        axes["yaxis2"] = _NUMBERS | below
    return axes


def _bin_text(minutes: int) -> str:
    return f"{minutes} minutes" if minutes < 60 else f"{minutes // 60} hours" if minutes > 60 else "1 hour"
