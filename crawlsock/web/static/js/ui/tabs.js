// Tabs that change the address are links: they can be opened elsewhere, and say where one is.

import { html, useEffect, useRef } from "../lib.js";
import { exact, short } from "../numbers.js";

/** Move a row of links sideways until one of them is seen. */
export function intoSight(link) {
  const row = link.parentElement;
  if (row.scrollWidth > row.clientWidth) row.scrollLeft = link.offsetLeft - row.offsetLeft - 24;
}

/** @param {{label: string, tabs: {key: string, label: string, href: string, count?: any}[], current: string | null}} props */
export function Tabs({ label, tabs, current }) {
  const row = useRef(null);
  useEffect(() => {
    const here = row.current.querySelector("[aria-current]");
    if (here) intoSight(here);
  }, [current]);
  return html`<nav class="tabs" aria-label=${label} ref=${row}>
    ${tabs.map(
      (tab) => html`<a key=${tab.key} href=${tab.href} aria-current=${tab.key === current ? "page" : undefined}
        >${tab.label}${tab.count !== undefined ? html` <span class="count" title=${exact(tab.count)}>${short(tab.count)}</span>` : null}</a
      >`,
    )}
  </nav>`;
}
