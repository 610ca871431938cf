// One market: the prices of all its exchanges in one chart, their table, and the CSV of the prices. It is built where a
// market is opened first. What plotly draws is in market_figure.js, the rows of the table in market_table.js.

import { go } from "./address.js";
import { ask, refusalText, url } from "./api.js";
import { createChart } from "./chart.js";
import { drawing, element, keyed, setAttribute, setText } from "./dom.js";
import { binText, LINES } from "./figure.js";
import { column, counted, NOTHING } from "./format.js";
import { dash, marketFigure } from "./market_figure.js";
import { marketTable } from "./market_table.js";
import { timed, timeRange, withGaps } from "./series.js";

const HOURS = 24; // that far the answer goes back

/** Build the view into a place of the page; `announce` says to screen readers what was opened. */
export function createMarket(place, announce) {
  const part = build();
  const chart = createChart(read, part.problem, marketFigure);
  const table = marketTable(part.tableScroll, "The exchanges of this market, the largest volume first");
  part.chartPlace.append(chart.root);
  place.append(part.root);
  let asked = null;
  let view = null;

  /** Ask for the prices of a market and show them with its rows of `markets`; what has not changed is drawn once. */
  async function show(now, asOf, rows) {
    part.root.hidden = false;
    if (asked?.market !== now.market) {
      asked?.stop.abort();
      asked = { market: now.market, stop: new AbortController(), answer: null };
      part.problem.hidden = true;
      view = null;
    }
    const mine = asked;
    setText(part.title, now.market);
    setText(part.count, rows.length ? counted(rows.length, "metric") : "");
    const question = { market_name: now.market };
    setAttribute(part.csv, "href", url("/pricetracker/markethistory", { ...question, format: "csv" }));
    setAttribute(part.csv, "download", `${now.market.replaceAll("/", "_")}_${HOURS}h.csv`);
    if (asOf === null) return;
    table.show(now, asOf, rows);
    try {
      const answer = await ask("markethistory", question, mine.stop.signal);
      if (mine !== asked || answer === mine.answer) return;
      const first = mine.answer === null;
      mine.answer = answer;
      take(now.market, timed(answer.data), asOf);
      if (first) announce(`${now.market}: ${counted(view.metrics.length, "metric")} in one chart, 24 hours`);
      await chart.show(view); // its program may take a while to load: all that tells the same in words is there
    } catch (error) {
      if (mine.stop.signal.aborted) return;
      if (error.kind !== "unknown" && error.kind !== "refused") throw error;
      refuse(error);
    }
  }

  function take(market, history, asOf) {
    const window = { ...timeRange(asOf, HOURS, 1), hours: String(HOURS) };
    const minutes = new Map();
    for (const row of history) {
      if (!minutes.has(row.at)) minutes.set(row.at, { at: row.at, prices: {} });
      minutes.get(row.at).prices[row.metric] = row;
    }
    const rows = [...minutes.values()];
    view = {
      metric: market,
      show: "market",
      window,
      rows,
      entries: withGaps(rows, window),
      // by name: a line keeps its colour while volumes change places
      metrics: [...new Set(history.map((row) => row.metric))].sort(),
      write: column(history.map((row) => row.price)),
    };
    part.problem.hidden = true;
    part.chartPlace.hidden = rows.length === 0;
    const label = `Crosshair of the chart: prices of ${market} on each exchange, 24 hours. The table below has the newest`;
    setAttribute(chart.root, "aria-label", label);
    read(null);
  }

  /** The prices under the crosshair, else the newest; it is the legend as well. */
  function read(index) {
    if (!view) return;
    const row = view.rows[index ?? view.rows.length - 1];
    const told = view.metrics.map((metric, i) => ({ metric, i, text: price(row, metric) }));
    const minute = row ? binText(row.at, view.window) : "";
    setText(part.minute, minute);
    keyed(
      part.legend,
      told,
      (each) => each.metric,
      makeKey,
      (node, each) => {
        setAttribute(node, "data-line", each.i % LINES);
        setAttribute(node, "data-dash", dash(each.i));
        setText(node.lastChild, each.text);
      },
    );
    chart.told(index, `${minute} ${told.map((each) => `${each.metric} ${each.text}`).join(", ")}`);
  }

  function price(row, metric) {
    const of = row?.prices[metric];
    return of ? view.write(of.price) : NOTHING;
  }

  function refuse(error) {
    setText(part.problem, refusalText(error));
    part.problem.hidden = false;
    part.chartPlace.hidden = true;
    view = null;
    setText(part.minute, "");
    keyed(part.legend, [], String, makeKey);
  }

  return {
    show,
    /** Another view is shown: nothing of it is asked for any more. */
    leave() {
      part.root.hidden = true;
      asked?.stop.abort();
      asked = view = null;
    },
    focus: () => part.title.focus({ preventScroll: true }),
  };
}

/** A line of the legend: how it is drawn, whose it is, its price. */
function makeKey({ metric }) {
  const line = drawing("svg", { viewBox: "0 0 18 6", "aria-hidden": "true" }, drawing("path", { d: "M0 3h18" }));
  return element("li", {}, line, element("span", {}, metric), element("b"));
}

function build() {
  const part = {
    title: element("h2", { id: "market-title", tabindex: "-1" }),
    count: element("span", { class: "quiet" }),
    minute: element("p", { class: "quiet" }),
    legend: element("ul", { class: "legend" }),
    problem: element("p", { class: "problem", role: "alert", hidden: true }),
    chartPlace: element("div", { class: "chart-place" }),
    csv: element("a", { class: "csv" }, "CSV"),
    tableScroll: element("div", {
      class: "scroll table-scroll",
      tabindex: "0",
      role: "region",
      "aria-label": "The exchanges of this market",
    }),
  };
  const close = element(
    "button",
    {
      type: "button",
      class: "close",
      title: "Back to the markets (Esc)",
      "aria-label": "Close the market",
      onclick: () => go({ market: "" }),
    },
    "✕",
  );
  const units = element("span", {}, "price in quote currency, deviations in basis points");
  part.root = element(
    "div",
    { class: "part" },
    element("div", { class: "pane-head metric-head" }, part.title, part.count, close),
    element(
      "div",
      { class: "metric-body" },
      element("div", { class: "readings" }, part.minute, part.legend),
      part.problem,
      part.chartPlace,
      element("p", { class: "under quiet" }, units, element("span", { class: "links" }, part.csv)),
      part.tableScroll,
    ),
  );
  return part;
}
