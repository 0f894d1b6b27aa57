// What events make of what is shown.
//
// The law: (state, event) -> state, nothing else: no DOM, no network, no clock. An object that an event does not concern
// comes back as it is (===), so that nothing is drawn anew for it. Events of one job come in their order; progress of an
// older attempt, or with a lower number within one, changes nothing.

import { ENDED, HELD } from "./jobs.js";
import { total } from "./numbers.js";

const STATE_OF = {
  job_created: "queued",
  job_assigned: "assigned",
  job_started: "running",
  job_completed: "completed",
  job_failed: "failed",
  job_retried: "queued",
  job_released: "queued",
  job_lost: "queued",
  job_cancelled: "cancelled",
  job_paused: "paused",
  job_resumed: "queued",
  job_waiting_credential: "waiting_credential",
};

/** Return the state that an event gives its job; undefined when it gives none. */
export function stateAfter(event) {
  return event.state ?? STATE_OF[event.kind];
}

/** Add up the counts of a report over its entity types. `total` only when every type knows its own. */
export function sums(entities) {
  const counts = Object.values(entities ?? {});
  const known = counts.length > 0 && counts.every((each) => each.total !== undefined);
  return {
    processed: total(counts.map((each) => each.processed ?? 0)),
    failed: total(counts.map((each) => each.failed ?? 0)),
    ...(known && { total: total(counts.map((each) => each.total)) }),
  };
}

// A report says all there is to say: it takes the place of the one before. `last`: the event of an end, whose word on
// progress is the last one, also with a number that was heard already.
function progressed(job, event, last = false) {
  const before = job.progress;
  if (event.attempt !== undefined && event.attempt < job.attempt) return job;
  // Numbers begin anew with each attempt. What was read does not say of which attempt it is; what was heard does.
  const same = before?.attempt !== undefined && before.attempt === event.attempt;
  if (!last && same && before.seq !== undefined && event.seq <= before.seq) return job;
  const entities = event.entities ?? {};
  const progress = { scope: "job", job_id: job.job_id, attempt: event.attempt, ...sums(entities), entities, updated_at: event.at };
  for (const name of ["seq", "stage", "percent", "rate", "time_left", "message"]) {
    if (event[name] !== undefined && event[name] !== null) progress[name] = event[name];
  }
  if (before?.milestones) progress.milestones = before.milestones;
  return { ...job, attempt: event.attempt ?? job.attempt, progress };
}

function milestoned(job, event) {
  const list = job.milestones;
  if (!list || list.some((each) => each.percent === event.percent)) return job;
  return { ...job, milestones: [...list, { percent: event.percent, at: event.at }].sort((a, b) => a.percent - b.percent) };
}

/**
 * Apply one event to one job; the same object when it does not concern it.
 * @param {object} job a job_view
 * @param {object} event as in the stream
 */
export function applyToJob(job, event) {
  if (event.job_id !== job.job_id) return job;
  if (event.kind === "job_snapshot") {
    const { kind, at, ...shown } = event;
    return { ...job, ...shown };
  }
  if (event.kind === "job_progress") return progressed(job, event);
  if (event.kind === "milestone") return milestoned(job, event);
  if (event.kind === "job_cancel_requested") return { ...job, cancel_requested: true };
  const state = stateAfter(event);
  if (state === undefined) return job;
  const after = { ...(event.entities ? progressed(job, event, true) : job), state, attempt: event.attempt ?? job.attempt };
  if (event.reason) after.reason = event.reason;
  // With a crawler, pausing is only asked for: it keeps the job, and its state.
  if (event.kind === "job_paused") after.pause_requested = HELD.has(state);
  if (event.kind === "job_resumed" || !HELD.has(state)) after.pause_requested = false;
  if (event.kind === "job_assigned") after.assigned_at = event.at;
  if (event.kind === "job_started") after.started_at = event.at;
  if (event.kind === "job_retried") delete after.reason;
  if (ENDED.has(state)) {
    after.finished_at = event.at;
    after.cancel_requested = false;
  } else {
    delete after.finished_at;
  }
  if (!HELD.has(state)) {
    delete after.crawler_id;
    if (after.progress) {
      const { rate, time_left, ...kept } = after.progress;
      after.progress = state === "completed" ? { ...kept, percent: 100, stage: "completed" } : kept;
    }
  }
  return after;
}

/** Apply events to a list of jobs; the same list when none of them is in it. */
export function applyToRows(rows, events) {
  const of = new Map();
  for (const event of events) {
    if (!event.job_id) continue;
    if (of.has(event.job_id)) of.get(event.job_id).push(event);
    else of.set(event.job_id, [event]);
  }
  let changed = false;
  const after = rows.map((row) => {
    const job = (of.get(row.job_id) ?? []).reduce(applyToJob, row);
    changed ||= job !== row;
    return job;
  });
  return changed ? after : rows;
}

/** Count the jobs that events created and that are not shown yet, each once. */
export function created(known, events, wanted = () => true) {
  const after = new Set(known);
  for (const event of events) {
    if (event.kind === "job_created" && event.job_id && wanted(event)) after.add(event.job_id);
  }
  return after.size === known.size ? known : after;
}

/**
 * Keep the last events for a list of them: newest last, at most `limit`, each with a number of its own.
 * A gap stands among them as `{gap: true}`.
 */
export function log(entries, delivery, limit = 500) {
  let next = entries.length ? entries[entries.length - 1].no + 1 : 1;
  const fresh = [];
  if (delivery.gap) fresh.push({ no: next++, gap: true, snapshot: Boolean(delivery.snapshot), at: delivery.at });
  if (!delivery.snapshot) for (const event of delivery.events) fresh.push({ no: next++, event });
  return fresh.length ? [...entries, ...fresh].slice(-limit) : entries;
}
