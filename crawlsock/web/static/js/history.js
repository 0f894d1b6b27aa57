// What has happened to a job, from what the server keeps of it.
//
// The law: values in, values out; no DOM, no clock. Only what the rows say: nothing is guessed but the order.

import { millis } from "./format.js";
import { isNumber } from "./numbers.js";

const ENDS = {
  completed: { label: "Completed", tone: "ok" },
  failed: { label: "Failed", tone: "bad" },
  cancelled: { label: "Cancelled", tone: "quiet" },
  released: { label: "Handed back", tone: "quiet" },
  lost: { label: "Lost: its crawler went away", tone: "warn" },
  stuck: { label: "Taken back: it made no progress", tone: "warn" },
  credential: { label: "Put aside: the credential was refused", tone: "warn" },
};

/**
 * Return what happened, oldest first: `{at, label, tone, attempt?, crawler?, detail?}`.
 * @param {object} job a job_view with assignments, errors and milestones
 */
export function timeline(job) {
  const entries = [];
  const add = (at, entry) => at && entries.push({ at, ...entry });
  add(job.created_at, { label: job.parent_id ? "Discovered" : "Submitted", tone: "quiet", order: 0 });
  const attempts = job.assignments ?? [];
  attempts.forEach((each, i) => {
    const about = { attempt: each.attempt, crawler: each.crawler_id };
    add(each.assigned_at, { ...about, label: "Assigned", tone: "info", order: 2 });
    add(each.started_at, { ...about, label: "Started", tone: "run", order: 3 });
    if (!each.ended_at) return;
    const error = each.outcome === "failed" ? (job.errors ?? []).find((one) => one.attempt === each.attempt) : null;
    const last = i === attempts.length - 1;
    const again = !last || ["queued", "paused", "waiting_credential"].includes(job.state);
    const end = ENDS[each.outcome] ?? { label: each.outcome, tone: "quiet" };
    add(each.ended_at, { ...about, ...end, detail: error ? `${error.error_type}: ${error.message ?? ""}` : typeof each.detail === "string" ? each.detail : undefined, order: 5 });
    if (again && each.outcome !== "completed") {
      const label = { waiting_credential: "Waits for a credential", paused: "Paused" }[last ? job.state : ""] ?? "Queued again";
      add(each.ended_at, { label, tone: "quiet", order: 6 });
    }
  });
  const marks = job.milestones ?? [];
  marks.forEach((mark, i) => {
    // Of milestones that came in one moment the last says all.
    const next = marks[i + 1];
    if (!next || millis(next.at) - millis(mark.at) >= 1000) add(mark.at, { label: `${mark.percent} % done`, tone: "run", order: 4 });
  });
  const closed = attempts.some((each) => each.ended_at && each.outcome === job.state);
  if (job.finished_at && !closed) add(job.finished_at, { ...(ENDS[job.state] ?? { label: job.state, tone: "quiet" }), detail: job.reason, order: 7 });
  return entries.sort((a, b) => millis(a.at) - millis(b.at) || a.order - b.order);
}

/**
 * Return how fast a job was, from its milestones: points `{at: seconds, rate}`, oldest first. Nothing where the total is
 * not known: a share of an unknown whole is no speed.
 */
export function pastRates(job) {
  const whole = job.progress?.total;
  const marks = job.milestones ?? [];
  const attempts = job.assignments ?? [];
  const start = attempts[attempts.length - 1]?.started_at ?? job.started_at;
  if (!isNumber(whole) || Number(whole) <= 0 || !start) return [];
  let [at, share] = [millis(start) / 1000, 0];
  const points = [];
  for (const mark of marks) {
    const until = millis(mark.at) / 1000;
    if (until <= at || mark.percent <= share) continue;
    const rate = (Number(whole) * (mark.percent - share)) / 100 / (until - at);
    if (!points.length) points.push({ at, rate });
    points.push({ at: until, rate });
    [at, share] = [until, mark.percent];
  }
  return points;
}

/** Add what an event says to the points of a rate; the same list when it says nothing about this job. */
export function notePace(points, jobId, events, limit = 600) {
  let after = points;
  for (const event of events) {
    if (event.job_id !== jobId || event.kind !== "job_progress" || !isNumber(event.rate) || !event.at) continue;
    const at = millis(event.at) / 1000;
    if (after.length && at <= after[after.length - 1].at) continue;
    after = [...after, { at, rate: Number(event.rate) }];
  }
  return after.length > limit ? after.slice(-limit) : after;
}
