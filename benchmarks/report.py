"""The page of a run: what was held, what was missed, and what has changed; one file that needs no network.

Light or dark as the reader's system is. The charts are plotly's; the tables need no JavaScript.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from benchmarks.results import Change, Figure, Run, beside, changes, summary
from benchmarks.rows import shown

HELD, MISSED, NEITHER = "#2f8f6b", "#d0573f", "#7d8fa0"
"""Colours that stand out from white and from near black."""

_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000)

_STYLE = """
:root { color-scheme: light dark; --page: #f4f6f8; --pane: #fff; --text: #17212a; --quiet: #55626d; --edge: #d5dce1;
  --held: #08734a; --missed: #b42f28; }
@media (prefers-color-scheme: dark) { :root { --page: #0b1115; --pane: #12191f; --text: #dde5ea; --quiet: #93a2ae;
  --edge: #28343d; --held: #4cc38f; --missed: #f27e73; } }
body { margin: 0; padding: 1.5rem; background: var(--page); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 78rem; margin: auto; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .quiet { color: var(--quiet); }
section { background: var(--pane); border: 1px solid var(--edge); border-radius: 8px;
  padding: .5rem 1rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--edge); vertical-align: top; }
tr:last-child td { border-bottom: 0; } th { color: var(--quiet); font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.held { color: var(--held); } .missed { color: var(--missed); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0; }
dt { color: var(--quiet); } dd { margin: 0; }
"""

_SCHEME = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--text").trim(), edge = style.getPropertyValue("--edge").trim();
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(chart, {"font.color": text, "xaxis.gridcolor": edge, "shapes[0].line.color": text});
  }
}
dark.addEventListener("change", paint);
paint();
"""


def page(run: Run, before: Run | None = None) -> str:
    """Return the page of a run as HTML.

    Args:
        run: what was measured.
        before: an earlier run to compare it with.
    """
    charts = [
        _chart("goals", "how far from the goal (right of 1: held)", [(row, margin(row)) for row in run.rows]),
        _chart("peers", "times as good as the peer in the same run", [(row, times_the_peer(row)) for row in run.rows]),
    ]
    parts = [
        f"<h1>Benchmarks</h1><p>{escape(summary(run.rows))}</p>",
        f'<p class="quiet">{escape(run.at)}, commit {escape(run.commit)}</p>',
        *(f"<h2>{title}</h2><section>{chart}</section>" for title, chart in charts if chart),
        f"<h2>Figures</h2><section>{_figures(run.rows)}</section>",
        *_comparison(run, before),
        f"<h2>Machine</h2><section>{_list(run.machine)}</section>",
        f"<h2>Versions</h2><section>{_list(run.versions)}</section>",
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Benchmarks</title>'
    scripts = f"<script>{_SCHEME}</script>" if any(chart for _, chart in charts) else ""
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>'
        f"<body><main>{''.join(parts)}</main>{scripts}</body></html>\n"
    )


def margin(row: Figure) -> float | None:
    """Return how many times better than its goal a figure is; below 1: missed. None: there is nothing to compare."""
    found = re.match(r"([<>])=?\s*([\d.,]+(?:e[+-]?\d+)?)", row.goal)
    value = row.ratio if row.goal_is_of_the_ratio else row.ours
    if found is None or row.held is None or not value:
        return None
    goal = float(found[2].replace(",", ""))
    return value / goal if found[1] == ">" else goal / value


def times_the_peer(row: Figure) -> float | None:
    """Return how many times better than its peer a figure is."""
    if not row.ours or not row.peer:
        return None
    return row.ours / row.peer if "/s" in row.unit or "a second" in row.unit else row.peer / row.ours


def _chart(name: str, title: str, bars: Iterable[tuple[Figure, float | None]]) -> tuple[str, str]:
    """Return a chart's title and HTML; the lengths are logarithms, so that half and twice are equally far from 1."""
    drawn = [(row, value) for row, value in bars if value is not None and value > 0]
    if not drawn:
        return title, ""
    drawn.reverse()  # plotly begins at the bottom
    colours = {"held": HELD, "MISSED": MISSED}
    figure = go.Figure(
        go.Bar(
            x=[math.log10(value) for _, value in drawn],
            y=[f"{_safe(row.name)}{' ' * i}" for i, (row, _) in enumerate(drawn)],  # blanks keep equal names apart
            orientation="h",
            marker_color=[colours.get(row.verdict, NEITHER) for row, _ in drawn],
            text=[f"{shown(value)} ×" for _, value in drawn],
            textposition="auto",
            hovertext=[_safe(f"{shown(row.ours)} {row.unit}, {beside(row)} {row.goal}") for row, _ in drawn],
            hoverinfo="text",
        )
    )
    ends = [math.log10(value) for _, value in drawn] + [math.log10(0.5), math.log10(2)]
    ticks = [tick for tick in _TICKS if min(ends) - 0.2 <= math.log10(tick) <= max(ends) + 0.2]
    figure.update_layout(
        height=90 + 26 * len(drawn),
        margin={"l": 10, "r": 30, "t": 10, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=0.25,
        xaxis={"tickvals": [math.log10(tick) for tick in ticks], "ticktext": [f"{tick:g}" for tick in ticks]},
        yaxis={"automargin": True, "ticksuffix": "  "},
        shapes=[{"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": {"width": 1}}],
    )
    return title, str(
        figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False})
    )


def _figures(rows: Sequence[Figure]) -> str:
    lines = ['<table><tr><th>what<th class="n">ours<th>beside<th class="n">ratio<th>goal<th></tr>']
    last = None
    for row in rows:
        if row.benchmark != last:
            lines.append(f'<tr><td colspan="6" class="quiet">python -m benchmarks.{escape(row.benchmark)}</td></tr>')
            last = row.benchmark
        ours = "" if row.failed else f"{shown(row.ours)} {row.unit}"
        cells = [("", row.name), ("n", ours), ("", row.failed or beside(row)), ("n", shown(row.ratio)), ("", row.goal)]
        look = {"held": "held", "MISSED": "missed", "failed": "missed"}.get(row.verdict, "quiet")
        lines.append(_line([*cells, (look, row.verdict.lower())]))
    return "".join([*lines, "</table>"])


def _comparison(run: Run, before: Run | None) -> list[str]:
    if before is None:
        return []
    found = sorted(changes(run.rows, before.rows), key=lambda each: each.gain)
    lines = ['<table><tr><th>what<th class="n">then<th class="n">now<th class="n">ratio then<th class="n">now<th></tr>']
    lines += [_line(_compared(each)) for each in found]
    title = f"Beside {escape(before.commit)} of {escape(before.at)}"
    return [f"<h2>{title}</h2><section>{''.join([*lines, '</table>'])}</section>"]


def _compared(change: Change) -> list[tuple[str, str]]:
    now, then = change.now, change.before
    look = {"better": "held", "worse": "missed"}.get(change.said.rpartition(" ")[2], "quiet")
    figures = [f"{shown(then.ours)} {now.unit}", f"{shown(now.ours)} {now.unit}", shown(then.ratio), shown(now.ratio)]
    return [("", now.name), *(("n", each) for each in figures), (look, change.said)]


def _line(cells: Iterable[tuple[str, str]]) -> str:
    return "<tr>" + "".join(f'<td class="{look}">{escape(text)}</td>' for look, text in cells) + "</tr>"


def _list(parts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in parts.items()) + "</dl>"


def _safe(text: str) -> str:
    """Return a text that plotly shows as it is: it takes tags in one for format."""
    return escape(text, quote=False)
