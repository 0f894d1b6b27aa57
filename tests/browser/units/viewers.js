// What viewers of the feed were shown, and what they know in the end: the page's rules must say the same as docs/events.md.

import { applyToJob } from "/static/js/reduce.js";
import { HELD } from "/static/js/jobs.js";
import { equal, ok } from "./check.js";

const FACTS = ["type", "account", "root_id", "state", "attempt"];
const PROGRESS = ["seq", "stage", "entities", "percent", "rate", "time_left", "message"];
const NONE = { discovered: 0, processed: 0, failed: 0 };

const part = (object, names) =>
  Object.fromEntries(names.filter((name) => object?.[name] !== undefined).map((name) => [name, object[name]]));

const sorted = (value) =>
  value && typeof value === "object" && !Array.isArray(value)
    ? Object.fromEntries(
        Object.keys(value)
          .sort()
          .map((key) => [key, sorted(value[key])]),
      )
    : value;

/** What a person is shown of a job. */
function shown(job) {
  const progress = part(job.progress, PROGRESS);
  if (!HELD.has(job.state)) {
    delete progress.rate;
    delete progress.time_left;
  }
  for (const kind of Object.keys(progress.entities ?? {})) progress.entities[kind] = { ...NONE, ...progress.entities[kind] };
  return sorted({ ...part(job, FACTS), progress });
}

/** Apply everything, as the page does: a snapshot takes the place of what was known. */
function endOf(vector) {
  let jobs = new Map(Object.entries(vector.begin));
  for (const delivery of vector.deliveries) {
    if (delivery.snapshot) jobs = new Map(delivery.events.map((event) => [event.job_id, { job_id: event.job_id }]));
    for (const event of delivery.events) {
      if (!event.job_id) continue;
      const job = jobs.get(event.job_id) ?? { job_id: event.job_id, ...part(event, FACTS) };
      jobs.set(event.job_id, applyToJob(job, event));
    }
  }
  return jobs;
}

export const units = {
  "a page that came late, missed something, or was always there knows what the store knows": async () => {
    const vectors = await (await fetch("/viewers.json")).json();
    ok(vectors.length > 5, "there are no vectors");
    for (const vector of vectors) {
      const jobs = endOf(vector);
      equal([...jobs.keys()].sort(), Object.keys(vector.end).sort(), vector.name);
      for (const [job_id, job] of jobs) equal(shown(job), sorted(vector.end[job_id]), `${vector.name}, ${job_id}:`);
    }
  },
};
