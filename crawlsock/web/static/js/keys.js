// The keyboard map.
//
// The law: a key does something only when nothing is being typed, no dialog is open, and no modifier is held; and all of it
// can be switched off (WCAG 2.1.4). Screens add their own with `useKeys`; the map under `?` is made from the same tables.

import { useEffect, useRef } from "./lib.js";
import { keysOn } from "./preferences.js";
import { makeStore } from "./store.js";
import { dialogIsOpen } from "./ui/dialog.js";

/** What is bound now: groups of `{title, keys: {key: {label, run}}}`. A key of two letters ("g j") is a sequence. */
export const bindings = makeStore([]);

const SEQUENCE = 1200;
let first = null;
let firstAt = 0;

function typing(target) {
  return target.isContentEditable || (target.matches?.("input, textarea, select") && !["checkbox", "radio", "button"].includes(target.type));
}

function find(name) {
  for (const group of [...bindings.get()].reverse()) if (group.keys[name]) return group.keys[name];
  return null;
}

function press(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (dialogIsOpen() || typing(event.target)) return;
  const single = event.key;
  // Escape and the arrows are no characters: they stay when single keys are off.
  if (!keysOn.get() && single.length === 1) return;
  if ((single === "Enter" || single === " ") && event.target.closest?.("a, button, summary, input")) return;
  const both = first && Date.now() - firstAt < SEQUENCE ? `${first} ${single}` : null;
  first = null;
  const found = (both && find(both)) || find(single);
  if (found) {
    if (found.run(event) !== false) event.preventDefault();
    return;
  }
  if (bindings.get().some((group) => Object.keys(group.keys).some((name) => name.startsWith(`${single} `)))) {
    first = single;
    firstAt = Date.now();
  }
}

/** Begin to listen. */
export function startKeys() {
  document.addEventListener("keydown", press);
}

/** Bind a group of keys; returns what unbinds them. */
export function bind(title, keys) {
  const group = { title, keys };
  bindings.set((groups) => [...groups, group]);
  return () => bindings.set((groups) => groups.filter((each) => each !== group));
}

/** Bind keys as long as a component is there. `keys` may be another object each time. */
export function useKeys(title, keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const names = Object.keys(latest.current);
    return bind(
      title,
      Object.fromEntries(names.map((name) => [name, { label: latest.current[name].label, run: (event) => latest.current[name].run(event) }])),
    );
  }, []);
}
