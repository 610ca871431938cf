// The elements of a metric's view, and how they lie in each other. What they show, and when, is in metric.js.

import { go } from "./address.js";
import { byId, element } from "./dom.js";
import { timeElement } from "./format.js";
import { MEASURES, RANGES } from "./values.js";

const SHOWS = [{ name: "candles", label: "Candles", unit: "open, high, low, close and volume" }, ...MEASURES];

/** A named number in the line that reads what is under the crosshair. */
export function makeReading([name]) {
  return element(
    "span",
    { class: "reading" },
    name
      ? element("abbr", { title: { O: "open", H: "high", L: "low", C: "close", V: "volume" }[name] ?? name }, name)
      : "",
    element("b"),
  );
}

/** A line of what was missed, or alerted. */
export function makeNote(note) {
  return element(
    "li",
    { "data-kind": note.kind },
    element("span", { class: "note-sign", "aria-hidden": "true" }, note.kind === "alert" ? "◆" : "▼"),
    timeElement(note.from),
    element("span"),
  );
}

function choices(name, label, options) {
  const box = element("fieldset", { class: "choices" }, element("legend", { class: "hidden" }, label));
  const inputs = options.map(({ value, text, title }) => {
    const input = element("input", { type: "radio", name, value, onchange: () => go({ [name]: value }) });
    box.append(element("label", { title }, input, element("span", {}, text)));
    return input;
  });
  return { box, inputs };
}

/** Build the view into its section of the page. */
export function build() {
  const what = choices(
    "show",
    "What is shown",
    SHOWS.map((each) => ({ value: each.name, text: each.label, title: each.unit })),
  );
  const range = choices(
    "hours",
    "Range",
    RANGES.map((each) => ({ value: each.hours, text: each.label, title: each.words })),
  );
  const part = {
    inputs: [...what.inputs, ...range.inputs],
    title: element("h2", { id: "metric-title", tabindex: "-1" }),
    last: element("span", { class: "metric-last" }),
    change: element("span", { class: "change" }),
    rank: element("span", { class: "quiet metric-rank" }),
    unit: element("span", { class: "quiet" }),
    market: element("a", { hidden: true }),
    csv: element("a", { class: "csv" }, "CSV"),
    dagster: element("a", { hidden: true }, "Dagster"),
    reading: element("p", { class: "readings" }),
    chartPlace: element("div", { class: "chart-place" }),
    empty: element("p", { class: "empty", hidden: true }),
    problem: element("p", { class: "problem", role: "alert", hidden: true }),
    notes: element("ul", { class: "notes" }),
    tableScroll: element("div", {
      class: "scroll table-scroll",
      tabindex: "0",
      role: "region",
      "aria-label": "Table of what the chart shows",
    }),
  };
  const close = element(
    "button",
    {
      type: "button",
      class: "close",
      title: "Back to the ranking (Esc)",
      "aria-label": "Close the metric",
      onclick: () => go({ metric: "" }),
    },
    "✕",
  );
  part.notesBox = element(
    "section",
    { class: "notes-box", "aria-label": "Missed minutes and alerts", hidden: true },
    part.notes,
  );
  byId("metric").append(
    element("div", { class: "pane-head metric-head" }, part.title, part.last, part.change, part.rank, close),
    element("div", { class: "pane-head controls" }, what.box, range.box),
    element(
      "div",
      { class: "metric-body" },
      part.reading,
      part.problem,
      part.empty,
      part.chartPlace,
      part.notesBox,
      element(
        "p",
        { class: "under quiet" },
        part.unit,
        element("span", { class: "links" }, part.market, part.dagster, part.csv),
      ),
      part.tableScroll,
    ),
  );
  return part;
}
