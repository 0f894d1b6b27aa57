// The one event stream of a page.
//
// The law: one EventSource at a time, with the filter of the screen; every delivery goes whole to those who listen, in
// order, once. The position of the last one is kept: a lost link, a pause and a restart of the server go on from there.
// `reset` tells listeners that what they show must be read anew (a fresh stream, a gap, a snapshot).

import { request, BASE } from "./api.js";
import { writeQuery } from "./address.js";
import { serverClock } from "./clock.js";
import { parseExact } from "./numbers.js";
import { makeStore } from "./store.js";

const QUIET = 20000; // without a word for so long we ask whether the server is there: its pings are not shown to scripts
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10000;
const SLEEP = 20000; // a page that nobody sees gives its connection back: browsers have only six for one server
const MOST_REFUSED = 3; // streams that never said hello, before the position is taken to be the reason

/**
 * What the indicator shows. `state`: idle (no stream wanted), connecting, live, paused, reconnecting. `at`: when, by our own
 * clock, the server was last heard of; null before.
 */
export const liveState = makeStore({ state: "idle", at: null });

const listeners = new Set();
let source = null;
let filter = null;
let position = null;
let paused = false;
let failures = 0;
let retryTimer = null;
let refused = 0;
let asleep = null;
let ready = null; // {promise, resolve}: the stream that is being opened has said hello

function show(state, heard = false) {
  liveState.set((before) => ({ state, at: heard ? Date.now() : before.at }));
}

/** Note that the server was heard of: an answer to a request is as good as an event. */
export function heard() {
  if (liveState.get().state === "live") show("live", true);
}

function tell(name, value) {
  for (const listener of [...listeners]) listener[name]?.(value);
}

/**
 * Listen: `events(delivery)` with `{events, gap, snapshot, at}`, `reset()`.
 * @returns {() => void} what ends it
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function close() {
  clearTimeout(retryTimer);
  retryTimer = null;
  source?.close();
  source = null;
}

function connect() {
  close();
  const dropped = position !== null && refused >= MOST_REFUSED;
  if (dropped) position = null;
  const resumes = position !== null;
  refused += 1;
  const opened = new EventSource(BASE + "/events" + writeQuery({ ...filter, position }));
  source = opened;
  let greeted = false;
  opened.addEventListener("hello", (message) => {
    if (source !== opened) return;
    const hello = parseExact(message.data);
    serverClock.note(hello.at);
    position = message.lastEventId || hello.position;
    failures = 0;
    refused = 0;
    show("live", true);
    ready?.resolve();
    if (dropped && !greeted) tell("events", { events: [], gap: true, snapshot: false, at: hello.at });
    // Opened without a position: between the page's data and this moment something may have happened.
    if (!resumes && !greeted) tell("reset");
    greeted = true;
  });
  opened.addEventListener("events", (message) => {
    if (source !== opened) return;
    const delivery = parseExact(message.data);
    position = message.lastEventId || delivery.position;
    failures = 0;
    show("live", true);
    const last = delivery.events[delivery.events.length - 1];
    tell("events", { events: delivery.events, gap: Boolean(delivery.gap), snapshot: Boolean(delivery.snapshot), at: last?.at });
    if (delivery.gap || delivery.snapshot) tell("reset");
  });
  opened.addEventListener("end", (message) => {
    if (source !== opened) return;
    let reason = "";
    try {
      reason = parseExact(message.data).reason ?? "";
    } catch {
      // an end without a reason is an end
    }
    retry(/revoked|expired|signed/.test(reason));
  });
  opened.onerror = () => {
    if (source === opened) retry();
  };
}

// We do the waiting, not the browser: some give up when nobody answers, and none says why.
function retry(atOnce = false) {
  close();
  if (paused || filter === null) return;
  show("reconnecting");
  const wait = atOnce ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures) * (0.5 + Math.random() / 2);
  failures += 1;
  retryTimer = setTimeout(async () => {
    try {
      // Tells a session that has ended (it leads to the sign-in page) from a server that is away.
      await request("GET", "/session");
    } catch (problem) {
      if (problem.status !== 401) retry();
      return;
    }
    if (!paused && filter !== null && source === null) connect();
  }, wait);
}

setInterval(async () => {
  const { state, at } = liveState.get();
  if (state !== "live" || document.hidden || Date.now() - at < QUIET) return;
  const asked = source;
  try {
    await request("GET", "/session");
    heard();
  } catch {
    if (source === asked) retry();
  }
}, 5000);

document.addEventListener("visibilitychange", () => {
  clearTimeout(asleep);
  asleep = null;
  if (document.hidden) {
    asleep = setTimeout(close, SLEEP);
  } else if (!paused && filter !== null && source === null) {
    // After a sleep, or while we wait to try again: somebody looks, so now. What was missed comes first.
    failures = 0;
    if (retryTimer) {
      retry(true);
    } else {
      show("connecting");
      connect();
    }
  }
});

/** Follow what the filter lets through, from now on; null: nothing. The same filter again changes nothing. */
export function follow(wanted) {
  const same = JSON.stringify(wanted) === JSON.stringify(filter);
  if (same) return;
  filter = wanted;
  position = null;
  failures = 0;
  refused = 0;
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  ready = { promise, resolve };
  close();
  if (filter === null) {
    show("idle");
    resolve();
  } else if (paused) {
    show("paused");
    resolve();
  } else {
    show("connecting");
    connect();
  }
}

/** Wait until the stream has said hello, `most` milliseconds at most. */
export function whenReady(most = 700) {
  return Promise.race([ready?.promise, new Promise((done) => setTimeout(done, most))]);
}

/** Hold what is shown as it is, or go on from there. */
export function pause(wanted = !paused) {
  if (wanted === paused) return;
  paused = wanted;
  if (filter === null) return;
  if (paused) {
    close();
    show("paused");
  } else {
    show("connecting");
    const fresh = position === null;
    connect();
    // The missed events come first; counters and whatever no event tells are read anew.
    if (!fresh) tell("reset");
  }
}

/** Tell whether the page is held. */
export function isPaused() {
  return paused;
}
