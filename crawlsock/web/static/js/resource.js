// What a screen has read from the API, kept fresh by events.
//
// The law: what is shown stays until there is something newer; a failure stands beside it and does not replace it. Events
// that come while an answer is under way are applied to the answer, so that none is lost to it. At most one request a
// second (less when the server takes long) for what events make stale, none while the page is hidden or held.

import * as api from "./api.js";
import { useEffect, useMemo, useRef, useState } from "./lib.js";
import { writeQuery } from "./address.js";
import { heard, isPaused, liveState, listen, whenReady } from "./live.js";

const LEAST = 1000;

class Resource {
  constructor(redraw) {
    this.redraw = redraw;
    this.shown = { data: null, problem: null, loading: true, stale: false, at: null };
    this.missed = [];
    this.running = null;
    this.dirty = false;
    this.lastAsked = 0;
    this.took = 0;
    this.timer = null;
  }

  set(part) {
    if (this.closed) return;
    this.shown = { ...this.shown, ...part };
    this.redraw((count) => count + 1);
  }

  aim(path, query, options) {
    const key = path === null ? null : path + writeQuery(query);
    this.options = options;
    if (key === this.key) return;
    const samePath = path === this.path;
    this.running?.abort();
    this.running = null;
    Object.assign(this, { key, path, query, missed: [], dirty: false });
    if (path === null) return;
    this.set({ loading: true, problem: null, stale: samePath && this.shown.data !== null, ...(!samePath && { data: null }) });
    this.read(whenReady());
  }

  async read(after) {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.running) {
      this.dirty = true;
      return;
    }
    const running = (this.running = new AbortController());
    if (after) await after;
    if (running.signal.aborted || this.closed) return;
    this.dirty = false;
    this.missed = [];
    this.lastAsked = Date.now();
    try {
      const read = this.options.read ?? api.get;
      let data = await read(this.path, this.query, running.signal);
      if (this.running !== running) return;
      if (this.options.reduce) for (const delivery of this.missed) data = this.options.reduce(data, delivery.events, delivery);
      heard();
      this.took = Date.now() - this.lastAsked;
      this.set({ data, problem: null, loading: false, stale: false, at: Date.now() });
    } catch (problem) {
      if (this.running !== running || running.signal.aborted) return;
      if (!(problem instanceof api.Problem)) console.error(problem);
      this.set({ problem, loading: false });
      if (problem.passing) this.soon(problem.retryAfter ? problem.retryAfter * 1000 : 4000);
    } finally {
      if (this.running === running) {
        this.running = null;
        this.missed = [];
        if (this.dirty) this.soon();
      }
    }
  }

  /** Read again, not more than once a second, and when somebody looks. */
  soon(wait = 0) {
    if (this.closed || this.path === null) return;
    if (document.hidden || isPaused()) {
      this.dirty = true;
      return;
    }
    if (this.running) {
      this.dirty = true;
      return;
    }
    if (this.timer) return;
    // What costs the server much is asked for less often.
    const least = Math.max(this.options.least ?? LEAST, 10 * this.took);
    this.timer = setTimeout(() => this.read(), Math.max(wait, this.lastAsked + least - Date.now(), 0));
  }

  take(delivery) {
    const { reduce, refetch } = this.options;
    if (this.running) this.missed.push(delivery);
    if (reduce && this.shown.data !== null && !delivery.gap) {
      const data = reduce(this.shown.data, delivery.events, delivery);
      if (data !== this.shown.data) this.set({ data });
    }
    if (refetch && delivery.events.some(refetch)) this.soon();
  }

  wake() {
    if (this.dirty && !document.hidden && !isPaused()) {
      this.dirty = false;
      this.soon();
    }
  }

  close() {
    this.closed = true;
    this.running?.abort();
    clearTimeout(this.timer);
  }
}

/**
 * Read `path` with `query`, and keep it fresh.
 *
 * @param {string | null} path below /api/v1; null: nothing is read
 * @param {object} [query]
 * @param {object} [options]
 * @param {(data: any, events: object[], delivery: object) => any} [options.reduce] what events make of the data
 * @param {(event: object) => boolean} [options.refetch] which events make it stale
 * @param {number} [options.every] read again every so many milliseconds, for what no event tells
 * @param {number} [options.least] milliseconds between two readings, 1000 unless told
 * @param {(path: string, query: object, signal: AbortSignal) => Promise<any>} [options.read] instead of one GET
 * @returns {{data: any, problem: import("./api.js").Problem | null, loading: boolean, stale: boolean, at: number | null,
 *   again: () => void, change: (fn: (data: any) => any) => void}}
 */
export function useResource(path, query = {}, options = {}) {
  const [, redraw] = useState(0);
  const kept = useRef(null);
  kept.current ??= new Resource(redraw);
  const resource = kept.current;
  useEffect(() => resource.aim(path, query, options));
  useEffect(() => {
    const ends = [
      listen({ events: (delivery) => resource.take(delivery), reset: () => resource.soon() }),
      liveState.watch(() => resource.wake()),
      () => resource.close(),
    ];
    const wake = () => resource.wake();
    document.addEventListener("visibilitychange", wake);
    const timer = options.every && setInterval(() => resource.soon(), options.every);
    return () => {
      for (const end of ends) end();
      document.removeEventListener("visibilitychange", wake);
      clearInterval(timer);
    };
  }, []);
  const verbs = useMemo(
    () => ({
      again: () => resource.read(),
      change: (fn) => resource.set({ data: fn(resource.shown.data) }),
    }),
    [],
  );
  return { ...resource.shown, ...verbs };
}

/** Call back with every delivery of the live stream, as long as the component is there. */
export function useEvents(callback) {
  const latest = useRef(callback);
  latest.current = callback;
  useEffect(() => listen({ events: (delivery) => latest.current(delivery) }), []);
}
