// A value that changes, and those who want to know.
//
// The law: all state that outlives a component is in a store; nothing else in these modules is global and mutable.

import { useEffect, useState } from "./lib.js";

/** Make a store over a value. `set` takes the next value, or a function from the value to the next. */
export function makeStore(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      const after = typeof next === "function" ? next(value) : next;
      if (after === value) return;
      value = after;
      for (const listener of [...listeners]) listener(value);
    },
    /** Call back with each new value; returns what ends it. */
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Use a store's value, or what `select` makes of it, in a component. */
export function useStore(store, select = (value) => value) {
  const [, redraw] = useState(0);
  const now = select(store.get());
  useEffect(() => {
    let last = select(store.get());
    if (last !== now) redraw((count) => count + 1);
    return store.watch((value) => {
      const next = select(value);
      if (next === last) return;
      last = next;
      redraw((count) => count + 1);
    });
  }, [store]);
  return now;
}
