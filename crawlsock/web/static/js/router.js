// From addresses to screens, with the history of the browser.
//
// The law: a screen is chosen by the address and by nothing else. Links are ordinary links; a click on one that leads to a
// screen is taken here, everything else is the browser's.

import { pattern, readQuery } from "./address.js";
import { makeStore } from "./store.js";

/** Where we are: `{path, params, query, screen, visit}`; `screen` null: no such page. */
export const place = makeStore(null);

let screens = [];
let visit = 0;

function find(url) {
  for (const screen of screens) {
    const params = screen.match(url.pathname);
    if (params) return { screen, params };
  }
  return { screen: null, params: {} };
}

function arrive(url) {
  visit += 1;
  place.set({ path: url.pathname, query: readQuery(url.search), ...find(url), visit });
}

/** Begin, with the table of screens (`path`, `load`). */
export function startRouter(table) {
  screens = table.map((screen) => ({ ...screen, match: pattern(screen.path) }));
  history.scrollRestoration = "auto";
  addEventListener("popstate", () => arrive(new URL(location.href)));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.hasAttribute("download") || link.dataset.native !== undefined) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || (url.hash && url.pathname === location.pathname) || !find(url).screen) return;
    event.preventDefault();
    go(url.pathname + url.search);
  });
  arrive(new URL(location.href));
}

/**
 * Go to an address of ours.
 * @param {string} where path and query
 * @param {{replace?: boolean, keep?: boolean}} [options] replace: no new entry in the history; keep: do not scroll
 */
export function go(where, { replace = false, keep = false } = {}) {
  const url = new URL(where, location.href);
  if (!find(url).screen) {
    location.assign(url);
    return;
  }
  const depth = (history.state?.depth ?? 0) + (replace ? 0 : 1);
  history[replace ? "replaceState" : "pushState"]({ depth }, "", url);
  const before = place.get();
  arrive(url);
  if (!keep && before?.path !== url.pathname) scrollTo(0, 0);
}

/** Tell whether going back stays on this page. */
export function canGoBack() {
  return (history.state?.depth ?? 0) > 0;
}
