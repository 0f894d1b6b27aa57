// Texts of others, shown as text.
//
// The law: whatever did not come from this code goes through `Text`: isolated, so that its writing direction ends with
// it, and with marks for characters that would not show. Never innerHTML.

import { html } from "../lib.js";
import { pieces, visible } from "../plain.js";

function marked(value, lines) {
  return pieces(value, lines).map((piece) =>
    typeof piece === "string" ? piece : html`<span class="unseen" title=${`invisible character ${piece.code}`}>${piece.mark}</span>`,
  );
}

/** A name, a path, a message. `lines`: line feeds stay; `cut`: one line, its end cut off where there is no room. */
export function Text({ value, lines = false, cut = false, class: name = "" }) {
  if (value === undefined || value === null || value === "") return html`<span class="none">–</span>`;
  const classes = [name, lines && "lines", cut && "cut"].filter(Boolean).join(" ");
  return html`<bdi class=${classes || undefined} title=${cut ? visible(value) : undefined}>${marked(value, lines)}</bdi>`;
}

/** An identifier, monospaced; `short` shows its first eight characters, the title all. */
export function Id({ value, short = false }) {
  if (!value) return html`<span class="none">–</span>`;
  const text = String(value);
  return html`<code class="id" title=${visible(text)}>${marked(short ? text.slice(0, 8) : text)}</code>`;
}

/** A block of source: a payload, a stack. Scrolls by itself, so a keyboard must reach it. */
export function Source({ value, label }) {
  return html`<pre class="source" tabindex="0" role="region" aria-label=${label}><code>${marked(value, true)}</code></pre>`;
}
