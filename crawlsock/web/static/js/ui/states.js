// What stands where there is nothing, not yet anything, or a failure. Each names the next step.

import { html } from "../lib.js";
import { Text } from "./text.js";

const NEXT = {
  unreachable: "This page tries again by itself. If it stays so, look at the server: systemctl status crawlsock, or crawlsock doctor.",
  slow: "This page tries again by itself. If it stays so, look at the screen System, or run crawlsock doctor.",
  unavailable: "The server is there, its database is not. This page tries again by itself; crawlsock doctor says more.",
  rate_limited: "Too many requests; this page waits and tries again by itself.",
  forbidden: "Your sign-in may not see this. Sign in with another role: crawlsock token login.",
  unknown_job: "It was removed after its time, or the address is wrong. The list of jobs has those that are kept.",
};

/** Nothing to show: say so, and what would change it. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<div class="empty-next">${children}</div>`}</div>`;
}

/** A failure: what the server said, and what to do. `again` tries once more. */
export function Failed({ problem, again }) {
  const next = NEXT[problem.code] ?? (problem.passing ? NEXT.slow : "The server refused this; the text above says why.");
  return html`<div class="failed" role="alert">
    <p class="empty-title"><${Text} value=${problem.message} /></p>
    <p class="empty-next">${next}</p>
    ${again && html`<button type="button" class="button" onClick=${again}>Try again</button>`}
    <p class="quiet">${problem.code}${problem.status ? ` (${problem.status})` : ""}</p>
  </div>`;
}

/** A stale screen: data is there, the newest reading failed. */
export function Stale({ problem, again }) {
  if (!problem) return null;
  return html`<div class="notice" data-tone="warn" role="status">
    <span>What you see may be old: <${Text} value=${problem.message} />.</span>
    <button type="button" class="button small" onClick=${again}>Try again</button>
  </div>`;
}

/** The place of what is being read. */
export function Loading({ lines = 4 }) {
  return html`<div class="loading" role="status"><span class="sr">Loading</span>${Array.from({ length: lines }, () => html`<span class="ghost"></span>`)}</div>`;
}

/** Choose by what a resource has: data (with a word when it is old), failure, or loading. */
export function Loaded({ of, lines, children }) {
  if (of.data !== null) return html`<${Stale} problem=${of.problem} again=${of.again} />${children(of.data)}`;
  if (of.problem) return html`<${Failed} problem=${of.problem} again=${of.again} />`;
  return html`<${Loading} lines=${lines} />`;
}
