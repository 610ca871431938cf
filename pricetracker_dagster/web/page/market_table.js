// The table of exchanges side by side: a row a metric, below the head of its market where there are several markets. It
// shows rows of /pricetracker/markets; which of them, and when, is told by market.js.

import { go, link } from "./address.js";
import { element, setAttribute, setText } from "./dom.js";
import {
  clock,
  computed,
  counted,
  fitting,
  lasting,
  NOTHING,
  number,
  setTime,
  share,
  timeElement,
  when,
} from "./format.js";
import { Rows } from "./rows.js";

const COLUMNS = [
  { label: "Exchange" },
  { label: "Last", title: "Price of its newest minute" },
  { label: "Minute", title: "Its newest minute, UTC" },
  { label: "Volume", title: "Traded in 24 hours, base units" },
  { label: "Share", title: "Its part of the market's volume in 24 hours" },
  { label: "Deviation", title: "Basis points from the price of all, weighted by volume" },
  { label: "Largest", title: "The largest deviation in 24 hours, basis points, and when it was first reached, UTC" },
];

/** Build a table into its scrolled element. */
export function marketTable(scroll, title) {
  const caption = element("caption", { class: "hidden" }, title);
  const head = element(
    "tr",
    { "aria-rowindex": "1" },
    ...COLUMNS.map((column) => element("th", { scope: "col", title: column.title }, column.label)),
  );
  const body = element("tbody");
  const table = element("table", { class: "values sides" }, caption, element("thead", {}, head), body);
  scroll.append(table);
  let now = null;
  let asOf = null;
  const rows = new Rows(scroll, body, {
    key: (entry) => (entry.metric ? `metric ${entry.metric}` : `market ${entry.market}`),
    make: (entry) => (entry.metric ? makeMetric() : makeHead()),
    update: (tr, entry) => (entry.metric ? updateMetric(tr, entry) : updateHead(tr, entry)),
  });

  function makeHead() {
    const cell = element(
      "th",
      { scope: "rowgroup", colspan: String(COLUMNS.length) },
      element("a"),
      element("span", { class: "quiet" }),
    );
    return opening(element("tr", { class: "market" }, cell));
  }

  function makeMetric() {
    const name = element("a", { class: "name" }, element("span", { class: "exchange" }), element("span"));
    const minute = element("td", {}, timeElement(0), element("small"));
    return opening(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td"),
        minute,
        ...COLUMNS.slice(3, 6).map(() => element("td")),
        element("td", {}, element("span"), " ", element("small")),
      ),
    );
  }

  function opening(tr) {
    tr.addEventListener("click", (event) => {
      if (!event.target.closest("a") && !getSelection().toString()) go(opens(tr.market));
    });
    return tr;
  }

  function updateHead(tr, { market, count }) {
    tr.market = market;
    setText(tr.firstChild.firstChild, market);
    setAttribute(tr.firstChild.firstChild, "href", link(now, opens(market)));
    setText(tr.firstChild.lastChild, ` ${counted(count, "metric")}`);
  }

  function updateMetric(tr, row) {
    const [who, last, minute, volume, part, deviation, largest] = tr.children;
    const name = who.firstChild;
    const split = row.metric.indexOf(":") + 1;
    tr.market = row.market;
    setText(name.firstChild, row.metric.slice(0, split));
    setText(name.lastChild, row.metric.slice(split));
    setAttribute(name, "href", link(now, { metric: row.metric }));
    setAttribute(name, "title", row.metric);
    setText(last, fitting(row.last_price));
    setAttribute(last, "title", number(row.last_price, 15));
    const newest = Date.parse(row.last_minute);
    setTime(minute.firstChild, newest, when(newest, asOf));
    setText(minute.lastChild, newest < asOf ? ` ${lasting((asOf - newest) / 1000)} old` : "");
    setAttribute(tr, "data-late", newest < asOf);
    setText(volume, computed(row.volume_24h, 6));
    setAttribute(volume, "title", number(row.volume_24h, 15));
    setText(part, share(row.volume_share));
    setText(deviation, basisPoints(row.deviation_bps));
    setAttribute(
      deviation,
      "title",
      row.deviation_minute
        ? `at ${clock(row.deviation_minute)} UTC, from ${number(row.weighted_price, 8)}`
        : "no minute that another one has, too",
    );
    const reached = row.largest_deviation_minute;
    setText(largest.firstChild, basisPoints(row.largest_deviation_bps));
    setText(largest.lastChild, reached ? clock(reached) : ""); // within 24 hours that is enough
    setAttribute(largest, "title", reached ? `${when(reached)} UTC` : null);
  }

  return {
    /** Show entries: rows of the answer, and heads `{market, count}`. */
    show(shown, newest, entries) {
      now = shown;
      asOf = newest;
      setAttribute(table, "aria-rowcount", entries.length + 1);
      rows.show(entries);
    },
  };
}

/** What opens a market, as changes of the address. */
export const opens = (market) => ({ metric: "", market, view: "markets" });

/** A deviation with its sign, which says the direction. */
export const basisPoints = (value) => {
  if (value === null || value === undefined) return NOTHING;
  const text = computed(Math.abs(value), 3);
  return text === "0" ? text : `${value > 0 ? "+" : "−"}${text}`;
};
