// What plotly draws of a market: a line for each metric of it over one axis. The frame, its axes and the colours are the
// metric's own chart's (figure.js, chart.js); which rows there are is given by market.js.

import { at, LINES, layout } from "./figure.js";

const DASHES = ["solid", "dash", "dot"];

/** Traces and layout. `view`: metrics (each a line), entries (a minute each, with gaps), window, colours. */
export function marketFigure(view) {
  const data = view.metrics.map((metric, i) => line(view, metric, i));
  return { data, layout: layout({ ...view, ranges: [], alerts: [] }, false) };
}

/** One line; a minute whose neighbours are missing is a dot, since a line needs two. */
function line({ entries, colours }, metric, i) {
  const y = entries.map((entry) => entry.prices?.[metric]?.price ?? null);
  const alone = y.map((price, at) => price !== null && (y[at - 1] ?? null) === null && (y[at + 1] ?? null) === null);
  const color = colours.lines[i % LINES];
  return {
    type: "scatter",
    mode: alone.includes(true) ? "lines+markers" : "lines",
    x: entries.map((entry) => at(entry.at)),
    y,
    connectgaps: false,
    line: { color, width: 1.4, dash: dash(i) },
    marker: { color, size: alone.map((is) => (is ? 3 : 0)), line: { width: 0 } },
    hoverinfo: "none",
    name: metric,
  };
}

/** How a line is drawn: beyond the colours that there are, it is dashed. */
export const dash = (i) => DASHES[Math.floor(i / LINES) % DASHES.length];
