// Numbers as they are: read from JSON without loss, and written for people.
//
// The law: values in, values out; no DOM, no clock. A whole number that a double cannot hold is a BigInt from the
// moment it is parsed. Everything here takes either; nothing else may assume that a number from the server is a Number.

const LONG = /\d{16}/;
const WHOLE = /^-?\d+$/;
const TOKENS = /"(?:[^"\\]+|\\.)*"|-?\d[\d.eE+-]*/g;
const MARK = "\u0000whole:";

let readsSource = null;

/** Tell whether JSON.parse shows a reviver the digits themselves. */
function canReadSource() {
  if (readsSource === null) {
    readsSource = false;
    JSON.parse("1", (key, value, context) => {
      readsSource = context?.source === "1";
      return value;
    });
  }
  return readsSource;
}

function unsafe(digits) {
  return WHOLE.test(digits) && !Number.isSafeInteger(Number(digits));
}

/**
 * Parse JSON; whole numbers beyond 2^53 become BigInt, all others are what JSON.parse makes of them.
 * @param {string} text
 * @param {boolean} [bySource] read the digits in the reviver, where the engine can (told only by tests)
 */
export function parseExact(text, bySource = canReadSource()) {
  if (!LONG.test(text)) return JSON.parse(text);
  if (bySource) {
    return JSON.parse(text, (key, value, context) =>
      typeof value === "number" && unsafe(context.source) ? BigInt(context.source) : value,
    );
  }
  // Without it: put the long ones into strings that no server can send (JSON text cannot hold a bare NUL).
  const marked = text.replace(TOKENS, (token) => (token[0] !== '"' && unsafe(token) ? `"\\u0000whole:${token}"` : token));
  return JSON.parse(marked, (key, value) =>
    typeof value === "string" && value.startsWith(MARK) && WHOLE.test(value.slice(MARK.length))
      ? BigInt(value.slice(MARK.length))
      : value,
  );
}

/** Write a value as JSON, BigInt as the digits that it is. */
export function writeExact(value, indent = 0, level = 0) {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const list = Array.isArray(value);
  const items = list
    ? value.map((each) => writeExact(each, indent, level + 1))
    : Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${indent ? " " : ""}${writeExact(each, indent, level + 1)}`);
  const [open, close] = list ? "[]" : "{}";
  if (!items.length) return open + close;
  if (!indent) return open + items.join(",") + close;
  const pad = " ".repeat(indent * (level + 1));
  return `${open}\n${pad}${items.join(`,\n${pad}`)}\n${" ".repeat(indent * level)}${close}`;
}

/** Tell whether it is a number of either kind. */
export function isNumber(value) {
  return typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value));
}

/** Write a whole number with every digit, in groups of three. */
export function exact(value) {
  if (!isNumber(value)) return "–";
  const text = typeof value === "bigint" ? value.toString() : Math.trunc(value).toLocaleString("en-US", { useGrouping: false, maximumFractionDigits: 0 });
  return text.replace(/\B(?=(\d{3})+$)/g, ",");
}

const STEPS = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e4, "k", 1e3],
];

/** Write a number short (12.3k) where there is little room; the title beside it has `exact`. */
export function short(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(Number(value));
  for (const [from, letter, unit = from] of STEPS) {
    if (size >= from) return `${cut(Number(value) / unit)}${letter}`;
  }
  return exact(value);
}

// Cut, not rounded: 999,999 is 999k and not 1000k, and "1.2M" never stands for less than that.
function cut(value) {
  const size = Math.abs(value);
  const digits = size < 10 ? 2 : size < 100 ? 1 : 0;
  const scale = 10 ** digits;
  return (Math.trunc(value * scale) / scale).toFixed(digits).replace(/\.0+$|(\.\d*[1-9])0+$/, "$1");
}

/** Add two numbers, exactly. */
export function plus(a, b) {
  if (typeof a === "bigint" || typeof b === "bigint") return BigInt(a ?? 0) + BigInt(b ?? 0);
  const sum = (a ?? 0) + (b ?? 0);
  return Number.isSafeInteger(sum) || !Number.isInteger(sum) ? sum : BigInt(a) + BigInt(b);
}

/** Add up a list, exactly. */
export function total(values) {
  let sum = 0;
  for (const value of values) sum = plus(sum, value);
  return sum;
}

/** Return the larger of two. */
export function larger(a, b) {
  return a === undefined || a === null || b > a ? b : a;
}

/** Return part of whole between 0 and 1; null where it means nothing. */
export function share(part, whole) {
  if (!isNumber(part) || !isNumber(whole) || Number(whole) <= 0) return null;
  return Math.min(1, Math.max(0, Number(part) / Number(whole)));
}
