// What the server says about itself, as names and values: units by the ending of the name, so that a new number shows as
// soon as the server says it.

import { bytes, duration, millis, title as capital, words } from "../format.js";
import { html } from "../lib.js";
import { exact, isNumber } from "../numbers.js";
import { Pairs } from "./panel.js";
import { Id, Text } from "./text.js";
import { Ago } from "./time.js";

const SECONDS = /(^|_)(seconds|age|lag|recent|round_trip|interval|took|uptime|delay|duration)$/;
const MOMENT = /^last_(success|failure)$/; // seconds since 1970
const UUID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** One value. */
export function Fact({ name, value }) {
  if (value === null || value === undefined) return html`<span class="none">–</span>`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isNumber(value)) {
    if (MOMENT.test(name)) return html`<${Ago} at=${new Date(Number(value) * 1000).toISOString()} />`;
    if (SECONDS.test(name)) return duration(value);
    if (name.endsWith("_ms")) return duration(Number(value) / 1000);
    if (name.endsWith("bytes")) return bytes(value);
    return Number.isInteger(Number(value)) ? exact(value) : String(Math.round(Number(value) * 1000) / 1000);
  }
  if (typeof value === "string") {
    if (/(^|_)at$/.test(name) && millis(value) !== null) return html`<${Ago} at=${value} />`;
    return UUID.test(value) ? html`<${Id} value=${value} />` : html`<${Text} value=${value} />`;
  }
  if (Array.isArray(value)) return html`<${Text} value=${value.map((each) => (typeof each === "object" ? JSON.stringify(each) : String(each))).join(", ")} />`;
  return Object.entries(value).map(([key, each]) => html`<div key=${key}><span class="quiet">${words(key)}</span> <${Fact} name=${key} value=${each} /></div>`);
}

/** An object as pairs; `without` names what is shown elsewhere. */
export function Facts({ of, without = [] }) {
  const shown = Object.entries(of ?? {}).filter(([name]) => !without.includes(name));
  return html`<div class="facts"><${Pairs} items=${shown.map(([name, value]) => [capital(name.replace(/_(seconds|bytes|ms)$/, "")), value === null || value === "" ? undefined : html`<${Fact} name=${name} value=${value} />`])} /></div>`;
}
