// What the address says is shown, and the way back: the part after # holds what differs from the usual, e.g.
// #measure=volume&metric=KRAKEN:BTCUSD&show=price&hours=6. No part keeps such a choice for itself.

import { MEASURES } from "./values.js";

const USUAL = {
  view: "",
  measure: "price",
  sort: "rank",
  find: "",
  metric: "",
  market: "",
  show: "candles",
  hours: "24",
};
const CHOICES = {
  view: ["", "alarms", "markets"],
  measure: MEASURES.map((each) => each.name),
  show: ["candles", ...MEASURES.map((each) => each.name)],
  hours: ["1", "6", "24", "168"],
};
const SORT = /^-?(rank|metric|last_value|change_24h_percent|stddev|relative_stddev)$/;

/** What an address shows; what it does not know is as usual. */
export function read(hash) {
  const shown = { ...USUAL };
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!(name in USUAL)) continue;
    if (CHOICES[name] ? CHOICES[name].includes(value) : name !== "sort" || SORT.test(value)) shown[name] = value;
  }
  shown.find = shown.find.slice(0, 80);
  return shown;
}

/** The address of what is shown, with the changes: a link to it can be opened, kept and sent. */
export function link(shown, changes = {}) {
  const all = { ...shown, ...changes };
  const told = Object.entries(all).filter(([name, value]) => value !== USUAL[name]);
  return `#${new URLSearchParams(told).toString().replaceAll("%3A", ":").replaceAll("%2F", "/")}`;
}

/** What is shown now. */
export const shown = () => read(location.hash);

/** Show something else; `replace` where going back should not stop here (each letter of a search). */
export function go(changes, { replace = false } = {}) {
  const to = link(shown(), changes);
  if (to === link(shown())) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  dispatchEvent(new Event("shown"));
}

/** Call whenever something else is shown, whether by go(), a link or the browser's own back. */
export function whenShown(call) {
  addEventListener("shown", call);
  addEventListener("popstate", call); // also comes with a link to another #
}
