// What the numbers are: the measures with their names and units, and the time ranges with the bins that suit them.
// How a number is written is in format.js.

import { computed } from "./format.js";

export const MEASURES = [
  { name: "price", label: "Price", unit: "quote currency" },
  { name: "volume", label: "Volume", unit: "base units a minute" },
  { name: "change_absolute", label: "Change", unit: "quote currency a minute" },
  { name: "change_percentage", label: "Change %", unit: "per cent a minute" },
];

export const measureLabel = (name) => MEASURES.find((each) => each.name === name)?.label ?? name;

export const measureUnit = (name) => MEASURES.find((each) => each.name === name)?.unit ?? "";

export const RANGES = [
  { hours: "1", label: "1 h", words: "1 hour", candles: 1, line: 1 },
  { hours: "6", label: "6 h", words: "6 hours", candles: 1, line: 1 },
  { hours: "24", label: "24 h", words: "24 hours", candles: 5, line: 1 },
  { hours: "168", label: "7 d", words: "7 days", candles: 30, line: 10 },
];

/** The range so long, with the minutes of one bin (`step`) that suit what is shown. */
export function rangeOf(hours, show) {
  const range = RANGES.find((each) => each.hours === hours);
  return { ...range, step: show === "candles" ? range.candles : range.line };
}

/** Whether an alert is about a price that is far from the others', and not about a value that is many times its average. */
export const isDivergence = (alert) => alert.rule_kind === "divergence";

/** In what the ratio of an alert is told: how many times an average, or how far from the median of others. */
export const ratioText = (alert, ratio, digits = 3) =>
  `${computed(ratio, digits)} ${isDivergence(alert) ? "basis points" : "×"}`;
