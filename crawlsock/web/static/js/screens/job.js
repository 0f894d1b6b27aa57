// Job: one job from all sides. Its panels are in job/.

import { actOnJob, mayAct, readJob } from "../actions.js";
import { address, jobPage } from "../address.js";
import { ACTIONS, applies, ENDED, question, subject } from "../jobs.js";
import { useKeys } from "../keys.js";
import { html, useEffect } from "../lib.js";
import { follow } from "../live.js";
import { applyToJob } from "../reduce.js";
import { useResource } from "../resource.js";
import { StateBadge } from "../ui/badge.js";
import { Head } from "../ui/panel.js";
import { Loaded } from "../ui/states.js";
import { Text } from "../ui/text.js";
import { Commands, Contents, Errors, Events, Facts, Progress, Timeline, Why } from "./job/parts.js";
import { Tree } from "./job/tree.js";

export const title = ({ job_id: jobId }) => `Job ${jobId.slice(0, 8)}`;
// The stream is that of the whole tree; which one it is stands in the job, so the View opens it.

// Events say what the job is; who has it, and what went wrong, has to be read.
const stale = (jobId) => (event) => event.kind !== "job_progress" && event.kind !== "milestone" && (event.job_id === jobId || event.kind === "job_created");

function Trail({ job }) {
  if (!job.parent_id) return null;
  return html`<nav class="trail" aria-label="Where it belongs">
    <a href=${jobPage(job.root_id)}>Top of the tree</a>
    ${job.parent_id !== job.root_id && html`<a href=${jobPage(job.parent_id)}>Found by</a>`}
    <a href=${address("/jobs", { root_id: job.root_id })}>All jobs of the tree</a>
  </nav>`;
}

function Actions({ job, again }) {
  const run = async (verb, tree = false) => (await actOnJob(verb, job, { tree })) && again();
  const verbs = Object.keys(ACTIONS).filter((verb) => applies(verb, job));
  const family = Object.keys(job.children ?? {}).length > 0;
  return html`${verbs.map((verb) => html`<button key=${verb} type="button" class="button" data-tone=${ACTIONS[verb].tone} onClick=${() => run(verb)}>${ACTIONS[verb].label}</button>`)}
    ${family &&
    html`<details class="menu">
      <summary class="button">Whole tree</summary>
      <div class="menu-list">
        ${Object.keys(ACTIONS).map(
          (verb) => html`<button key=${verb} type="button" class="button small" data-tone=${ACTIONS[verb].tone} onClick=${(event) => {
            event.currentTarget.closest("details").open = false;
            run(verb, true);
          }}>${ACTIONS[verb].label}</button>`,
        )}
      </div>
    </details>`}`;
}

function Page({ job, again, session }) {
  const known = Object.fromEntries(
    Object.entries({ c: "cancel", u: "resume", h: "pause", y: "retry" }).map(([key, verb]) => [
      key,
      { label: ACTIONS[verb].label, run: () => (mayAct(session) && applies(verb, job) ? actOnJob(verb, job).then((done) => done && again()) : false) },
    ]),
  );
  useKeys("Job", known);
  useEffect(() => {
    document.title = document.title.replace(/^[^·]*/, `${subject(job).slice(0, 80) || "Job"} `);
  }, [subject(job)]);
  return html`<${Trail} job=${job} />
    <${Head} title=${html`<${Text} value=${subject(job) || job.job_id} />`} lead=${html`<span class="row-sub"><${StateBadge} job=${job} /><span>${job.type}</span><${Text} value=${job.account} />${job.host && html`<${Text} value=${job.host} />`}</span>`}>
      ${mayAct(session) && html`<${Actions} job=${job} again=${again} />`}
    <//>
    ${ENDED.has(job.state) && job.reason && html`<p class="notice" data-tone=${job.state === "failed" ? "bad" : "warn"}><${Text} value=${job.reason} /></p>`}
    <div class="job">
      <div class="stack">
        ${question(job) && html`<${Why} job=${job} />`}
        <${Progress} job=${job} />
        <${Tree} key=${job.job_id} job=${job} />
        <${Errors} job=${job} />
        <${Contents} job=${job} />
      </div>
      <div class="stack">
        <${Facts} job=${job} />
        <${Timeline} job=${job} />
        <${Events} key=${job.job_id} job=${job} />
        <${Commands} job=${job} />
      </div>
    </div>`;
}

/** The screen. */
export function View({ params, session }) {
  const jobId = params.job_id;
  const job = useResource(`/jobs/${jobId}`, {}, {
    read: async (path, query, signal) => (await readJob(jobId, signal)).job,
    reduce: (data, events) => events.reduce(applyToJob, data),
    refetch: stale(jobId),
  });
  const root = job.data?.job_id === jobId ? job.data.root_id : null;
  useEffect(() => {
    if (root) follow({ root_id: root });
  }, [root]);
  return html`<${Loaded} of=${job} lines=${10}>${(data) => html`<${Page} key=${data.job_id} job=${data} again=${job.again} session=${session} />`}<//>`;
}
