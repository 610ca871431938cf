// Alerts and incidents as lists: what is open first, then what ended within a day. It shows the two answers that it is
// given. How an alert is marked on a chart belongs to figure.js.

import { link } from "./address.js";
import { now } from "./clock.js";
import { byId, element, keyed, setAttribute, setText } from "./dom.js";
import { computed, counted, lasting, number, setTime, timeElement, when } from "./format.js";
import { isDivergence, measureLabel, ratioText } from "./values.js";

const MOST = 200; // rows of a list: who has more of them has another trouble, and the API

/** Whether an alert or an incident is not over. */
export const isOpen = (row) => row.state !== "resolved";

/** What an alert says of its first minute: value, average, how many times; or how far from how many others. */
export function alertText(alert) {
  if (isDivergence(alert)) {
    const side = alert.value > alert.average ? "above" : "below";
    const median = `${computed(alert.average, 6)}, the median of ${counted(alert.others, "other")}`;
    return `${measureLabel(alert.measure)} ${number(alert.value, 6)}, ${ratioText(alert, alert.ratio)} ${side} ${median}`;
  }
  const times =
    alert.ratio === null ? "" : `, ${computed(alert.ratio, 3)} × the average of ${computed(alert.average, 5)}`;
  return `${measureLabel(alert.measure)} ${number(alert.value, 6)}${times}`;
}

/** Build the lists; `announce` says to screen readers what has begun. */
export function createAlarms(announce) {
  const place = byId("alarms-scroll");
  const parts = ["open", "past"].map((name) => {
    const title = element("h3", { id: `alarms-${name}` }, name === "open" ? "Open now" : "Ended within 24 hours");
    const list = element("ul", { class: "facts-list", "aria-labelledby": `alarms-${name}` });
    const empty = element("p", { class: "empty" }, name === "open" ? "Asking for alerts and incidents …" : "");
    place.append(title, list, empty);
    return { title, list, empty };
  });
  let known = null;

  function show(shown, alerts, incidents) {
    const rows = [
      ...alerts.map((row) => ({ ...row, kind: "alert" })),
      ...incidents.map((row) => ({ ...row, kind: "incident" })),
    ];
    const newest = (row) =>
      Date.parse(row.kind === "alert" ? (row.last_minute ?? row.minute) : (row.opened_at ?? row.last));
    rows.sort((a, b) => newest(b) - newest(a));
    const open = rows.filter(isOpen);
    fill(parts[0], open, "Open now", "Nothing is open.", shown);
    fill(
      parts[1],
      rows.filter((row) => !isOpen(row)),
      "Ended within 24 hours",
      "Nothing ended within the last 24 hours.",
      shown,
    );
    const firing = open.filter((row) => row.state !== "pending");
    const count = byId("open-count");
    count.hidden = firing.length === 0;
    setText(count, firing.length ? `${firing.length} open` : "");
    tell(firing);
    return firing.length;
  }

  function tell(firing) {
    const began = known && firing.filter((row) => !known.has(row.id));
    known = new Set(firing.map((row) => row.id));
    if (!began?.length) return;
    const [first] = began;
    const what =
      first.kind === "alert"
        ? `Alert on ${first.metric}: ${alertText(first)}`
        : `Incident: ${first.reason ?? first.cause}`;
    announce(began.length > 1 ? `${counted(began.length, "new alarm")}. ${what}` : what);
  }

  return { show };
}

function fill({ title, list, empty }, rows, words, none, shown) {
  setText(title, rows.length ? `${words} (${rows.length})` : words);
  empty.hidden = rows.length > 0;
  list.hidden = rows.length === 0;
  setText(empty, none);
  keyed(
    list,
    rows.slice(0, MOST),
    (row) => `${row.kind} ${row.id}`,
    make,
    (item, row) => update(item, row, shown),
  );
  if (rows.length > MOST) {
    empty.hidden = false;
    setText(empty, `and ${rows.length - MOST} more: pricetracker alerts, pricetracker incidents`);
  }
}

function make(row) {
  const head = row.kind === "alert" ? element("a", { class: "name" }) : element("span", { class: "name" });
  const item = element(
    "li",
    { class: "fact", "data-kind": row.kind },
    element(
      "p",
      { class: "fact-head" },
      element("span", { class: "tag" }),
      head,
      element("span", { class: "fact-time" }),
    ),
    element("p", { class: "fact-text" }),
    element("p", { class: "fact-more quiet" }),
  );
  [item.tag, item.name_, item.time] = item.firstChild.children;
  [, item.text, item.more] = item.children;
  return item;
}

function update(item, row, shown) {
  setAttribute(item, "data-state", row.state);
  setText(item.tag, row.state);
  if (row.kind === "alert") updateAlert(item, row, shown);
  else updateIncident(item, row);
}

function updateAlert(item, row, shown) {
  setText(item.name_, row.metric);
  const show = row.measure === "price" || row.measure === "volume" ? "candles" : row.measure;
  setAttribute(item.name_, "href", link(shown, { metric: row.metric, show, view: "" }));
  span(item.time, row.minute, Date.parse(row.last_minute ?? row.minute) + 60_000, isOpen(row)); // it may be recorded later
  setText(item.text, alertText(row));
  const peak = row.peak_ratio > row.ratio ? `peak ${ratioText(row, row.peak_ratio)}` : null;
  more(item, [
    `rule ${row.rule}`,
    counted(row.minutes ?? 1, "minute") + " above",
    peak,
    row.ended_because,
    ...kept(row),
  ]);
}

function updateIncident(item, row) {
  setText(item.name_, row.cause);
  span(item.time, row.first ?? row.opened_at, row.resolved_at ?? row.last, isOpen(row));
  setText(item.text, row.reason ?? "");
  const metrics = row.metrics ?? [];
  const whose =
    metrics.length > 3 ? `${metrics.slice(0, 2).join(", ")} and ${metrics.length - 2} more` : metrics.join(", ");
  const missed = row.count ? `${counted(row.count, "minute")} missed` : null;
  more(item, [whose, missed, row.missing ? `${row.missing} still missing` : null, ...kept(row)]);
}

/** Who looks after it, and what keeps its messages back. */
function kept(row) {
  return [
    row.acknowledged_by ? `acknowledged by ${row.acknowledged_by}` : null,
    row.held_by ? `messages held by ${row.held_by}` : null,
  ];
}

function more(item, told) {
  const text = told.filter(Boolean).join(" · ");
  item.more.hidden = !text;
  setText(item.more, text);
}

/** From when, and for how long. */
function span(node, from, to, open) {
  if (!from) return;
  if (!node.firstChild) node.append(timeElement(from), document.createTextNode(""));
  setTime(node.firstChild, from, `${when(from, now())}`);
  const seconds = ((open ? now() : new Date(to).getTime()) - Date.parse(from)) / 1000;
  const text = Number.isFinite(seconds)
    ? ` UTC, ${open ? "for " : "lasted "}${lasting(Math.max(60, Math.floor(seconds / 60) * 60))}`
    : " UTC";
  if (node.lastChild.nodeValue !== text) node.lastChild.nodeValue = text;
}
