"""Pictures of the published history, for people. Imports pandas and matplotlib: never on a tick's path."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from pricetracker_dagster.reading.published import ask
from pricetracker_dagster.reading.questions import of_history, of_rank

MOST = 24
"""Metrics that are drawn, in the order of their price's rank: each picture takes some 20 KB of the event log."""


class Chart(NamedTuple):
    """One metric's last 24 hours: how many minutes are shown, and the picture in base64."""

    metric: str
    minutes: int
    png: str


def charts(published: Path) -> list[Chart]:
    """Draw price and volume of the last 24 hours of each metric, times in UTC. Missed minutes are gaps in the line.

    Raises:
        NotPublished: there is no published file yet.
    """
    ranked = ask(published, of_rank("price")).to_dicts()
    return [_chart(published, row["metric"]) for row in ranked[:MOST]]


def _chart(published: Path, metric: str) -> Chart:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    price = ask(published, of_history(metric, "price")).df().set_index("minute")["value"]
    volume = ask(published, of_history(metric, "volume")).df().set_index("minute")["value"]
    every_minute = price.asfreq("min")  # a missed minute becomes a gap, not a straight line

    figure = Figure(figsize=(8, 3), dpi=80, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot(every_minute.index, every_minute, linewidth=1, color="#2b6cb0")
    above.set_title(f"{metric}, price", loc="left", fontsize=10)
    below.bar(volume.index, volume, width=1 / 1440, color="#a0aec0")
    below.set_ylabel("volume", fontsize=8)
    locator = AutoDateLocator(tz="UTC")
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)

    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return Chart(metric, len(price), base64.b64encode(picture.getvalue()).decode())
