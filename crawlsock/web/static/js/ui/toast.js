// Short words about what just happened, seen and heard.

import { html } from "../lib.js";
import { makeStore, useStore } from "../store.js";
import { Text } from "./text.js";

const toasts = makeStore([]);
const spoken = makeStore("");
const STAYS = 6000;
let last = 0;

/** Say something to screen readers without showing it. */
export function announce(text) {
  // The same text twice is two announcements: a blank that is not heard makes the difference.
  spoken.set((before) => (before === text ? `${text}\u00a0` : text));
}

/** Show a word for a while; `tone`: ok, bad. What failed stays until it is closed. */
export function toast(text, tone = "ok") {
  const no = ++last;
  toasts.set((list) => [...list, { no, text, tone }].slice(-4));
  announce(text);
  if (tone !== "bad") setTimeout(() => dismiss(no), STAYS);
}

function dismiss(no) {
  toasts.set((list) => (list.some((each) => each.no === no) ? list.filter((each) => each.no !== no) : list));
}

/** Close the newest; tells whether there was one. */
export function dismissLast() {
  const list = toasts.get();
  if (list.length) dismiss(list[list.length - 1].no);
  return list.length > 0;
}

/** Where they stand. */
export function Toasts() {
  const list = useStore(toasts);
  const text = useStore(spoken);
  return html`<div class="sr" role="status" aria-live="polite">${text}</div>
    <div class="toasts">
      ${list.map(
        (each) => html`<div key=${each.no} class="toast" data-tone=${each.tone}>
          <span><${Text} value=${each.text} /></span>
          <button type="button" class="close" aria-label="Close this message" onClick=${() => dismiss(each.no)}>×</button>
        </div>`,
      )}
    </div>`;
}
