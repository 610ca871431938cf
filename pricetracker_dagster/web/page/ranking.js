// The ranking: its table, the choice of a measure, sorting, searching, and moving through it by keyboard. It shows the
// answer of /pricetracker/overview that it is given; asking for it belongs to main.js, and what is chosen to the
// address.

import { go, link } from "./address.js";
import { byId, element, setAttribute, setText } from "./dom.js";
import { change, clock, computed, counted, direction, fitting, number, share } from "./format.js";
import { Rows } from "./rows.js";
import { drawSparkline, sparkline } from "./sparkline.js";
import { MEASURES, measureLabel, measureUnit } from "./values.js";

const COLUMNS = [
  { name: "rank", label: "#", title: "Rank: 1 has the largest standard deviation" },
  { name: "metric", label: "Metric" },
  { name: "last_value", label: "Last", title: "Value of the newest minute" },
  { name: "change_24h_percent", label: "24 h", title: "Change of the price over 24 hours" },
  { name: "stddev", label: "Std dev", title: "Sample standard deviation over 24 hours" },
  { name: "relative_stddev", label: "Relative", title: "Standard deviation divided by the mean" },
  { name: "sparkline", label: "24 hours", fixed: true },
];

/** Build the ranking into the page's own elements. */
export function createRanking() {
  const body = byId("ranking-body");
  const scroll = byId("ranking-scroll");
  let all = [];
  let shown = null;
  let known = false; // whether there was an answer
  let most = 0; // minutes that the deviation of a metric is over, where nothing is missing
  let current = ""; // the metric whose row the keys move from
  const rows = new Rows(scroll, body, { key: (row) => row.metric, make, update });
  const choose = chooseMeasure();
  const heads = head();
  const find = byId("find");

  find.addEventListener("input", () => go({ find: find.value }, { replace: true }));
  scroll.addEventListener("keydown", (event) => moved(event));
  body.addEventListener("focusin", (event) => point(event.target.closest("tr")?.metric ?? current));

  function make() {
    const name = element(
      "a",
      { class: "name", tabindex: "-1" },
      element("span", { class: "exchange" }),
      element("span"),
    );
    const cells = {
      rank: element("td", { class: "rank", role: "cell" }),
      metric: element(
        "th",
        { class: "who", scope: "row", role: "rowheader" },
        name,
        element("span", { class: "mark", hidden: true }),
        element("span", { class: "short quiet", hidden: true }),
      ),
      last_value: element("td", { class: "last", role: "cell" }),
      change_24h_percent: element("td", { class: "change", role: "cell" }),
      stddev: element("td", { class: "dev", role: "cell" }),
      relative_stddev: element("td", { class: "rel", role: "cell" }),
      sparkline: element("td", { class: "trend", role: "cell" }, sparkline()),
    };
    const tr = element("tr", { role: "row" }, ...COLUMNS.map((column) => cells[column.name]));
    tr.cells_ = cells;
    tr.addEventListener("click", (event) => {
      if (!event.target.closest("a") && !getSelection().toString()) go({ metric: tr.metric });
    });
    return tr;
  }

  function update(tr, row) {
    const cells = tr.cells_;
    const name = cells.metric.firstChild;
    tr.metric = row.metric;
    setText(cells.rank, row.rank === null ? "" : String(row.rank));
    setText(name.firstChild, row.metric.slice(0, row.metric.indexOf(":") + 1));
    setText(name.lastChild, row.metric.slice(row.metric.indexOf(":") + 1));
    setAttribute(name, "href", link(shown, { metric: row.metric }));
    setAttribute(name, "title", row.metric);
    setAttribute(name, "tabindex", row.metric === current ? "0" : "-1");
    setAttribute(name, "aria-current", row.metric === shown.metric ? "true" : null);
    mark(cells.metric.children[1], row.firing);
    tellShort(cells.metric.lastChild, row.observations, most);
    setText(cells.last_value, fitting(row.last_value));
    setAttribute(
      cells.last_value,
      "title",
      row.last_minute ? `${number(row.last_value, 15)} at ${clock(row.last_minute)} UTC` : null,
    );
    setText(cells.change_24h_percent, change(row.change_24h_percent));
    setAttribute(cells.change_24h_percent, "data-direction", direction(row.change_24h_percent));
    setText(cells.stddev, computed(row.stddev));
    setAttribute(cells.stddev, "title", `${number(row.stddev)} over ${counted(row.observations ?? 0, "minute")}`);
    setText(cells.relative_stddev, share(row.relative_stddev));
    drawSparkline(cells.sparkline.firstChild, row.sparkline);
    setAttribute(tr, "data-firing", row.firing > 0);
    setAttribute(tr, "data-current", row.metric === shown.metric);
  }

  function draw() {
    const wanted = shown.find.trim().toUpperCase();
    const found = wanted ? all.filter((row) => row.metric.toUpperCase().includes(wanted)) : all;
    const sorted = order(found, shown.sort);
    if (!sorted.some((row) => row.metric === current)) current = sorted[0]?.metric ?? "";
    rows.show(sorted);
    setAttribute(byId("ranking-table"), "aria-rowcount", sorted.length + 1);
    setText(
      byId("found"),
      !known ? "" : wanted ? `${found.length} of ${counted(all.length, "metric")}` : counted(all.length, "metric"),
    );
    const empty = byId("ranking-empty");
    empty.hidden = sorted.length > 0;
    if (known)
      setText(
        empty,
        all.length
          ? `No metric contains “${shown.find.trim()}”. Esc clears the search.`
          : "Nothing is stored of the last 24 hours yet.",
      );
    const unit = measureUnit(shown.measure);
    setText(
      byId("ranking-caption"),
      `Metrics by standard deviation of ${measureLabel(shown.measure).toLowerCase()} (${unit}) over 24 hours`,
    );
  }

  function point(metric) {
    if (metric === current) return;
    for (const tr of body.children) {
      const name = tr.cells_?.metric.firstChild;
      if (name) setAttribute(name, "tabindex", tr.metric === metric ? "0" : "-1");
    }
    current = metric;
  }

  function moved(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("thead")) return;
    const page = Math.max(1, Math.floor(scroll.clientHeight / rows.height) - 2);
    const last = rows.rows.length - 1;
    const at = Math.max(
      0,
      rows.rows.findIndex((row) => row.metric === current),
    );
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last };
    if (!(event.key in steps) || last < 0) return;
    event.preventDefault();
    focusOn(rows.rows[Math.max(0, Math.min(last, steps[event.key]))].metric);
  }

  function focusOn(metric) {
    const index = rows.rows.findIndex((row) => row.metric === metric);
    if (index < 0) return;
    point(metric);
    rows.reveal(index)?.cells_.metric.firstChild.focus({ preventScroll: true });
  }

  return {
    /** Show an answer of the overview, or the same one in another way. */
    show(now, answer) {
      shown = now;
      all = answer?.data ?? all;
      known ||= answer !== null;
      most = Math.max(0, ...all.map((row) => row.observations ?? 0));
      if (document.activeElement !== find && find.value !== shown.find) find.value = shown.find;
      choose(shown.measure);
      for (const tell of heads) tell(shown.sort);
      draw();
    },
    /** Say in the empty table why there is nothing yet. */
    refuse(why) {
      if (!all.length) setText(byId("ranking-empty"), why);
    },
    /** Move the focus to the row of a metric, the first one where it is not shown. */
    focus: (metric) => focusOn(rows.rows.some((row) => row.metric === metric) ? metric : current),
    /** The row of a metric in the newest answer. */
    of: (metric) => all.find((row) => row.metric === metric),
  };
}

/** The rows by a column, descending where it begins with a minus; what is unknown last, ties by rank. */
export function order(rows, sort) {
  const name = sort.replace("-", "");
  const sign = sort.startsWith("-") ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [x, y] = [a[name], b[name]];
    if (x === y || (x ?? null) === (y ?? null)) return a.rank - b.rank;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    return sign * (typeof x === "string" ? (x < y ? -1 : 1) : x - y);
  });
}

function mark(node, firing) {
  node.hidden = !firing;
  setText(node, firing > 1 ? `${firing} alerts` : firing ? "alert" : "");
}

/** A deviation over less time than that of the others is no like among likes: how many minutes it is over is said. */
function tellShort(node, observations, most) {
  node.hidden = observations === null || observations >= most;
  setText(node, node.hidden ? "" : `${observations} min`);
  setAttribute(
    node,
    "title",
    node.hidden ? null : `its deviation is over ${observations} minutes, others have ${most}`,
  );
}

function chooseMeasure() {
  const buttons = MEASURES.map((measure) => {
    const input = element("input", { type: "radio", name: "measure", value: measure.name });
    input.addEventListener("change", () => go({ measure: measure.name }));
    byId("measures").append(element("label", { title: measure.unit }, input, element("span", {}, measure.label)));
    return input;
  });
  return (chosen) => {
    for (const input of buttons) input.checked = input.value === chosen;
  };
}

/** The heads of the columns: a first click sorts by the largest, names and ranks by the first. */
function head() {
  return COLUMNS.map((column) => {
    const th = element("th", { scope: "col", role: "columnheader", class: `head-${column.name}` });
    byId("ranking-head").append(th);
    if (column.fixed) {
      th.append(element("span", {}, column.label));
      return () => {};
    }
    const rises = column.name === "rank" || column.name === "metric";
    const [first, second] = rises ? [column.name, `-${column.name}`] : [`-${column.name}`, column.name];
    let sort = "";
    const arrow = element("span", { class: "arrow", "aria-hidden": "true" });
    const press = () => go({ sort: sort === first ? second : first }, { replace: true });
    th.append(
      element(
        "button",
        { type: "button", title: column.title, onclick: press },
        element("span", {}, column.label),
        arrow,
      ),
    );
    return (chosen) => {
      sort = chosen;
      const mine = chosen.replace("-", "") === column.name;
      setAttribute(th, "aria-sort", mine ? (chosen.startsWith("-") ? "descending" : "ascending") : null);
      setText(arrow, mine ? (chosen.startsWith("-") ? "▾" : "▴") : "");
    };
  });
}
