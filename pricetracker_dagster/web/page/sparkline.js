// A sparkline: 48 half hours as one small path, null where no minute is. It is hidden from screen readers, which hear
// the change instead.

import { drawing, setAttribute } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 24;
const EDGE = 2;

/** An empty sparkline, to be drawn by drawSparkline(). */
export function sparkline() {
  return drawing(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("path", { class: "spark-line" }),
  );
}

/** Draw values from 0 to 100, oldest first; what is missing is a gap. */
export function drawSparkline(svg, values) {
  setAttribute(svg.firstChild, "d", path(values ?? []));
}

/** The path of the values: a point that stands alone becomes a short dash. */
export function path(values) {
  const step = values.length > 1 ? (WIDTH - 2 * EDGE) / (values.length - 1) : 0;
  const steps = [];
  values.forEach((value, i) => {
    if (value === null) return;
    const x = EDGE + i * step;
    const y = HEIGHT - EDGE - (value / 100) * (HEIGHT - 2 * EDGE);
    const follows = i > 0 && values[i - 1] !== null;
    steps.push(`${follows ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`);
    const alone = !follows && (i + 1 >= values.length || values[i + 1] === null);
    if (alone) steps.push("h0.5");
  });
  return steps.join("");
}
