// The table of what a chart shows, newest first, for who reads numbers and who cannot see the chart: a gap is a row
// that says why nothing is there. Its rows are made as they scroll into view (rows.js).

import { element, setAttribute, setText } from "./dom.js";
import { binText } from "./figure.js";
import { counted, setTime, timeElement } from "./format.js";
import { Rows } from "./rows.js";
import { causesWithin } from "./series.js";
import { measureLabel, measureUnit } from "./values.js";

const MINUTE = 60_000;
const CANDLE = ["open", "high", "low", "close", "volume", "trades"];

/** Build the table into its scrolled element. */
export function metricTable(scroll) {
  const caption = element("caption", { class: "hidden" });
  const head = element("tr", { "aria-rowindex": "1" });
  const body = element("tbody");
  const table = element("table", { class: "values" }, caption, element("thead", {}, head), body);
  scroll.append(table);
  let view = null;
  let columns = [];
  const rows = new Rows(scroll, body, {
    key: (entry) => `${columns.length} ${entry.gap ? "gap " : ""}${entry.at}`,
    make,
    update,
  });

  function make(entry) {
    const time = element("th", { scope: "row" }, timeElement(entry.at), element("small"));
    const cells = entry.gap
      ? [element("td", { colspan: String(columns.length), class: "gap" })]
      : columns.map(() => element("td"));
    return element("tr", {}, time, ...cells);
  }

  function update(tr, entry) {
    const [time, part] = tr.firstChild.children;
    if (entry.gap) {
      const count = Math.round((entry.to - entry.from) / MINUTE);
      const until =
        count > view.window.step
          ? `–${binText(entry.to - view.window.step * MINUTE, view.window).replace(" UTC", "")}`
          : "";
      setTime(time, entry.from, binText(entry.from, view.window).replace(" UTC", until));
      const cause = causesWithin(view.ranges, entry.from, entry.to);
      setText(
        tr.lastChild,
        cause ? `${counted(count, "minute")} missed: ${cause}` : `nothing stored for ${counted(count, "minute")}`,
      );
      return;
    }
    setTime(time, entry.at, binText(entry.at, view.window).replace(" UTC", ""));
    const partial =
      entry.minutes !== undefined &&
      entry.minutes < view.window.step &&
      entry.at + view.window.step * MINUTE <= view.window.end;
    setText(part, partial ? ` ${entry.minutes} of ${view.window.step}` : "");
    setAttribute(part, "title", partial ? "minutes stored in this bin" : null);
    columns.forEach((name, i) => setText(tr.children[i + 1], text(entry, name)));
  }

  function text(entry, name) {
    if (name === "trades")
      return entry.trades === null || entry.trades === undefined ? "–" : entry.trades.toLocaleString("en-US");
    return (view.write[name] ?? view.write.close ?? view.write.value)(entry[name]);
  }

  return {
    /** Show the rows and gaps of a view. */
    show(next) {
      const before = view;
      view = next;
      columns = view.show === "candles" ? CANDLE : ["value"];
      const labels = [
        "Minute (UTC)",
        ...(view.show === "candles" ? CANDLE : [`${measureLabel(view.show)}, ${measureUnit(view.show)}`]),
      ];
      if (head.children.length !== labels.length || before?.show !== view.show) {
        head.replaceChildren(
          ...labels.map((label) => element("th", { scope: "col" }, label.charAt(0).toUpperCase() + label.slice(1))),
        );
      }
      const shown = view.entries.toReversed();
      setText(
        caption,
        `${measureLabel(view.show)} of ${view.metric}, newest first, every ${counted(view.window.step, "minute")}`,
      );
      setAttribute(table, "aria-rowcount", shown.length + 1);
      if (
        before &&
        (before.metric !== view.metric || before.show !== view.show || before.window.hours !== view.window.hours)
      )
        scroll.scrollTop = 0;
      rows.show(shown);
    },
    clear() {
      rows.show([]);
    },
  };
}
