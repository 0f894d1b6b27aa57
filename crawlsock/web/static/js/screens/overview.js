// Overview: what runs, how far it is, what went wrong, what to do about it.
//
// The law: each number leads to the list that it counts. Counters are read anew at most once a second while events come.

import { address, jobPage } from "../address.js";
import { percent, rate, title as capital, words } from "../format.js";
import { STATES } from "../jobs.js";
import { html } from "../lib.js";
import { exact, isNumber, plus, share, short, total } from "../numbers.js";
import { visible } from "../plain.js";
import { useResource } from "../resource.js";
import { Badge } from "../ui/badge.js";
import { Chart } from "../ui/chart.js";
import { Head, Pairs, Panel } from "../ui/panel.js";
import { Bar } from "../ui/progress.js";
import { Empty, Loaded } from "../ui/states.js";
import { Table } from "../ui/table.js";
import { Text } from "../ui/text.js";
import { Age, Ago, useSecond } from "../ui/time.js";

const TONES = { ok: "ok", warn: "warn", bad: "bad", info: "info", warning: "warn", critical: "bad" };

function toState(state, more = {}) {
  return address("/jobs", { states: state, ...more });
}

function Counters({ jobs }) {
  return html`<ul class="counters" aria-label="Jobs by state">
    ${STATES.map(
      (state) => html`<li key=${state}>
        <a class="counter" href=${toState(state)} data-state=${state} data-none=${Number(jobs[state] ?? 0) === 0 ? "" : undefined} title=${`${exact(jobs[state] ?? 0)} ${words(state)}`}>
          <b>${short(jobs[state] ?? 0)}</b><span class="state" data-state=${state}>${capital(state)}</span>
        </a>
      </li>`,
    )}
  </ul>`;
}

function Activity({ activity }) {
  if (!activity.some((each) => Number(each.completed) || Number(each.failed) || Number(each.items))) return html`<${Empty} title="Nothing was done in the last hour.">The charts begin with the first items.<//>`;
  const times = activity.map((each) => Date.parse(each.minute) / 1000);
  const of = (name) => activity.map((each) => each[name]);
  const sum = (name) => exact(total(of(name)));
  return html`<div class="grid-2 charts">
    <${Chart}
      label="Jobs a minute"
      times=${times}
      bars=${true}
      series=${[
        { label: "completed", tone: "ok", values: of("completed") },
        { label: "failed", tone: "bad", values: of("failed") },
      ]}
      summary=${`In the last ${activity.length} minutes ${sum("completed")} jobs were completed and ${sum("failed")} failed.`}
    />
    <${Chart}
      label="Items a minute"
      times=${times}
      series=${[{ label: "items", tone: "thread", values: of("items") }]}
      summary=${`In the last ${activity.length} minutes ${sum("items")} items were processed.`}
    />
  </div>`;
}

function Health({ health }) {
  if (!health) return null;
  const bad = health.filter((check) => check.state === "bad");
  const warn = health.filter((check) => check.state === "warn");
  const well = health.filter((check) => check.state === "ok");
  const said = bad.length ? "needs you" : warn.length ? "needs a look" : "all well";
  return html`<${Panel} title="Health" id="health" note=${said} actions=${html`<a href="/system">System</a>`}>
    <ul class="rows">
      ${[...bad, ...warn].map(
        (check) => html`<li key=${check.check} class="row">
          <span class="row-lead"><${Badge} tone=${check.state}>${check.state === "warn" ? "look" : "bad"}<//> <span class="strong"><${Text} value=${words(check.check)} /></span></span>
          <span class="row-rest"><${Text} value=${check.summary} />${check.remedy && html`<span class="remedy"><${Text} value=${check.remedy} /></span>`}</span>
        </li>`,
      )}
    </ul>
    ${
      well.length > 0 &&
      html`<ul class="badges" aria-label="What is well">
        ${well.map((check) => html`<li key=${check.check} title=${visible(check.summary)}><${Badge} tone="ok"><${Text} value=${words(check.check)} /><//><span class="sr">: <${Text} value=${check.summary} /></span></li>`)}
      </ul>`
    }
  <//>`;
}

function Budget({ hosts }) {
  return html`<${Panel} title="Budget of GitLab hosts" id="hosts" actions=${html`<a href="/accounts">Limits</a>`}>
    ${
      hosts.length
        ? html`<ul class="rows">${hosts.map((host) => html`<${Host} key=${host.host} host=${host} />`)}</ul>`
        : html`<${Empty} title="No host has said what it allows.">Crawlers report it with their heartbeats once they have asked a host.<//>`
    }
  <//>`;
}

function Host({ host }) {
  const now = useSecond();
  const blocked = host.blocked_until && Date.parse(host.blocked_until) > now;
  const left = share(host.remaining, host.limit);
  const tone = blocked || left === 0 ? "bad" : left !== null && left < 0.2 ? "warn" : "ok";
  return html`<li class="row">
    <span class="row-lead"><${Text} value=${host.host} /></span>
    <span class="row-rest">
      ${isNumber(host.limit) && html`<span class="jobbar"><${Bar} value=${left ?? 0} tone=${tone} label=${`${exact(host.remaining)} of ${exact(host.limit)} requests left`} /><span class="num">${exact(host.remaining)} / ${exact(host.limit)}</span></span>`}
      <span class="quiet">
        ${blocked ? html`<span class="bad">blocked, free <${Ago} at=${host.blocked_until} /></span>` : host.resets_at ? html`resets <${Ago} at=${host.resets_at} />` : isNumber(host.limit) ? "" : "no limit known"}
      </span>
    </span>
  </li>`;
}

function Incidents({ incidents }) {
  return html`<${Panel} title="Last incidents" id="incidents" actions=${html`<a href="/failures">Failures</a>`}>
    ${
      incidents.length
        ? html`<ul class="rows">
            ${incidents.map(
              (each) => html`<li key=${each.incident_id} class="row">
                <span class="row-lead"><${Badge} tone=${each.closed_at ? "quiet" : (TONES[each.severity] ?? "quiet")}>${each.closed_at ? "over" : each.severity}<//></span>
                <span class="row-rest">
                  <span>${each.fingerprint ? html`<a href=${address(`/failures/${encodeURIComponent(each.fingerprint)}`, { account: each.account })}><${Text} value=${each.title} /></a>` : html`<${Text} value=${each.title} />`}</span>
                  ${each.next_step && !each.closed_at && html`<span class="remedy"><${Text} value=${each.next_step} /></span>`}
                  <span class="quiet">${Number(each.count) > 1 ? `${exact(each.count)} times, last ` : ""}<${Ago} at=${each.last_at} /></span>
                </span>
              </li>`,
            )}
          </ul>`
        : html`<${Empty} title="No incidents.">What goes wrong more often than it should appears here, with what to do.<//>`
    }
  <//>`;
}

function Types({ types }) {
  const columns = [
    { key: "type", label: "Type", head: true, cell: (row) => html`<a href=${address("/jobs", { type: row.type })}><${Text} value=${row.type} /></a>` },
    ...STATES.map((state) => ({
      key: state,
      label: capital(state),
      num: true,
      wide: !["running", "queued", "failed"].includes(state),
      cell: (row) => (Number(row.jobs[state] ?? 0) ? html`<a href=${toState(state, { type: row.type })} title=${exact(row.jobs[state])}>${short(row.jobs[state])}</a>` : html`<span class="none">0</span>`),
    })),
  ];
  return html`<${Panel} title="Jobs by type" id="types">
    <${Table} caption="Jobs by type and state" columns=${columns} rows=${types} id=${(row) => row.type}
      empty=${html`<${Empty} title="There are no jobs.">Submit one: <code>crawlsock submit discover_namespaces --host gitlab.example.com</code>, or POST /api/v1/jobs.<//>`} />
  <//>`;
}

function Now({ data, readAt }) {
  const { crawlers, oldest_queued: oldest, items, jobs } = data;
  const ended = total(["completed", "failed", "cancelled"].map((state) => jobs[state] ?? 0));
  const all = total(Object.values(jobs));
  const done = share(ended, all);
  return html`<${Panel} title="Now" id="now">
    <${Pairs}
      items=${[
        ["Items a second", html`<span class="figure">${rate(data.rate ?? 0)}</span>`],
        ["Items processed", html`<span class="figure" title=${exact(items.processed)}>${exact(items.processed)}</span>${Number(items.failed) ? html` <span class="bad">${exact(items.failed)} failed</span>` : ""}`],
        ["Jobs ended", html`<span class="figure">${exact(ended)}</span> <span class="quiet">of ${exact(all)}${done !== null && all ? `, ${percent(done * 100)}` : ""}</span>`],
        [
          "Crawlers",
          html`<a class="figure" href="/crawlers">${exact(plus(crawlers.connected, crawlers.away))}</a>
            <span class="quiet"> ${exact(crawlers.jobs)} of ${exact(crawlers.slots)} slots busy${["away", "paused", "draining"].filter((state) => Number(crawlers[state])).map((state) => `, ${exact(crawlers[state])} ${state}`).join("")}</span>`,
        ],
        [
          "Oldest queued job",
          oldest
            ? html`<a href=${jobPage(oldest.job_id)}><${Text} value=${oldest.name || oldest.type} /></a> <span class="quiet">waits <${Age} seconds=${oldest.waited} readAt=${readAt} /></span>`
            : html`<span class="quiet">none waits</span>`,
        ],
      ]}
    />
  <//>`;
}

export const title = () => "Overview";
export const stream = () => ({});

/** The screen. */
export function View() {
  const overview = useResource("/overview", {}, { refetch: () => true, every: 15000 });
  return html`<${Head} title="Overview" />
    <${Loaded} of=${overview} lines=${8}>
      ${(data) => html`<div class="stack">
        <${Counters} jobs=${data.jobs} />
        <${Panel} title="The last hour" id="activity"><${Activity} activity=${data.activity} /><//>
        <div class="grid-2">
          <${Now} data=${data} readAt=${overview.at} />
          <${Health} health=${data.health} />
          <${Budget} hosts=${data.hosts ?? []} />
          <${Incidents} incidents=${data.incidents ?? []} />
        </div>
        <${Types} types=${data.types} />
      </div>`}
    <//>`;
}
