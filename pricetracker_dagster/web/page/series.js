// From the answers' rows to what a chart and a table show: minutes in ms, gaps between them, missed minutes as ranges
// with their cause. Nothing here draws.

const MINUTE = 60_000;

/** The time range that is shown: `hours` up to the end of the newest minute, beginning with a whole bin. */
export function timeRange(asOf, hours, step) {
  const end = asOf + MINUTE;
  const start = Math.floor((end - Number(hours) * 60 * MINUTE) / (step * MINUTE)) * step * MINUTE;
  return { start, end, step };
}

/** The rows of an answer with their minute in ms, as `at`. */
export const timed = (rows) => rows.map((row) => ({ ...row, at: Date.parse(row.minute) }));

/**
 * The rows, oldest first, with an entry `{gap: true, from, to}` wherever bins are without a row, also after the last.
 *
 * Before the first row nothing is missing that was ever stored: a metric that is new has no gap there.
 */
export function withGaps(rows, { end, step }) {
  const size = step * MINUTE;
  const entries = [];
  rows.forEach((row, i) => {
    entries.push(row);
    const next = rows[i + 1]?.at ?? Math.ceil(end / size) * size;
    if (next > row.at + size)
      entries.push({ gap: true, at: row.at + size, from: row.at + size, to: Math.min(next, end) });
  });
  return entries.filter((entry) => !entry.gap || entry.to > entry.from);
}

/** Missed minutes as ranges `{from, to, cause, count}`: neighbours with one cause are one range; `to` is exclusive. */
export function missedRanges(missed, { start, end }) {
  const ranges = [];
  const times = missed.map((row) => ({ at: Date.parse(row.minute), cause: row.cause ?? "not known why" }));
  for (const { at, cause } of times.filter(({ at }) => at >= start && at < end).sort((a, b) => a.at - b.at)) {
    const last = ranges.at(-1);
    if (last && last.to === at && last.cause === cause) {
      last.to += MINUTE;
      last.count += 1;
    } else ranges.push({ from: at, to: at + MINUTE, cause, count: 1 });
  }
  return ranges;
}

/** The causes of what is missed between two times, in words. */
export function causesWithin(ranges, from, to) {
  const causes = ranges.filter((range) => range.from < to && range.to > from).map((range) => range.cause);
  return [...new Set(causes)].join(", ");
}

/** The alerts whose first minute, or whose peak, is shown. */
export function alertsWithin(alerts, { start, end }) {
  return alerts
    .filter((alert) => alert.state !== "pending")
    .map((alert) => ({ ...alert, at: Date.parse(alert.minute) }))
    .filter((alert) => alert.at >= start && alert.at < end);
}
