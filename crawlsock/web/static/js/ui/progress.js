// How far something is: a bar, and in words what the bar cannot say.

import { duration, percent, rate, title } from "../format.js";
import { html } from "../lib.js";
import { exact, isNumber, share, short } from "../numbers.js";

/** A bar from 0 to 1; `value` null: it goes on, nobody knows how far. */
export function Bar({ value, label, tone }) {
  const known = value !== null && value !== undefined;
  return html`<progress class="bar" data-tone=${tone} max="1" value=${known ? value : undefined} aria-label=${label}></progress>`;
}

/** The bar of a job with percent; for a job that has reported nothing, nothing. */
export function JobBar({ job }) {
  const { progress, state } = job;
  const done = state === "completed";
  const known = done ? 100 : progress?.percent;
  if (known === undefined && (!progress || state !== "running")) return html`<span class="none">–</span>`;
  const words = known === undefined ? "working, how far is not known" : percent(known);
  // A bar without a value is for a job that somebody works on, and for no other.
  const value = known === undefined ? null : Number(known) / 100;
  return html`<span class="jobbar"><${Bar} value=${value} tone=${state} label=${words} /><span class="num">${known === undefined ? "" : percent(known)}</span></span>`;
}

/** Stage, items, rate and time left in one line. */
export function JobPace({ job }) {
  const { progress, state } = job;
  if (!progress) return html`<span class="none">–</span>`;
  const running = state === "running";
  const parts = [
    running && progress.stage ? title(progress.stage) : null,
    html`<${Items} progress=${progress} />`,
    running && isNumber(progress.rate) ? rate(progress.rate) : null,
    running && isNumber(progress.time_left) ? `${duration(Math.ceil(Number(progress.time_left)))} left` : null,
  ].filter((part) => part !== null);
  return html`<span class="pace">${parts.map((part) => html`<span>${part}</span>`)}</span>`;
}

function Items({ progress }) {
  const { processed, failed, total } = progress;
  const words = `${exact(processed)}${isNumber(total) ? ` of ${exact(total)}` : ""} items${Number(failed) ? `, ${exact(failed)} failed` : ""}`;
  return html`<span title=${words}
    >${short(processed)}${isNumber(total) ? ` / ${short(total)}` : ""} items${Number(failed) ? html`, <span class="bad">${short(failed)} failed</span>` : ""}</span
  >`;
}

/** A share of a whole as a bar with both numbers. */
export function Share({ part, whole, label, tone }) {
  return html`<span class="jobbar"><${Bar} value=${share(part, whole) ?? 0} label=${label} tone=${tone} /><span class="num">${exact(part)} / ${exact(whole)}</span></span>`;
}
