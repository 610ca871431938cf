// One metric: its chart over a range of time, what was missed and what was alerted in it, the table of the same
// numbers, and the CSV of them. The chart itself is in chart.js, what is derived from the rows in series.js.

import { link } from "./address.js";
import { alertText } from "./alarms.js";
import { ask, refusalText, url } from "./api.js";
import { createChart } from "./chart.js";
import { byId, keyed, setAttribute, setText } from "./dom.js";
import { binText } from "./figure.js";
import { change, column, counted, direction, number, when } from "./format.js";
import { opens } from "./market_table.js";
import { build, makeNote, makeReading } from "./metric_parts.js";
import { metricTable } from "./metric_table.js";
import { alertsWithin, causesWithin, missedRanges, timed, timeRange, withGaps } from "./series.js";
import { measureLabel, measureUnit, rangeOf } from "./values.js";

/** Build the view of a metric into the page; `announce` says to screen readers what was opened. */
export function createMetric(announce) {
  const root = byId("metric");
  const part = build();
  const chart = createChart(read, part.problem);
  const table = metricTable(part.tableScroll);
  part.chartPlace.append(chart.root);
  let view = null;
  let asked = null;
  let answers = null;

  /** Ask for what is shown and show it; the answers that have not changed are drawn no second time. */
  async function show(shown, asOf, row, market, ui) {
    const key = `${shown.metric} ${shown.show} ${shown.hours}`;
    if (key !== asked?.key) {
      asked?.stop.abort();
      asked = { key, stop: new AbortController() };
      answers = null;
      root.dataset.waiting = "";
      part.problem.hidden = true;
    }
    const mine = asked;
    head(shown, row, ui);
    part.market.hidden = market === null;
    if (market) {
      setText(part.market, `${market.market}: ${counted(market.count, "metric")} side by side`);
      setAttribute(part.market, "href", link(shown, opens(market.market)));
    }
    if (asOf === null) return;
    const { step, words } = rangeOf(shown.hours, shown.show);
    const window = { ...timeRange(asOf, shown.hours, step), hours: shown.hours };
    const range = { start: iso(window.start), end: iso(window.end), every: `${step}m` };
    const candles = shown.show === "candles";
    const name = candles ? "candles" : "historicalprices";
    const question = { metric_name: shown.metric, measure_name: candles ? null : shown.show, ...range };
    setAttribute(part.csv, "href", url(`/pricetracker/${name}`, { ...question, format: "csv" }));
    setAttribute(part.csv, "download", `${shown.metric.replace(":", "_")}_${shown.show}_${shown.hours}h.csv`);
    const of = { metric_name: shown.metric };
    try {
      const came = await Promise.all([
        ask(name, question, mine.stop.signal),
        ask("missed", of, mine.stop.signal),
        ask("alerts", { ...of, since: range.start }, mine.stop.signal),
      ]);
      if (mine !== asked) return;
      if (answers && came.every((answer, i) => answer === answers[i])) return;
      const first = answers === null;
      answers = came;
      take(
        shown,
        window,
        came.map((answer) => answer.data),
        words,
      );
      if (first)
        announce(`${shown.metric}, ${measureLabel(shown.show)}, ${words}: ${counted(view.rows.length, "row")}`);
      await chart.show(view); // its program may take a while to load: all that tells the same in words is there
    } catch (error) {
      if (mine.stop.signal.aborted) return;
      if (error.kind !== "unknown" && error.kind !== "refused") throw error;
      refuse(error);
    } finally {
      if (mine === asked) delete root.dataset.waiting;
    }
  }

  function take(shown, window, [data, missed, alerts], words) {
    const rows = timed(data);
    const ranges = missedRanges(missed, window);
    view = {
      metric: shown.metric,
      show: shown.show,
      window,
      rows,
      entries: withGaps(rows, window),
      ranges,
      alerts: alertsWithin(alerts, window),
    };
    const candles = view.show === "candles";
    view.write = Object.fromEntries(
      (candles ? ["close", "volume"] : ["value"]).map((name) => [
        name,
        column(
          rows.flatMap((row) => (name === "close" ? [row.open, row.high, row.low, row.close] : [row[name]])),
          view.show === "change_percentage" ? 4 : undefined,
        ),
      ]),
    );
    part.problem.hidden = true;
    part.empty.hidden = rows.length > 0;
    setText(part.empty, `No minute of ${shown.metric} is stored in these ${words}.`);
    part.chartPlace.hidden = rows.length === 0;
    notes();
    table.show(view);
    setAttribute(
      chart.root,
      "aria-label",
      `Crosshair of the chart: ${measureLabel(shown.show)} of ${shown.metric}, ${words}. The table below has the same numbers`,
    );
    read(null);
  }

  /** What is under the crosshair, else the newest row, in one line of fixed places. */
  function read(index) {
    if (!view) return;
    const row = view.rows[index ?? view.rows.length - 1];
    const write = view.write;
    const told = !row
      ? []
      : view.show === "candles"
        ? [
            ["O", write.close(row.open)],
            ["H", write.close(row.high)],
            ["L", write.close(row.low)],
            ["C", write.close(row.close)],
            ["V", write.volume(row.volume)],
          ]
        : [[measureLabel(view.show), write.value(row.value)]];
    keyed(
      part.reading,
      row ? [["", binText(row.at, view.window)], ...told] : [],
      ([name]) => name,
      makeReading,
      (node, [, text]) => setText(node.lastChild, text),
    );
    setAttribute(
      part.reading,
      "data-direction",
      row?.close !== undefined ? (row.close >= row.open ? "up" : "down") : null,
    );
    chart.told(
      index,
      row ? `${binText(row.at, view.window)} ${told.map((each) => each.join(" ")).join(", ")}` : "nothing",
    );
  }

  function notes() {
    const missed = view.ranges.map((range) => ({
      ...range,
      key: `missed ${range.from}`,
      kind: "missed",
      text: `${counted(range.count, "minute")} missed: ${range.cause}`,
    }));
    const gaps = view.entries
      .filter((entry) => entry.gap && !causesWithin(view.ranges, entry.from, entry.to))
      .map((gap) => ({
        ...gap,
        key: `gap ${gap.from}`,
        kind: "missed",
        text: `nothing stored for ${counted(Math.round((gap.to - gap.from) / 60_000), "minute")}`,
      }));
    const alerts = view.alerts.map((alert) => ({
      key: alert.id,
      from: alert.at,
      kind: "alert",
      text: `${alert.state}: ${alertText(alert)} (${alert.rule})`,
    }));
    const all = [...missed, ...gaps, ...alerts].sort((a, b) => b.from - a.from).slice(0, 50);
    part.notesBox.hidden = all.length === 0;
    keyed(
      part.notes,
      all,
      (note) => note.key,
      makeNote,
      (node, note) => {
        setText(
          node.children[1],
          `${when(note.from, view.window.end)}${note.to - note.from > 60_000 ? `–${when(note.to - 60_000, note.from)}` : ""}`,
        );
        setText(node.lastChild, note.text);
      },
    );
  }

  function head(shown, row, ui) {
    setText(part.title, shown.metric);
    setText(part.last, shown.measure === "price" && row ? number(row.last_value, 8) : "");
    setText(part.change, row ? change(row.change_24h_percent) : "");
    setAttribute(part.change, "data-direction", direction(row?.change_24h_percent));
    setText(
      part.rank,
      row?.rank ? `rank ${row.rank} of ${row.of} by ${measureLabel(shown.measure).toLowerCase()}` : "",
    );
    for (const input of part.inputs) input.checked = input.value === shown[input.name];
    setText(
      part.unit,
      shown.show === "candles" ? "price in quote currency, volume in base units" : measureUnit(shown.show),
    );
    part.dagster.hidden = !ui;
    if (ui) setAttribute(part.dagster, "href", ui.replace(/\/assets$/, "/assets/minute_prices"));
  }

  function refuse(error) {
    setText(part.problem, refusalText(error));
    part.problem.hidden = false;
    part.chartPlace.hidden = true;
    part.empty.hidden = true;
    part.notesBox.hidden = true;
    view = null;
    table.clear();
    keyed(part.reading, [], String, makeReading);
  }

  return {
    show,
    /** Another view is shown: nothing of it is asked for any more. */
    leave() {
      asked?.stop.abort();
      asked = answers = null;
    },
    focus: () => part.title.focus({ preventScroll: true }),
  };
}

const iso = (time) => `${new Date(time).toISOString().slice(0, 19)}Z`;
