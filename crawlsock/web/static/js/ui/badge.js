// Small words with a colour. The colour never stands alone: each has a shape of its own, and the word.

import { title } from "../format.js";
import { html } from "../lib.js";
import { stateLabel } from "../jobs.js";

/** The state of a job (or what was asked of it). */
export function StateBadge({ state, job }) {
  const shown = job ? stateLabel(job) : state;
  return html`<span class="state" data-state=${job?.state ?? state}>${title(shown)}</span>`;
}

/** Any other short word; `tone`: ok, warn, bad, info, quiet. */
export function Badge({ tone = "quiet", children }) {
  return html`<span class="badge" data-tone=${tone}>${children}</span>`;
}
