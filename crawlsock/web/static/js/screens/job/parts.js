// The panels of a job's page but its tree: progress, why it waits, attempts, events, errors, what it was given.

import { get, part } from "../../api.js";
import { ACTIONS, applies, question, toneOf } from "../../jobs.js";
import { address } from "../../address.js";
import { control, line } from "../../commands.js";
import { bytes, clock, counted, duration, percent, rate, title, words } from "../../format.js";
import { notePace, pastRates, timeline } from "../../history.js";
import { html, useEffect, useState } from "../../lib.js";
import { exact, isNumber, total, writeExact } from "../../numbers.js";
import { log } from "../../reduce.js";
import { useEvents, useResource } from "../../resource.js";
import { Badge } from "../../ui/badge.js";
import { Chart } from "../../ui/chart.js";
import { Command, Pairs, Panel } from "../../ui/panel.js";
import { Bar } from "../../ui/progress.js";
import { Empty, Loaded } from "../../ui/states.js";
import { Table } from "../../ui/table.js";
import { Source, Text } from "../../ui/text.js";
import { Ago, Took } from "../../ui/time.js";

function Far({ label, view, tone, running }) {
  const known = isNumber(view.percent);
  const facts = [
    view.stage && running ? title(view.stage) : null,
    `${exact(view.processed)}${isNumber(view.total) ? ` of ${exact(view.total)}` : ""} items`,
    Number(view.failed) ? html`<span class="bad">${exact(view.failed)} failed</span>` : null,
    running && isNumber(view.rate) ? rate(view.rate) : null,
    running && isNumber(view.time_left) ? `about ${duration(Math.ceil(Number(view.time_left)))} left` : null,
  ].filter(Boolean);
  return html`<div class="far">
    <div class="far-head"><span>${label}</span><b class="figure">${known ? percent(view.percent) : running ? "how far is not known" : ""}</b></div>
    <${Bar} value=${known ? Number(view.percent) / 100 : running ? null : 0} tone=${tone} label=${`${label}: ${known ? percent(view.percent) : "not known"}`} />
    <div class="pace">${facts.map((fact) => html`<span>${fact}</span>`)}</div>
    ${view.message && html`<p class="quiet"><${Text} value=${view.message} /></p>`}
  </div>`;
}

function Entities({ entities }) {
  const all = Object.entries(entities).filter(([, counts]) => ["discovered", "processed", "failed", "total"].some((name) => Number(counts[name] ?? 0)));
  if (!all.length) return null;
  const columns = [
    { key: "kind", label: "Items", head: true, cell: ([kind]) => words(kind) },
    { key: "bar", label: "Progress", class: "grow", cell: ([kind, counts]) => {
      const whole = counts.total;
      const done = total([counts.processed ?? 0, counts.failed ?? 0]);
      return isNumber(whole) && Number(whole) > 0
        ? html`<span class="jobbar"><${Bar} value=${Math.min(1, Number(done) / Number(whole))} label=${`${words(kind)}: ${exact(done)} of ${exact(whole)}`} /><span class="num">${percent(Math.min(100, (Number(done) * 100) / Number(whole)))}</span></span>`
        : html`<span class="quiet">${isNumber(whole) ? "nothing to read here" : "how many there are is not known"}</span>`;
    } },
    { key: "processed", label: "Processed", num: true, cell: ([, counts]) => exact(counts.processed ?? 0) },
    { key: "failed", label: "Failed", num: true, wide: true, cell: ([, counts]) => (Number(counts.failed ?? 0) ? html`<span class="bad">${exact(counts.failed)}</span>` : "0") },
    { key: "discovered", label: "Discovered", num: true, wide: true, cell: ([, counts]) => exact(counts.discovered ?? 0) },
    { key: "total", label: "In all", num: true, cell: ([, counts]) => (isNumber(counts.total) ? exact(counts.total) : "–") },
  ];
  return html`<${Table} caption="Progress by type of item" columns=${columns} rows=${all} id=${([kind]) => kind} />`;
}

function Pace({ job }) {
  const [points, setPoints] = useState(() => pastRates(job));
  useEffect(() => setPoints(pastRates(job)), [job.job_id, job.attempt]);
  useEvents(({ events }) => setPoints((before) => notePace(before, job.job_id, events)));
  if (points.length < 2) {
    return job.state === "running" ? html`<p class="quiet">The chart of the rate begins with the next reports.</p>` : null;
  }
  const last = points[points.length - 1];
  return html`<${Chart} label="Items a second" height=${100} times=${points.map((each) => each.at)} series=${[{ label: "rate", tone: "thread", values: points.map((each) => each.rate) }]} write=${rate}
    summary=${`From ${clock(points[0].at * 1000)} to ${clock(last.at * 1000)}; at the end ${rate(last.rate)}, at most ${rate(Math.max(...points.map((each) => each.rate)))}.`} />`;
}

/** How far the job is, and all that is below it. */
export function Progress({ job }) {
  const progress = job.state === "completed" ? { ...job.progress, processed: job.progress?.processed ?? 0, failed: job.progress?.failed ?? 0, percent: 100 } : job.progress;
  const family = job.children && Object.keys(job.children).length > 0;
  const tree = useResource(family ? "/progress" : null, { scope: "tree", job_id: job.job_id }, { refetch: () => true, least: 2000 });
  const below = family && tree.data?.progress;
  return html`<${Panel} title="Progress" id="progress">
    ${!progress && !below && html`<${Empty} title="Nothing has been reported yet.">A crawler reports as soon as it works on it.<//>`}
    ${below && html`<${Far} label="With all jobs below it" view=${below} tone=${toneOf(below.jobs)} running=${Number(below.jobs?.running ?? 0) > 0} />
      <p class="pace">${Object.entries(below.jobs ?? {}).filter(([, count]) => Number(count)).map(([state, count]) => html`<a key=${state} href=${address("/jobs", { root_id: job.root_id, states: state })}>${exact(count)} ${words(state)}</a>`)}</p>`}
    ${progress && html`<${Far} label=${below ? "This job by itself" : "This job"} view=${progress} tone=${job.state} running=${job.state === "running"} />
      <${Pace} job=${job} />
      <${Entities} entities=${progress.entities ?? {}} />`}
  <//>`;
}

/** Why the job is not running now; nothing for one that is, or that has ended well. */
export function Why({ job }) {
  const path = `/jobs/${part(job.job_id)}/explain`;
  const why = useResource(path, { state: undefined }, { read: () => get(path), refetch: (event) => event.job_id === job.job_id && event.kind !== "job_progress", every: 5000 });
  const state = job.state;
  useEffect(() => why.again(), [state]);
  return html`<${Panel} title=${question(job)} id="why" class="why">
    <${Loaded} of=${why} lines=${2}>
      ${(data) =>
        data.reasons.length
          ? html`<ul class="rows">
              ${data.reasons.map(
                (reason) => html`<li key=${reason.code} class="reason-row">
                  <span class="strong"><${Text} value=${reason.message} /></span>
                  ${reason.remedy && html`<span class="remedy"><${Text} value=${reason.remedy} /></span>`}
                  <span class="quiet">
                    ${reason.actor && html`<span>by <${Text} value=${reason.actor} /> </span>`}${reason.since && html`<span>since <${Ago} at=${reason.since} /> </span>`}${reason.until && html`<span>until <${Ago} at=${reason.until} /></span>`}
                  </span>
                </li>`,
              )}
            </ul>`
          : html`<p class="quiet">Nothing holds it back: a crawler takes it at the next moment.</p>`}
    <//>
  <//>`;
}

/** What happened to the job, attempt by attempt. */
export function Timeline({ job }) {
  const entries = timeline(job);
  return html`<${Panel} title="Attempts" id="timeline"
    note=${`${exact(job.attempt)} made, ${exact(job.failures)} of ${exact(job.max_attempts)} failures, ${exact(job.losses)} lost, ${exact(job.releases)} handed back`}>
    <ol class="thread">
      ${entries.map(
        (entry, i) => html`<li key=${`${entry.at}${entry.label}${i}`} data-tone=${entry.tone}>
          <span class="strong">${entry.label}</span>
          ${entry.attempt !== undefined && html`<span class="quiet"> attempt ${exact(entry.attempt)}</span>`}
          ${entry.crawler && html`<span class="quiet">, <${Text} value=${entry.crawler} /></span>`}
          ${entry.detail && html`<div class="thread-detail"><${Text} value=${entry.detail} /></div>`}
          <div class="quiet"><${Ago} at=${entry.at} /></div>
        </li>`,
      )}
    </ol>
  <//>`;
}

const SHOWN = ["attempt", "state", "reason", "stage", "percent", "message"];

/** What happens to the job while the page is open. */
export function Events({ job }) {
  const [entries, setEntries] = useState([]);
  useEvents((delivery) => {
    const events = delivery.events.filter((event) => event.job_id === job.job_id && event.kind !== "job_snapshot");
    if (events.length || delivery.gap) setEntries((before) => log(before, { ...delivery, events }, 200));
  });
  return html`<${Panel} title="Events" id="events" note="since this page was opened" actions=${html`<a href=${address("/events", { job_id: job.job_id })}>All kinds</a>`}>
    ${
      entries.length
        ? html`<ol class="log" tabindex="0" aria-label="Events of this job, newest first">
            ${[...entries].reverse().map((entry) =>
              entry.gap
                ? html`<li key=${entry.no} class="gap">Some events are missing here; what is shown was read anew.</li>`
                : html`<li key=${entry.no}>
                    <time datetime=${entry.event.at} class="quiet">${clock(entry.event.at)}</time>
                    <span><b>${words(entry.event.kind.replace(/^job_/, ""))}</b> ${SHOWN.filter((name) => entry.event[name] !== undefined).map((name) => html`<span class="quiet"> ${name} <${Text} value=${name === "percent" ? percent(entry.event[name]) : String(entry.event[name])} /></span>`)}</span>
                  </li>`,
            )}
          </ol>`
        : html`<${Empty} title="Nothing has happened since.">What was before stands under Attempts.<//>`
    }
  <//>`;
}

/** What went wrong, what it means, what to do. */
export function Errors({ job }) {
  const errors = [...(job.errors ?? [])].reverse();
  if (!errors.length) return null;
  const tones = { warning: "warn", error: "bad", critical: "bad", info: "info" };
  return html`<${Panel} title="Errors" id="errors" note=${counted(errors.length, "error")}>
    <ul class="rows">
      ${errors.map(
        (error, i) => html`<li key=${`${error.attempt}-${i}`} class="error-row">
          <div>
            <${Badge} tone=${tones[error.severity] ?? "bad"}>${words(error.category ?? "error")}<//> <span class="strong"><${Text} value=${error.error_type} /></span>
            <span class="quiet"> attempt ${exact(error.attempt)}, <${Ago} at=${error.at} />${error.recoverable === false ? ", for good" : ""}</span>
          </div>
          <p><${Text} value=${error.message} lines=${true} /></p>
          ${error.explanation && html`<p class="quiet"><${Text} value=${error.explanation} /></p>`}
          ${error.next_step && html`<p class="remedy"><${Text} value=${error.next_step} /></p>`}
          ${error.fingerprint && html`<p><a href=${address(`/failures/${encodeURIComponent(error.fingerprint)}`, { account: job.account })}>All failures of this kind</a></p>`}
          ${(error.stack || error.request || error.context) &&
          html`<details>
            <summary>Details</summary>
            ${error.stack && html`<${Source} label="Stack" value=${error.stack} />`}
            ${error.request && html`<${Source} label="Request" value=${writeExact(error.request, 2)} />`}
            ${error.context && html`<${Source} label="Context" value=${writeExact(error.context, 2)} />`}
          </details>`}
        </li>`,
      )}
    </ul>
  <//>`;
}

/** What the job is. */
export function Facts({ job }) {
  const waits = ["queued", "waiting_credential", "paused"].includes(job.state);
  return html`<${Panel} title="About it" id="facts">
    <${Pairs} tight=${true}
      items=${[
        ["Id", html`<code class="id">${job.job_id}</code>`, true],
        ["Type", html`<a href=${address("/jobs", { type: job.type })}>${job.type}</a>`],
        ["Account", html`<a href=${address("/jobs", { account: job.account })}><${Text} value=${job.account} /></a>`],
        ["Host", job.host && html`<${Text} value=${job.host} />`],
        ["Path", job.namespace_path && html`<${Text} value=${job.namespace_path} />`, true],
        ["Name", job.name && html`<${Text} value=${job.name} />`, true],
        ["Entity", job.entity_id && html`<${Text} value=${job.entity_id} />`],
        ["Crawler", job.crawler_id && html`<a href=${address("/jobs", { crawler_id: job.crawler_id })}><${Text} value=${job.crawler_id} /></a>`],
        ["Priority", exact(job.priority)],
        ["Labels", job.labels?.length ? html`<${Text} value=${job.labels.join(", ")} />` : null],
        ["Key", job.job_key && html`<${Text} value=${job.job_key} />`, true],
        ["Estimated size", isNumber(job.estimated_size) ? exact(job.estimated_size) : null],
        ["Created", html`<${Ago} at=${job.created_at} />`],
        ["Not before", waits ? html`<${Ago} at=${job.run_at} />` : null],
        ["Started", job.started_at && html`<${Ago} at=${job.started_at} />`],
        ["Ended", job.finished_at && html`<${Ago} at=${job.finished_at} />`],
        ["Took", job.started_at && html`<${Took} from=${job.started_at} until=${job.finished_at} />`],
      ]}
    />
  <//>`;
}

/** What it was given, and what it left behind. */
export function Contents({ job }) {
  const files = job.files ?? [];
  if (!job.payload && !job.summary && !files.length) return null;
  return html`<${Panel} title="Payload and results" id="contents" note="secrets are hidden">
    ${job.payload && html`<h3>Payload</h3><${Source} label="Payload" value=${writeExact(job.payload, 2)} />`}
    ${job.summary && html`<h3>Summary</h3><${Source} label="Summary" value=${writeExact(job.summary, 2)} />`}
    ${files.length > 0 &&
    html`<h3>Files</h3><${Table} caption="Files" rows=${files} id=${(file) => file.path} columns=${[
      { key: "path", label: "Path", head: true, cell: (file) => html`<${Text} value=${file.path} />` },
      { key: "items", label: "Items", num: true, cell: (file) => exact(file.items) },
      { key: "bytes", label: "Size", num: true, cell: (file) => html`<span title=${`${exact(file.bytes)} bytes`}>${bytes(file.bytes)}</span>` },
    ]} />`}
  <//>`;
}

/** For each action the line that does the same. */
export function Commands({ job }) {
  const verbs = Object.keys(ACTIONS);
  const family = Object.keys(job.children ?? {}).length > 0;
  const lines = [
    ["Show it", line("crawlsock", "show", job.job_id)],
    ["Watch it and all below", line("crawlsock", "watch", job.job_id)],
    ...(question(job) ? [["Why it does not run", line("crawlsock", "explain", job.job_id)]] : []),
    ...verbs.filter((verb) => applies(verb, job)).map((verb) => [ACTIONS[verb].label, control(verb, job.job_id)]),
    ...(family ? verbs.map((verb) => [`${ACTIONS[verb].label} it and all below`, control(verb, job.job_id, { tree: true })]) : []),
  ];
  return html`<${Panel} title="On the command line" id="commands">
    <dl class="commands">${lines.map(([label, text]) => html`<div key=${label}><dt>${label}</dt><dd><${Command} line=${text} label=${`${label} on the command line`} /></dd></div>`)}</dl>
  <//>`;
}
