// Doing something to jobs from the page: asked before, said afterwards, with the command line that does the same.

import { get, part, post, Problem } from "./api.js";
import { control, controlAll } from "./commands.js";
import { counted } from "./format.js";
import { ACTIONS, subject } from "./jobs.js";
import { html } from "./lib.js";
import { exact, plus } from "./numbers.js";
import { visible } from "./plain.js";
import { confirm } from "./ui/dialog.js";
import { Command } from "./ui/panel.js";
import { toast } from "./ui/toast.js";

/** Tell whether this reader may act on jobs. */
export function mayAct(session) {
  return session.role === "webapp" || session.role === "admin";
}

/** Tell whether this reader may operate the service. */
export function mayOperate(session) {
  return session.role === "admin";
}

/**
 * Do something, and say how it went.
 * @param {() => Promise<any>} work
 * @param {(result: any) => string} done the sentence for when it went well
 * @returns {Promise<any>} the result; undefined when it went wrong
 */
export async function act(work, done) {
  try {
    const result = await work();
    toast(done(result));
    return result ?? null;
  } catch (problem) {
    if (!(problem instanceof Problem)) console.error(problem);
    toast(problem.message, "bad");
    return undefined;
  }
}

const affected = (result) => (result?.affected !== undefined ? counted(result.affected, "job") : "");

/** Ask, then cancel, pause, resume or retry one job, or it and all below. Returns whether it was done. */
export async function actOnJob(verb, job, { tree = false } = {}) {
  const { label, tone, says, done } = ACTIONS[verb];
  const answer = await confirm({
    title: tree ? `${label} this job and all below it?` : `${label} this job?`,
    text: html`<bdi class="strong">${visible(subject(job)) || job.job_id}</bdi>: ${says}`,
    verb: label,
    tone,
    checks: [{ name: "tree", label: "Also all jobs below it", on: tree }],
    reason: verb === "cancel" || verb === "pause",
    extra: (given) => html`<${Command} line=${control(verb, job.job_id, given)} />`,
  });
  if (!answer) return false;
  const body = { ...(answer.tree && { tree: true }), ...(answer.reason && { reason: answer.reason }) };
  const result = await act(
    () => post(`/jobs/${part(job.job_id)}/${verb}`, body),
    (given) => [done, affected(given)].filter(Boolean).join(": "),
  );
  return result !== undefined;
}

/** Ask, then do something to each of some jobs; jobs that refuse do not hold up the others. */
export async function actOnMany(verb, jobs) {
  const { label, tone, says, done } = ACTIONS[verb];
  const answer = await confirm({
    title: `${label} ${counted(jobs.length, "job")}?`,
    text: says,
    verb: `${label} ${exact(jobs.length)}`,
    tone,
    reason: verb === "cancel" || verb === "pause",
    extra: (given) => html`<${Command} line=${jobs.map((job) => control(verb, job.job_id, given)).slice(0, 20).join("; ")} />`,
  });
  if (!answer) return false;
  const body = answer.reason ? { reason: answer.reason } : {};
  const refused = [];
  let well = 0;
  const waiting = [...jobs];
  const one = async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      try {
        await post(`/jobs/${part(job.job_id)}/${verb}`, body);
        well += 1;
      } catch (problem) {
        refused.push(problem);
      }
    }
  };
  await Promise.all([one(), one(), one(), one()]);
  if (well) toast(`${done}: ${counted(well, "job")}`);
  if (refused.length) toast(`${counted(refused.length, "job")} refused: ${refused[0].message}`, "bad");
  return well > 0;
}

/**
 * Ask, then do something to all jobs that match a filter, in steps that the server bounds.
 * @param {string} verb
 * @param {object} filter as job_control takes it
 * @param {{count?: any, title?: string}} [options] count: how many there are now, for the question
 */
export async function actOnAll(verb, filter, { count, title } = {}) {
  const { label, tone, says, done } = ACTIONS[verb];
  const answer = await confirm({
    title: title ?? `${label} all jobs that match the filter?`,
    text: html`${count !== undefined && `There are ${exact(count)} now. `}Jobs for which it makes no sense stay as they are. ${says}`,
    verb: `${label} all`,
    tone,
    reason: verb === "cancel" || verb === "pause",
    extra: (given) => html`<${Command} line=${controlAll(verb, filter, given.reason)} />`,
  });
  if (!answer) return false;
  let sum = 0;
  const result = await act(
    async () => {
      let cursor;
      do {
        const step = await post("/jobs/control", { verb, filter, ...(answer.reason && { reason: answer.reason }), ...(cursor && { cursor }) });
        sum = plus(sum, step.affected);
        cursor = step.next_cursor;
      } while (cursor);
      return sum;
    },
    () => `${done}: ${counted(sum, "job")}`,
  );
  if (result === undefined && Number(sum)) toast(`${done} before that: ${counted(sum, "job")}`);
  return result !== undefined;
}

/** Read one job anew, with all about it. */
export function readJob(jobId, signal) {
  return get(`/jobs/${part(jobId)}`, { include: "errors,assignments,milestones,children" }, signal);
}
