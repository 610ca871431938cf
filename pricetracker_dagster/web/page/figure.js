// What plotly draws, as plain data: traces and layout from rows, gaps, missed ranges and alerts. Loading plotly,
// drawing and the crosshair are in chart.js; the colours come from the style sheet.

import { clock, computed, day, number } from "./format.js";
import { isDivergence, measureLabel, ratioText } from "./values.js";

const MINUTE = 60_000;

/** How many colours lines side by side have: --line-0 and the next ones of the style sheet. */
export const LINES = 6;

/** A time as plotly takes it: it knows no zones, so UTC is written as if it were local. */
export const at = (time) => new Date(time).toISOString().slice(0, 19).replace("T", " ");

/** Text within a chart: plotly reads a few tags in it, which data must not be able to write. */
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Traces and layout of a chart. `view`: show, rows, entries (with gaps), ranges (missed), alerts, window, colours. */
export function figure(view) {
  const candles = view.show === "candles";
  const data = candles ? [candleTrace(view), volumeTrace(view)] : measureTraces(view);
  return { data: [...data, ...alertTraces(view, candles), ...missedTrace(view)], layout: layout(view, candles) };
}

function candleTrace({ rows, colours }) {
  return {
    type: "candlestick",
    x: rows.map((row) => at(row.at)),
    open: rows.map((row) => row.open),
    high: rows.map((row) => row.high),
    low: rows.map((row) => row.low),
    close: rows.map((row) => row.close),
    // hollow and filled: the direction is told without colour, too
    increasing: { line: { color: colours.up, width: 1 }, fillcolor: colours.paper },
    decreasing: { line: { color: colours.down, width: 1 }, fillcolor: colours.down },
    whiskerwidth: 0,
    hoverinfo: "none",
    name: "price",
  };
}

function volumeTrace({ rows, colours, window }) {
  return {
    type: "bar",
    x: rows.map((row) => at(row.at)),
    y: rows.map((row) => row.volume),
    width: window.step * MINUTE * 0.7,
    marker: { color: colours.volume },
    yaxis: "y2",
    hoverinfo: "none",
    name: "volume",
  };
}

/** The price as a line, other measures as bars from zero; where nothing is stored the value is null, and nothing is drawn. */
function measureTraces({ entries, show, colours, window }) {
  const trace = {
    x: entries.map((entry) => at(entry.at)),
    y: entries.map((entry) => (entry.gap ? null : entry.value)),
    hoverinfo: "none",
    name: measureLabel(show),
  };
  if (show !== "price") {
    const color =
      show === "volume" ? colours.line : entries.map((entry) => (entry.value < 0 ? colours.down : colours.up));
    return [
      {
        ...trace,
        type: "bar",
        width: window.step * MINUTE * 0.8,
        marker: { color, opacity: 0.75, line: { width: 0 } },
      },
    ];
  }
  const stored = (i) => entries[i] !== undefined && !entries[i].gap;
  const alone = entries.filter((_, i) => stored(i) && !stored(i - 1) && !stored(i + 1));
  const dots = {
    type: "scatter",
    mode: "markers",
    x: alone.map((entry) => at(entry.at)),
    y: alone.map((entry) => entry.value),
    marker: { color: colours.line, size: 4 },
    hoverinfo: "skip",
    name: "a minute between gaps",
  };
  return [
    { ...trace, type: "scatter", mode: "lines", connectgaps: false, line: { color: colours.line, width: 1.4 } },
    ...(alone.length ? [dots] : []),
  ];
}

/** Where an alert stands: on the axis of its measure where that is drawn, else at the foot of the chart. */
function alertTraces({ alerts, show, colours, window }, candles) {
  const axis = (alert) =>
    candles ? { price: "y", volume: "y2" }[alert.measure] : alert.measure === show ? "y" : undefined;
  const drawn = alerts.filter((alert) => axis(alert));
  return ["y", "y2"].flatMap((yaxis) => {
    const mine = drawn.filter((alert) => axis(alert) === yaxis);
    if (!mine.length) return [];
    const x = mine.map((alert) => at(alert.at));
    const hover = {
      hoverlabel: { bgcolor: colours.paper, bordercolor: colours.alert, font: { color: colours.text } },
      yaxis,
    };
    return [
      {
        ...hover,
        type: "scatter",
        mode: "markers",
        x,
        y: mine.map((alert) => alert.average),
        marker: { symbol: "line-ew-open", size: 14, color: colours.alert, line: { width: 3 } },
        hoverinfo: "skip",
        name: "average before the alert",
      },
      {
        ...hover,
        type: "scatter",
        mode: "markers+text",
        x,
        y: mine.map((alert) => alert.value),
        text: mine.map((alert) => ratioText(alert, alert.ratio, 2)),
        textposition: mine.map((alert) =>
          alert.at > window.end - 0.15 * (window.end - window.start) ? "middle left" : "middle right",
        ),
        textfont: { color: colours.alert, size: 11 },
        marker: { symbol: "diamond", size: 9, color: colours.alert, line: { color: colours.paper, width: 1 } },
        hovertemplate: mine.map(
          (alert) =>
            `${clock(alert.at)} UTC · ${plain(alert.rule)}<br>value ${number(alert.value)}<br>${isDivergence(alert) ? "median of the others" : "average"} ${computed(alert.average, 5)}<extra></extra>`,
        ),
        cliponaxis: false,
        name: "alert",
      },
    ];
  });
}

/** Points at the head of each missed range that tell its cause on hover. */
function missedTrace({ ranges, colours }) {
  if (!ranges.length) return [];
  const told = ({ from, to, count, cause }) =>
    `missed ${clock(from)}–${clock(to - MINUTE)} UTC (${count} min)<br>${plain(cause)}<extra></extra>`;
  return [
    {
      type: "scatter",
      mode: "markers",
      x: ranges.map((range) => at((range.from + range.to) / 2)),
      y: ranges.map(() => 1),
      yaxis: "y3",
      marker: { symbol: "triangle-down", size: 9, color: colours.missed },
      hovertemplate: ranges.map(told),
      hoverlabel: { bgcolor: colours.paper, bordercolor: colours.missed, font: { color: colours.text } },
      cliponaxis: false,
      name: "missed minutes",
    },
  ];
}

/** The frame of a chart: axes, shades and lines. */
export function layout(view, candles) {
  const { colours, window, show, metric } = view;
  const axis = {
    gridcolor: colours.grid,
    zeroline: !candles && show !== "price" && show !== "volume",
    zerolinecolor: colours.axis,
    linecolor: colours.axis,
    tickfont: { color: colours.quiet, size: 11 },
    fixedrange: true,
  };
  const crosshair = {
    showspikes: true,
    spikemode: "across",
    spikesnap: "cursor",
    spikedash: "dot",
    spikethickness: 1,
    spikecolor: colours.cross,
  };
  return {
    autosize: true,
    margin: { l: 8, r: 66, t: 12, b: 40 },
    paper_bgcolor: colours.paper,
    plot_bgcolor: colours.paper,
    font: { family: colours.font, color: colours.text, size: 12 },
    showlegend: false,
    dragmode: "zoom",
    hovermode: "x",
    hoverdistance: 12,
    spikedistance: -1,
    bargap: 0,
    // a zoom stays while the minutes go by, and ends with another metric, measure or range
    uirevision: `${metric} ${show} ${window.hours}`,
    xaxis: {
      ...axis,
      ...crosshair,
      type: "date",
      anchor: candles ? "y2" : "y",
      range: [at(window.start), at(window.end)],
      rangeslider: { visible: false },
      fixedrange: false,
      showgrid: false,
      ticks: "outside",
      ticklen: 4,
      tickcolor: colours.axis,
      nticks: 7,
      tickformatstops: [
        { dtickrange: [null, 3_600_000 * 23], value: "%H:%M\n%-d %b" },
        { dtickrange: [3_600_000 * 23, null], value: "%-d %b" },
      ],
    },
    yaxis: {
      ...axis,
      ...crosshair,
      side: "right",
      domain: candles ? [0.25, 1] : [0, 1],
      nticks: 7,
      rangemode: show === "volume" ? "tozero" : "normal",
      exponentformat: "none",
      separatethousands: true,
    },
    ...(candles
      ? { yaxis2: { ...axis, side: "right", domain: [0, 0.2], nticks: 3, rangemode: "tozero", exponentformat: "B" } }
      : {}),
    yaxis3: { overlaying: "y", domain: [0, 1], range: [0, 1.015], visible: false, fixedrange: true },
    shapes: [...shades(view), ...lines(view)],
  };
}

/** Missed minutes as shades over the whole height; an edge keeps one minute of seven days visible. */
function shades({ ranges, colours }) {
  return ranges.map((range) => ({
    type: "rect",
    xref: "x",
    yref: "paper",
    x0: at(range.from),
    x1: at(range.to),
    y0: 0,
    y1: 1,
    fillcolor: colours.missedFill,
    line: { width: 1, color: colours.missedFill },
    layer: "below",
  }));
}

function lines({ alerts, colours }) {
  return alerts.map((alert) => ({
    type: "line",
    xref: "x",
    yref: "paper",
    x0: at(alert.at),
    x1: at(alert.at),
    y0: 0,
    y1: 1,
    line: { color: colours.alert, width: 1, dash: "dot" },
    layer: "below",
  }));
}

/** When a bin is, for people. */
export const binText = (time, window) => `${window.hours === "168" ? `${day(time)} ` : ""}${clock(time)} UTC`;
