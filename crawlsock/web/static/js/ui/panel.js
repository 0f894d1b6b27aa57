// The pieces of a screen: its head, its panels, lists of names with values, lines to copy.

import { html, useState } from "../lib.js";
import { announce } from "./toast.js";

/** The head of a screen. The heading takes the focus when one arrives (see app.js). */
export function Head({ title, lead, children }) {
  return html`<header class="head">
    <div class="head-text"><h1 tabindex="-1">${title}</h1>${lead && html`<p class="lead">${lead}</p>`}</div>
    ${children && html`<div class="head-actions">${children}</div>`}
  </header>`;
}

/** A part of a screen with a heading. */
export function Panel({ title, id, note, actions, class: name = "", children }) {
  return html`<section class=${`panel ${name}`} aria-labelledby=${id}>
    <header class="panel-head"><h2 id=${id}>${title}</h2>${note && html`<span class="quiet">${note}</span>`}${actions && html`<div class="panel-actions">${actions}</div>`}</header>
    ${children}
  </section>`;
}

/** Names and values; a third `true` gives one the whole row. Those whose value is undefined, null or "" are left out. */
export function Pairs({ items, tight = false }) {
  const shown = items.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return html`<dl class=${tight ? "pairs tight" : "pairs"}>${shown.map(([name, value, whole]) => html`<div key=${name} class=${whole ? "whole" : undefined}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Copy a text to the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
    return true;
  } catch {
    return false; // not on a secure address: the text can still be selected
  }
}

/** A command line, with a button that copies it. */
export function Command({ line, label = "Command line that does the same" }) {
  const [copied, setCopied] = useState(false);
  const press = async () => {
    if (await copy(line)) {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    }
  };
  return html`<div class="command" role="group" aria-label=${label}>
    <code tabindex="0">${line}</code>
    <button type="button" class="button small" onClick=${press} aria-label=${`Copy: ${line}`}>${copied ? "Copied" : "Copy"}</button>
  </div>`;
}
