// The markets that two metrics or more quote, side by side in one list, and which of them is open. Of which market a
// metric is comes from the server. One market is shown by market.js, the rows of both tables by market_table.js.

import { byId, element } from "./dom.js";
import { createMarket } from "./market.js";
import { marketTable } from "./market_table.js";

/** Show them in the page once they are asked for; `announce` says to screen readers what was opened. */
export function createMarkets(announce) {
  const place = byId("markets");
  let all = new Map(); // the rows of each market
  let list = null;
  let opened = null;

  /** Show the list, or the market that is open. */
  async function show(now, asOf) {
    if (list) list.root.hidden = now.market !== "";
    if (now.market !== "") {
      opened ??= createMarket(place, announce);
      return opened.show(now, asOf, all.get(now.market) ?? []);
    }
    leave();
    list ??= createList(place);
    list.show(
      now,
      asOf,
      [...all].filter(([, rows]) => rows.length > 1),
    );
  }

  /** Another view is shown: nothing of a market is asked for any more. */
  const leave = () => opened?.leave();

  return {
    show,
    leave,
    /** Take an answer of `markets`. */
    hear(rows) {
      all = Map.groupBy(rows, (row) => row.market);
    },
    /** Whether there is anything to compare. */
    any: () => [...all.values()].some((rows) => rows.length > 1),
    /** The market of a metric with its count, null where the metric is alone in it. */
    of(metric) {
      const [market, rows] = [...all].find(([, rows]) => rows.some((row) => row.metric === metric)) ?? [];
      return rows?.length > 1 ? { market, count: rows.length } : null;
    },
    focus: (market) => (market ? opened : list)?.focus(),
  };
}

/** Build the list of markets that several metrics quote. */
function createList(place) {
  const title = element(
    "h2",
    { id: "markets-title", tabindex: "-1" },
    "Markets ",
    element("span", { class: "quiet" }, "exchanges side by side, 24 h"),
  );
  const empty = element("p", { class: "empty", hidden: true }, "No market is quoted by two tracked metrics or more.");
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The markets" });
  const root = element("div", { class: "part" }, element("div", { class: "pane-head" }, title), empty, scroll);
  const table = marketTable(scroll, "Markets with their exchanges, the largest volume first");
  place.append(root);
  return {
    root,
    show(now, asOf, markets) {
      empty.hidden = markets.length > 0 || asOf === null;
      table.show(
        now,
        asOf,
        markets.flatMap(([market, rows]) => [{ market, count: rows.length }, ...rows]),
      );
    },
    focus: () => title.focus({ preventScroll: true }),
  };
}
