// How numbers and times are written. Digits are those that the data have: the residue that arithmetic leaves behind the
// last digit is not shown (as in the command line: candles/digits.py). Times are UTC; the local time is in the title.

import { element, setAttribute, setText } from "./dom.js";

export const NOTHING = "–";
const MINUS = "−";

/** Write the digits of a plain number in groups of three: 64012.9 as 64,012.9. */
function grouped(text) {
  const [whole, part] = text.replace("-", MINUS).split(".");
  const wide = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return part === undefined ? wide : `${wide}.${part}`;
}

/** The number that a person is shown for this one: at most 15 digits were stated by a source, more were computed. */
export function rounded(value, computed = 6) {
  if (value === 0 || !Number.isFinite(value)) return value;
  const digits = value.toExponential().split("e")[0].replace(/[-.]/g, "");
  const residues = [...digits.matchAll(/0{6,}|9{6,}/g)];
  const fine = residues.length > 0 && Math.abs(value) < 10 ** (digits.length - 14);
  if (digits.length <= 15 && !fine) return value;
  return Number(value.toPrecision(residues.length ? Math.max(residues.at(-1).index, 1) : computed));
}

/** How many decimals a number has, without an exponent. */
function decimals(value) {
  const [mantissa, exponent] = value.toExponential().split("e");
  return Math.max(0, (mantissa.split(".")[1]?.length ?? 0) - Number(exponent));
}

/** A number in its own digits: 0.00000001 and 100,000,000 are written out, what is beyond that with an exponent. */
export function number(value, computed = 6) {
  if (value === null || value === undefined) return NOTHING;
  const told = rounded(value, computed);
  const size = Math.abs(told);
  if (size !== 0 && (size < 1e-9 || size >= 1e13)) return exponential(told, 5);
  return grouped(told.toFixed(Math.min(decimals(told), 14)));
}

/** The same in a column of so many characters: with fewer digits, at last with an exponent. */
export function fitting(value, digits = 8, room = 12) {
  if (value === null || value === undefined) return NOTHING;
  for (let fewer = digits; fewer >= Math.min(4, digits); fewer -= 1) {
    const text = fewer === digits ? number(value, digits) : number(Number(value.toPrecision(fewer)));
    if (text.length <= room) return text;
  }
  return exponential(value, 4);
}

function exponential(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`.replaceAll("-", MINUS);
}

/** A computed number, a deviation or a mean, in as many digits as a person compares at a glance. */
export function computed(value, digits = 5) {
  if (value === null || value === undefined) return NOTHING;
  const told = Number(value.toPrecision(digits));
  return Math.abs(told) >= 10 ** digits ? fitting(Math.round(value), 12) : fitting(told, digits, 10);
}

/** How to write a column of numbers so that its decimal points stand below each other, with at most so many decimals. */
export function column(values, most = 14) {
  const told = values.filter((value) => value !== null && value !== undefined).map((value) => rounded(value));
  const size = Math.max(0, ...told.map(Math.abs));
  const whole = size >= 1 ? Math.floor(Math.log10(size)) + 1 : 0;
  const wanted = Math.max(0, ...told.slice(0, 3000).map(decimals));
  const places = Math.min(most, size < 1e-3 ? wanted : Math.min(wanted, Math.max(0, 9 - whole)));
  return (value) => {
    if (value === null || value === undefined) return NOTHING;
    const text = grouped(value.toFixed(places));
    return /[1-9]/.test(text) ? text : text.replace(MINUS, "");
  };
}

/** A percentage with its sign: the sign says the direction where the colour does not. */
export function change(percent) {
  if (percent === null || percent === undefined) return NOTHING;
  const places = Math.abs(percent) >= 1000 ? 0 : 2;
  const text = grouped(Math.abs(percent).toFixed(places));
  if (!/[1-9]/.test(text)) return `${text} %`;
  return `${percent > 0 ? "+" : MINUS}${text} %`;
}

/** A share as a percentage of three digits. */
export function share(value) {
  if (value === null || value === undefined) return NOTHING;
  const percent = value * 100;
  if (percent !== 0 && percent < 0.0001) return "< 0.0001 %";
  if (percent === 0 || percent >= 0.1) return `${grouped(percent.toFixed(percent >= 1000 ? 0 : 2))} %`;
  return `${number(Number(percent.toPrecision(2)))} %`;
}

export const direction = (value) => (value > 0.005 ? "up" : value < -0.005 ? "down" : "flat");

const two = (value) => String(value).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** 21:04 of a time in UTC, with its seconds where they are asked for. */
export function clock(time, seconds = false) {
  const at = new Date(time);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${seconds ? `:${two(at.getUTCSeconds())}` : ""}`;
}

/** 26 Nov of a time in UTC. */
export const day = (time) => `${new Date(time).getUTCDate()} ${MONTHS[new Date(time).getUTCMonth()]}`;

/** 26 Nov 21:04, or 21:04 where it is of the same UTC day as the other time. */
export function when(time, beside) {
  const same = beside && new Date(time).toISOString().slice(0, 10) === new Date(beside).toISOString().slice(0, 10);
  return same ? clock(time) : `${day(time)} ${clock(time)}`;
}

/** A length of time in at most two units: 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h. */
export function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let rest = whole;
  const told = [];
  for (const [size, unit] of parts) {
    if (rest >= size && told.length < 2) told.push(`${Math.floor(rest / size)} ${unit}`);
    else if (told.length) break;
    rest %= size;
  }
  return told.join(" ") || "0 s";
}

export const counted = (count, one, many = `${one}s`) => `${grouped(String(count))} ${count === 1 ? one : many}`;

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time";

/** What stands in the title of a time: the same time where the reader is. */
export const localTime = (time) =>
  `${local.format(new Date(time))} (${zone()}) · ${new Date(time).toISOString().replace(".000", "")}`;

/** A time element: UTC in the text, the local time on hover. */
export function timeElement(time, text = clock(time)) {
  return element("time", { datetime: new Date(time).toISOString(), title: localTime(time) }, text);
}

/** Let a time element tell another time. */
export function setTime(node, time, text = clock(time)) {
  setText(node, text);
  setAttribute(node, "datetime", new Date(time).toISOString());
  setAttribute(node, "title", localTime(time));
}
