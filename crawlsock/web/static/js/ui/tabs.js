// Tabs that change the address are links: they can be opened elsewhere, and say where one is.

import { html } from "../lib.js";
import { exact, short } from "../numbers.js";

/** @param {{label: string, tabs: {key: string, label: string, href: string, count?: any}[], current: string | null}} props */
export function Tabs({ label, tabs, current }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${tabs.map(
      (tab) => html`<a key=${tab.key} href=${tab.href} aria-current=${tab.key === current ? "page" : undefined}
        >${tab.label}${tab.count !== undefined ? html` <span class="count" title=${exact(tab.count)}>${short(tab.count)}</span>` : null}</a
      >`,
    )}
  </nav>`;
}
