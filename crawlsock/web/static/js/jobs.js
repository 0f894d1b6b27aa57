// What the dashboard knows about jobs: their states, what may be done in which, and the filter of a list.
//
// The law: values in, values out; no DOM, no network. What an action does is decided by the server
// (crawlsock/jobs/); the table here only decides which buttons make sense.

import { list } from "./address.js";

export const STATES = ["running", "assigned", "queued", "waiting_credential", "paused", "completed", "failed", "cancelled"];
export const LIVE = new Set(["running", "assigned", "queued", "waiting_credential", "paused"]);
export const HELD = new Set(["running", "assigned"]);
export const ENDED = new Set(["completed", "failed", "cancelled"]);

/** The tabs of the jobs list: a key, a label, and the states that it shows (none: all). */
export const TABS = [
  { key: "all", label: "All", states: [] },
  { key: "running", label: "Running", states: ["running"] },
  { key: "assigned", label: "Assigned", states: ["assigned"] },
  { key: "queued", label: "Queued", states: ["queued"] },
  { key: "waiting", label: "Waiting for credential", states: ["waiting_credential"] },
  { key: "paused", label: "Paused", states: ["paused"] },
  { key: "failed", label: "Failed", states: ["failed"] },
  { key: "completed", label: "Completed", states: ["completed"] },
  { key: "cancelled", label: "Cancelled", states: ["cancelled"] },
];

export const FILTERS = [
  "states",
  "type",
  "account",
  "host",
  "root_id",
  "parent_id",
  "crawler_id",
  "error",
  "search",
  "created_after",
  "created_before",
];
export const SORTS = { newest: "Newest first", oldest: "Oldest first", queue: "Order of the queue" };

/** Return the tab that shows exactly the states of a query; null when no tab does. */
export function tabOf(query) {
  const wanted = [...list(query.states)].sort().join();
  return TABS.find((tab) => [...tab.states].sort().join() === wanted) ?? null;
}

/** Return the filter of a query as `job_control` takes it: lists as lists, nothing that is empty. */
export function filterOf(query) {
  const filter = {};
  for (const name of FILTERS) {
    if (!query[name]) continue;
    filter[name] = name === "states" ? list(query[name]) : query[name];
  }
  return filter;
}

/** Tell whether a job that an event shows may belong to the list of this filter. What an event cannot tell counts as yes. */
export function mayMatch(filter, event) {
  if (filter.states?.length && event.state && !filter.states.includes(event.state)) return false;
  for (const name of ["type", "account", "root_id"]) {
    if (filter[name] && event[name] !== undefined && event[name] !== filter[name]) return false;
  }
  return true;
}

/** What people can do to jobs. `states`: those in which it makes sense. */
export const ACTIONS = {
  cancel: {
    label: "Cancel",
    states: new Set(["queued", "assigned", "running", "paused", "waiting_credential"]),
    tone: "danger",
    done: "Cancelled",
    says: "A crawler that works on it is told, and stops at its next checkpoint. What it has saved is kept.",
  },
  pause: {
    label: "Pause",
    states: new Set(["queued", "assigned", "running", "waiting_credential"]),
    done: "Paused",
    says: "It holds at its next checkpoint; its crawler keeps it meanwhile. Resume lets it go on.",
  },
  resume: {
    label: "Resume",
    states: new Set(["paused", "assigned", "running"]),
    done: "Resumed",
    says: "It goes on where it was held.",
  },
  retry: {
    label: "Retry",
    states: new Set(["failed", "cancelled"]),
    done: "Queued again",
    says: "It goes back into the queue with fresh attempts, and goes on from what the last one saved.",
  },
};

/** Tell whether an action makes sense for this job by itself. */
export function applies(verb, job) {
  if (!ACTIONS[verb].states.has(job.state)) return false;
  if (verb === "resume") return job.state === "paused" || job.pause_requested === true;
  if (verb === "pause") return !job.pause_requested;
  if (verb === "cancel") return !job.cancel_requested;
  return true;
}

const QUESTIONS = {
  queued: "Why is it not running?",
  assigned: "Why is it not running yet?",
  waiting_credential: "Why does it wait for a credential?",
  paused: "Why is it paused?",
  failed: "Why did it fail?",
  cancelled: "Why was it cancelled?",
};

/** What one asks of a job that does not run; undefined for one that does, or that has ended well. */
export function question(job) {
  return QUESTIONS[job.state];
}

/** The colour of many jobs together: that of the work while something lives, then that of the worst end. */
export function toneOf(jobs = {}) {
  const some = (states) => [...states].some((state) => Number(jobs[state] ?? 0));
  if (some(LIVE)) return "running";
  return some(["failed"]) ? "failed" : some(["completed"]) ? "completed" : "cancelled";
}

/** What a job is about, in a few words: untrusted text. */
export function subject(job) {
  return job.namespace_path || job.name || job.entity_id || job.host || job.job_key || "";
}

/** Say a job's state as a person would, with what has been asked of it. */
export function stateLabel(job) {
  if (job.cancel_requested && LIVE.has(job.state)) return "cancelling";
  if (job.pause_requested && HELD.has(job.state)) return "pausing";
  return job.state;
}
