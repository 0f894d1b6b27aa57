// Moments and ages, by the server's clock. The absolute moment is in the title, and in `datetime` for machines.

import { serverClock } from "../clock.js";
import { absolute, ago, between, duration, millis } from "../format.js";
import { html, useEffect } from "../lib.js";
import { makeStore, useStore } from "../store.js";

const second = makeStore(0);
let watchers = 0;
let timer = null;

/** Draw the component anew every second while it is there. One timer for all. */
export function useSecond() {
  useStore(second);
  useEffect(() => {
    if (watchers++ === 0) timer = setInterval(() => document.hidden || second.set((count) => count + 1), 1000);
    return () => {
      if (--watchers === 0) clearInterval(timer);
    };
  }, []);
  return serverClock.now();
}

/** How long ago a moment is. */
export function Ago({ at }) {
  const now = useSecond();
  if (millis(at) === null) return html`<span class="none">–</span>`;
  return html`<time datetime=${at} title=${absolute(at)}>${ago(at, now)}</time>`;
}

/** How long something took, or takes until now. */
export function Took({ from, until }) {
  const now = useSecond();
  const seconds = between(from, until ?? now);
  if (seconds === null) return html`<span class="none">–</span>`;
  return html`<time title=${`${absolute(from)} – ${until ? absolute(until) : "now"}`}>${duration(seconds)}</time>`;
}

/** An age that the server counted: `seconds` when it was read, at `readAt` of our own clock; it grows by itself. */
export function Age({ seconds, readAt }) {
  useSecond();
  return html`<span>${duration(Math.floor(Math.max(0, Number(seconds) + (readAt ? (Date.now() - readAt) / 1000 : 0))))}</span>`;
}
