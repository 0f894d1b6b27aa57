// Words for moments, durations, speeds and sizes.
//
// The law: no DOM and no clock: whoever calls says what time it is. No duration is ever negative: clocks differ, and "in
// -2 s" helps nobody.

import { exact, isNumber, short } from "./numbers.js";

const UNITS = [
  ["y", 31536000],
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** Write seconds as one or two units: 850 ms, 4.2 s, 3 min 5 s, 2 d 4 h. */
export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  const size = Math.max(0, Number(seconds));
  if (size < 1) return size === 0 ? "0 s" : `${Math.max(1, Math.round(size * 1000))} ms`;
  if (size < 9.95) return `${size.toFixed(1).replace(/\.0$/, "")} s`;
  let left = Math.round(size);
  for (let i = 0; i < UNITS.length; i++) {
    const [name, length] = UNITS[i];
    if (left < length) continue;
    const whole = Math.floor(left / length);
    const next = UNITS[i + 1];
    left -= whole * length;
    const rest = next ? Math.floor(left / next[1]) : 0;
    // With ten or more of a unit the next smaller one is noise.
    return rest && whole < 10 ? `${whole} ${name} ${rest} ${next[0]}` : `${whole} ${name}`;
  }
  return "0 s";
}

/** Milliseconds of a moment of the protocol; null when there is none. */
export function millis(moment) {
  if (!moment) return null;
  const value = Date.parse(moment);
  return Number.isNaN(value) ? null : value;
}

/** Write how long ago something was, or how far off it is, `now` in milliseconds. */
export function ago(moment, now) {
  const at = typeof moment === "number" ? moment : millis(moment);
  if (at === null) return "–";
  const seconds = (now - at) / 1000;
  // What is a moment ahead of our idea of the server's clock is "now", not the future.
  if (seconds < -2) return `in ${coarse(-seconds)}`;
  return seconds < 1.5 ? "now" : `${coarse(seconds)} ago`;
}

/** Write seconds as the one unit that matters. */
export function coarse(seconds) {
  const size = Math.max(0, Math.floor(seconds));
  for (const [name, length] of UNITS) {
    if (size >= length) return `${Math.floor(size / length)} ${name}`;
  }
  return "0 s";
}

/** Seconds between two moments, never below nothing; null when one is missing. */
export function between(from, until) {
  const [a, b] = [millis(from), typeof until === "number" ? until : millis(until)];
  return a === null || b === null ? null : Math.max(0, (b - a) / 1000);
}

const pad = (number, length = 2) => String(number).padStart(length, "0");

/** Write a moment whole: the reader's zone, and UTC. */
export function absolute(moment) {
  const at = typeof moment === "number" ? moment : millis(moment);
  if (at === null) return "";
  const date = new Date(at);
  const minutes = -date.getTimezoneOffset();
  const zone = minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
  const local = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(at)} ${zone}`;
  return minutes === 0 ? local : `${local} (${date.toISOString().slice(0, 19).replace("T", " ")} UTC)`;
}

/** Write the time of day of a moment, in the reader's zone. */
export function clock(moment, seconds = true) {
  const at = typeof moment === "number" ? moment : millis(moment);
  if (at === null) return "";
  const date = new Date(at);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}${seconds ? `:${pad(date.getSeconds())}` : ""}`;
}

/** Write items a second: 0.3/s, 12/s, 4.5k/s. */
export function rate(perSecond) {
  if (!isNumber(perSecond)) return "–";
  const size = Math.max(0, Number(perSecond));
  if (size === 0) return "0/s";
  if (size < 0.01) return "<0.01/s";
  if (size < 1) return `${size.toFixed(2).replace(/0$/, "")}/s`;
  if (size < 10) return `${size.toFixed(1).replace(/\.0$/, "")}/s`;
  return `${short(Math.round(size))}/s`;
}

/** Write a share in percent. It says 100 % only of what is done, and 0 % only of what has not begun. */
export function percent(value) {
  if (!isNumber(value)) return "–";
  const size = Math.min(100, Math.max(0, Number(value)));
  if (size === 0 || size === 100) return `${size} %`;
  if (size < 0.1) return "<0.1 %";
  if (size > 99.9) return ">99.9 %";
  return `${size < 10 || size > 99 ? (Math.floor(size * 10) / 10).toFixed(1) : Math.floor(size)} %`;
}

/** Write a size in bytes, binary units. */
export function bytes(value) {
  if (!isNumber(value)) return "–";
  let size = Number(value);
  if (size < 1024) return `${exact(value)} B`;
  for (const unit of ["KiB", "MiB", "GiB", "TiB", "PiB"]) {
    size /= 1024;
    if (size < 1024 || unit === "PiB") return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
  }
  return "–";
}

/** Write a count with its noun: 1 job, 2 jobs. */
export function counted(count, noun, plural = `${noun}s`) {
  return `${exact(count)} ${Number(count) === 1 ? noun : plural}`;
}

const WORDS = { waiting_credential: "waiting for credential" };

/** Write a name of the protocol (snake_case) as words. */
export function words(name) {
  return WORDS[name] ?? String(name ?? "").replaceAll("_", " ");
}

/** Write it with a capital. */
export function title(name) {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
