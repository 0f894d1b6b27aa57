import { applyToJob, applyToRows, created, log, stateAfter, sums } from "/static/js/reduce.js";
import { equal, ok, random } from "./check.js";

const JOB = { job_id: "a", root_id: "a", state: "running", attempt: 1, type: "crawl_project", account: "acme" };
const report = (seq, processed, more = {}) => ({
  kind: "job_progress",
  job_id: "a",
  attempt: 1,
  seq,
  stage: "fetching",
  entities: { issue: { discovered: 100, processed, failed: 0, total: 100 } },
  percent: processed,
  at: `2026-11-26T12:00:${String(seq % 60).padStart(2, "0")}Z`,
  ...more,
});

export const units = {
  "an event about another job gives back the very same object": () => {
    ok(applyToJob(JOB, { kind: "job_failed", job_id: "b" }) === JOB, "made a new object");
    const rows = [JOB];
    ok(applyToRows(rows, [{ kind: "job_failed", job_id: "b" }]) === rows, "made a new list");
  },
  "each kind of event leads to its state": () => {
    for (const [kind, state] of [
      ["job_assigned", "assigned"],
      ["job_started", "running"],
      ["job_completed", "completed"],
      ["job_failed", "failed"],
      ["job_retried", "queued"],
      ["job_lost", "queued"],
      ["job_cancelled", "cancelled"],
      ["job_waiting_credential", "waiting_credential"],
    ]) {
      equal(stateAfter({ kind }), state, kind);
      equal(applyToJob(JOB, { kind, job_id: "a", at: "2026-11-26T12:00:00Z" }).state, state, kind);
    }
    equal(stateAfter({ kind: "job_failed", state: "queued" }), "queued");
  },
  "progress never goes back, whatever comes late": () => {
    let job = JOB;
    for (const event of [report(1, 10), report(3, 30), report(2, 20), report(3, 5), report(9, 60, { attempt: 0 })]) {
      job = applyToJob(job, event);
    }
    equal(job.progress.processed, 30);
    equal(job.progress.percent, 30);
  },
  "reports in any order end in the state of the last one": () => {
    const next = random(11);
    const events = Array.from({ length: 40 }, (_, i) => report(i + 1, i + 1));
    const wanted = events.reduce(applyToJob, JOB).progress.processed;
    for (let round = 0; round < 200; round++) {
      const shuffled = events.map((event) => [next(), event]).sort((a, b) => a[0] - b[0]);
      equal(shuffled.map((each) => each[1]).reduce(applyToJob, JOB).progress.processed, wanted);
    }
  },
  "events taken twice change nothing more": () => {
    const events = [report(1, 10), report(2, 20), { kind: "milestone", job_id: "a", percent: 25, at: "2026-11-26T12:00:00Z" }];
    const once = events.reduce(applyToJob, { ...JOB, milestones: [] });
    equal(events.reduce(applyToJob, once), once);
  },
  "the total of a job is known only when every type knows its own": () => {
    equal(sums({ a: { processed: 1, total: 2 }, b: { processed: 3 } }), { processed: 4, failed: 0 });
    equal(sums({ a: { processed: 1, total: 2 }, b: { processed: 3, total: 4 } }), { processed: 4, failed: 0, total: 6 });
    equal(sums({ a: { processed: 9007199254740991 }, b: { processed: 2 } }).processed, 9007199254740993n);
  },
  "a job that has ended has no rate and no time left": () => {
    const job = applyToJob(applyToJob(JOB, report(1, 10, { rate: 5, time_left: 18 })), {
      kind: "job_completed",
      job_id: "a",
      at: "2026-11-26T12:00:00Z",
    });
    equal([job.progress.rate, job.progress.time_left, job.progress.percent], [undefined, undefined, 100]);
  },
  "new jobs are counted once": () => {
    const event = { kind: "job_created", job_id: "n" };
    const first = created(new Set(), [event, event]);
    equal(first.size, 1);
    ok(created(first, [event]) === first, "made a new set");
    equal(created(first, [{ kind: "job_created", job_id: "m" }], () => false).size, 1);
  },
  "the list of events is bounded, numbered, and marks its gaps": () => {
    let entries = [];
    for (let i = 0; i < 30; i++) entries = log(entries, { events: [{ kind: "job_created", job_id: String(i) }], gap: i === 20 }, 10);
    equal(entries.length, 10);
    equal(entries.map((each) => each.no), [22, 23, 24, 25, 26, 27, 28, 29, 30, 31]);
    entries = log([], { events: [{ kind: "job_snapshot" }], gap: true, snapshot: true });
    equal(entries, [{ no: 1, gap: true, snapshot: true, at: undefined }]);
  },
};
