// The chart's element: plotly, loaded where the first chart is opened, the crosshair by pointer and by keys, and the
// line that reads what is under it. What is drawn is in figure.js.

import { element, setAttribute, setText } from "./dom.js";
import { figure, LINES } from "./figure.js";

const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", showTips: false };

let loading = null;

/** plotly's own JavaScript, from this server. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const failed = () => {
      loading = null; // the server may be back for the next look
      reject(new Error("the chart's program could not be loaded; the table has the same numbers"));
    };
    document.head.append(
      element("script", {
        src: "/plotly.min.js",
        onload: () => (globalThis.Plotly ? resolve(globalThis.Plotly) : failed()),
        onerror: failed,
      }),
    );
  });
  return loading;
}

/**
 * Build a chart; `read(index)` is called with the row under the crosshair, null where there is none. That it cannot be
 * drawn is said in the element `problem`.
 *
 * `drawn` makes traces and layout of a view; its first traces carry the rows: two of candles, as many as it has metrics.
 */
export function createChart(read, problem, drawn = figure) {
  const place = element("div", { class: "plot" });
  const root = element(
    "div",
    {
      class: "chart",
      role: "slider",
      tabindex: "0",
      "aria-label": "Crosshair",
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
      "aria-valuetext": "",
    },
    place,
  );
  let view = null;
  let at = null; // the row that the keys have moved to
  let lib = null;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => view && draw());
  new ResizeObserver(() => lib && view && place.offsetWidth && lib.Plots.resize(place)).observe(root);
  root.addEventListener("keydown", keys);
  root.addEventListener("blur", () => hover(null));

  async function draw() {
    const asked = view;
    lib = await plotly();
    if (asked !== view || !root.isConnected) return;
    const { data, layout } = drawn({ ...view, colours: colours(root) });
    const fresh = !place.classList.contains("js-plotly-plot");
    await lib.react(place, data, layout, CONFIG);
    if (fresh) {
      place.on("plotly_hover", ({ points }) => {
        const carriers = view.metrics?.length ?? (view.show === "candles" ? 2 : 1);
        const point = points.find((each) => each.curveNumber < carriers);
        if (point) read(rowOf(point.pointNumber));
      });
      place.on("plotly_unhover", () => read(at));
    }
    setAttribute(root, "aria-valuemax", Math.max(0, view.rows.length - 1));
  }

  /** The row of a point: the line has gaps among its points, the candles have none. */
  function rowOf(point) {
    if (view.show === "candles") return point;
    const entry = view.entries[point];
    return entry && !entry.gap ? view.rows.indexOf(entry) : null;
  }

  function pointOf(row) {
    return view.show === "candles" ? row : view.entries.indexOf(view.rows[row]);
  }

  function hover(row) {
    at = row;
    if (!lib || !view) return;
    if (row === null) lib.Fx.unhover(place);
    else lib.Fx.hover(place, [{ curveNumber: 0, pointNumber: pointOf(row) }]);
    read(row);
  }

  function keys(event) {
    const last = (view?.rows.length ?? 0) - 1;
    if (last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const now = at ?? last + 1;
    const steps = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    hover(Math.max(0, Math.min(last, steps[event.key])));
  }

  return {
    root,
    /** Draw a view that has rows; the same zoom stays where it is the same metric, measure and range. */
    async show(next) {
      if (!next.rows.length) return;
      if (view && (view.metric !== next.metric || view.show !== next.show || view.window.hours !== next.window.hours))
        at = null;
      view = next;
      if (at !== null) at = Math.min(at, view.rows.length - 1);
      try {
        await draw();
      } catch (error) {
        problem.hidden = false;
        setText(problem, error.message);
      }
    },
    /** Say what is under the crosshair to who does not see it. */
    told(row, text) {
      setAttribute(root, "aria-valuenow", Math.max(0, row ?? 0));
      setAttribute(root, "aria-valuetext", text);
    },
    /** Free what plotly holds. */
    end() {
      if (lib) lib.purge(place);
    },
  };
}

/** The style sheet's colours, as they are in the light or the dark now. */
function colours(root) {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = {
    paper: "pane",
    text: "text",
    quiet: "quiet",
    grid: "grid",
    axis: "edge",
    line: "accent",
    volume: "volume",
    up: "up",
    down: "down",
    alert: "alert",
    missed: "missed",
    missedFill: "missed-fill",
    cross: "quiet",
  };
  const found = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, of(name)]));
  const lines = Array.from({ length: LINES }, (_, i) => of(`line-${i}`));
  return { ...found, lines, font: style.fontFamily };
}
