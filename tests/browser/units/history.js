import { notePace, pastRates, timeline } from "/static/js/history.js";
import { applies, filterOf, mayMatch, question, subject, tabOf, TABS, toneOf } from "/static/js/jobs.js";
import { equal, ok } from "./check.js";

const at = (second) => new Date(Date.parse("2026-11-26T12:00:00Z") + second * 1000).toISOString();
const labels = (job) => timeline(job).map((entry) => entry.label);

export const units = {
  "a job that was lost, failed, and done tells each step in its order": () => {
    const job = {
      state: "completed",
      created_at: at(0),
      finished_at: at(90),
      assignments: [
        { attempt: 1, crawler_id: "one", assigned_at: at(1), started_at: at(2), ended_at: at(10), outcome: "lost" },
        { attempt: 2, crawler_id: "two", assigned_at: at(11), started_at: at(12), ended_at: at(40), outcome: "failed" },
        { attempt: 3, crawler_id: "one", assigned_at: at(60), started_at: at(61), ended_at: at(90), outcome: "completed" },
      ],
      errors: [{ attempt: 2, error_type: "HostError", message: "502" }],
      milestones: [{ percent: 25, at: at(70) }, { percent: 50, at: at(70) }, { percent: 100, at: at(90) }],
    };
    equal(labels(job), [
      "Submitted", "Assigned", "Started", "Lost: its crawler went away", "Queued again", "Assigned", "Started", "Failed", "Queued again",
      "Assigned", "Started", "50 % done", "100 % done", "Completed",
    ]);
    equal(timeline(job)[7].detail, "HostError: 502");
  },
  "a job that waits, and one that was ended by hand, say so": () => {
    const tried = { attempt: 1, assigned_at: at(1), ended_at: at(3), outcome: "credential" };
    equal(labels({ state: "waiting_credential", created_at: at(0), assignments: [tried] }).at(-1), "Waits for a credential");
    equal(labels({ state: "cancelled", created_at: at(0), finished_at: at(5), reason: "enough", parent_id: "x" }), ["Discovered", "Cancelled"]);
    equal(labels({ state: "queued", created_at: at(0) }), ["Submitted"]);
  },
  "the past rate comes from milestones, and from nothing where the whole is not known": () => {
    const job = { started_at: at(0), progress: { total: 1000 }, milestones: [{ percent: 25, at: at(10) }, { percent: 50, at: at(20) }] };
    equal(pastRates(job).map((point) => point.rate), [25, 25, 25]);
    equal(pastRates({ ...job, progress: {} }), []);
    equal(pastRates({ ...job, progress: { total: 0 } }), []);
    ok(pastRates({ ...job, milestones: [{ percent: 50, at: at(-5) }] }).length === 0, "time went back");
  },
  "reports go on from there, in order, and not for ever": () => {
    let points = [];
    const report = (second, rate = 1) => ({ kind: "job_progress", job_id: "a", rate, at: at(second) });
    points = notePace(points, "a", [report(1), report(2), report(2), report(1)]);
    equal(points.length, 2);
    ok(notePace(points, "b", [report(9)]) === points, "a new list");
    for (let i = 3; i < 900; i++) points = notePace(points, "a", [report(i)]);
    equal(points.length, 600);
  },
  "each state has a tab, and a filter goes into the address and comes back": () => {
    for (const tab of TABS) equal(tabOf({ states: tab.states.join(",") }), tab, tab.key);
    equal(tabOf({ states: "failed,queued" }), null);
    equal(filterOf({ states: "failed,queued", search: "x", cursor: "c", sort: "oldest", other: "y" }), { states: ["failed", "queued"], search: "x" });
  },
  "a new job is announced only where it may belong": () => {
    const event = { kind: "job_created", state: "queued", type: "crawl_user", account: "a", root_id: "r" };
    ok(mayMatch({}, event), "no filter");
    ok(mayMatch({ states: ["queued"], search: "?" }, event), "what an event cannot tell");
    ok(!mayMatch({ states: ["failed"] }, event), "state");
    ok(!mayMatch({ type: "crawl_group" }, event), "type");
    ok(!mayMatch({ root_id: "s" }, event), "tree");
  },
  "only what makes sense can be done": () => {
    const can = (job) => ["cancel", "pause", "resume", "retry"].filter((verb) => applies(verb, job));
    equal(can({ state: "running" }), ["cancel", "pause"]);
    equal(can({ state: "running", pause_requested: true }), ["cancel", "resume"]);
    equal(can({ state: "running", cancel_requested: true }), ["pause"]);
    equal(can({ state: "paused" }), ["cancel", "resume"]);
    equal(can({ state: "failed" }), ["retry"]);
    equal(can({ state: "completed" }), []);
    equal(question({ state: "running" }), undefined);
    equal(question({ state: "failed" }), "Why did it fail?");
  },
  "many jobs together look like work while one lives, then like the worst end": () => {
    equal(toneOf({ failed: 3, running: 1 }), "running");
    equal(toneOf({ failed: 1, completed: 99 }), "failed");
    equal(toneOf({ completed: 2, cancelled: 1 }), "completed");
    equal(subject({ job_id: "x", name: "n", namespace_path: "p" }), "p");
  },
};
