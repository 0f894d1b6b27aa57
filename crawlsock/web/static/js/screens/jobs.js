// Jobs: find them, see how they do, act on some or on all that match.
//
// The law: the page does not move under the reader. Rows change in place; new ones are announced and come when they are
// asked for; a row that no longer belongs to the list stays, marked, until the list is read again.

import { actOnAll, actOnMany, mayAct } from "../actions.js";
import { address, jobPage, list } from "../address.js";
import { jobs as jobsLine } from "../commands.js";
import { counted, words } from "../format.js";
import { ACTIONS, applies, filterOf, mayMatch, SORTS, STATES, subject, TABS, tabOf } from "../jobs.js";
import { useKeys } from "../keys.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { exact, total } from "../numbers.js";
import { visible } from "../plain.js";
import { applyToRows, created } from "../reduce.js";
import { useEvents, useResource } from "../resource.js";
import { canGoBack, go } from "../router.js";
import { StateBadge } from "../ui/badge.js";
import { Command, Head } from "../ui/panel.js";
import { JobBar, JobPace } from "../ui/progress.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Tabs } from "../ui/tabs.js";
import { Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";
import { announce } from "../ui/toast.js";

const PATH = "/jobs";
const FIELDS = ["search", "type", "account", "host", "created_after", "created_before", "sort"];
const CHIPS = { root_id: "in the tree of", parent_id: "found by", crawler_id: "with crawler", error: "failed with" };
const KNOWN_TYPES = ["discover_namespaces", "crawl_group", "crawl_project", "crawl_user"];
const TYPING = 350;
export const KINDS = [
  "job_created",
  "job_assigned",
  "job_started",
  "job_progress",
  "job_completed",
  "job_failed",
  "job_retried",
  "job_released",
  "job_lost",
  "job_cancel_requested",
  "job_cancelled",
  "job_paused",
  "job_resumed",
  "job_waiting_credential",
];

export const title = () => "Jobs";

/** Events of jobs, of this account or tree when the list shows only that. */
export function stream(params, query) {
  return { kinds: KINDS, ...(query.account && { account: query.account }), ...(query.root_id && { root_id: query.root_id }) };
}

function countOf(tab, jobs) {
  return jobs && total((tab.states.length ? tab.states : STATES).map((state) => jobs[state] ?? 0));
}

// A filter changes the list: a cursor into the old one means nothing.
function change(query, part, options) {
  const { cursor, ...kept } = query;
  go(address(PATH, { ...kept, ...part }), { keep: true, ...options });
}

function Filters({ query }) {
  const form = useRef(null);
  const timer = useRef(null);
  useEffect(() => () => clearTimeout(timer.current), []);
  const send = (replace) => {
    clearTimeout(timer.current);
    const data = new FormData(form.current);
    const part = Object.fromEntries(FIELDS.map((name) => [name, String(data.get(name) ?? "").trim()]));
    if (part.sort === "newest") part.sort = "";
    for (const name of ["created_after", "created_before"]) if (part[name]) part[name] = new Date(part[name]).toISOString();
    if (FIELDS.some((name) => (query[name] ?? "") !== part[name])) change(query, part, { replace });
  };
  const typed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => send(true), TYPING);
  };
  const field = (name, label, more) => html`<label class="field">${label}<input name=${name} type="text" value=${query[name] ?? ""} onInput=${typed} maxlength="128" ...${more} /></label>`;
  const more = ["account", "host", "created_after", "created_before"].some((name) => query[name]);
  return html`<form class="filters" role="search" aria-label="Jobs" ref=${form} onSubmit=${(event) => {
    event.preventDefault();
    send(false);
  }}>
    <label class="field grow">Search<input name="search" type="search" value=${query.search ?? ""} placeholder="part of a path or a name" onInput=${typed} maxlength="256" autocomplete="off" spellcheck=${false} /></label>
    ${field("type", "Type", { list: "job-types" })}
    <datalist id="job-types">${KNOWN_TYPES.map((type) => html`<option key=${type} value=${type} />`)}</datalist>
    <label class="field">Sort<select name="sort" onChange=${() => send(false)}>
      ${Object.entries(SORTS).map(([key, label]) => html`<option key=${key} value=${key} selected=${(query.sort ?? "newest") === key}>${label}</option>`)}
    </select></label>
    <details class="more" open=${more}>
      <summary class="button">More</summary>
      <div class="filters">
        ${field("account", "Account")}
        ${field("host", "GitLab host")}
        ${field("created_after", "Created after", { type: "datetime-local", value: localInput(query.created_after), onInput: undefined, onChange: () => send(false) })}
        ${field("created_before", "Created before", { type: "datetime-local", value: localInput(query.created_before), onInput: undefined, onChange: () => send(false) })}
      </div>
    </details>
  </form>`;
}

// What <input type=datetime-local> shows of a moment: minutes, in the reader's zone.
function localInput(moment) {
  const at = Date.parse(moment ?? "");
  if (Number.isNaN(at)) return "";
  return new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function Chips({ query }) {
  const { cursor, ...kept } = query;
  const shown = Object.entries(CHIPS).filter(([name]) => query[name]);
  // States that no tab stands for: several at once, from a link.
  const states = tabOf(query) ? [] : list(query.states);
  const any = [...FIELDS, ...Object.keys(CHIPS), "states"].some((name) => query[name] && name !== "sort");
  if (!any) return null;
  const without = (...names) => address(PATH, Object.fromEntries(Object.entries(kept).filter(([name]) => !names.includes(name))));
  return html`<div class="chips">
    ${states.length > 0 && html`<span class="chip">${states.map(words).join(", ")} <a href=${without("states")} aria-label="Remove this filter">×</a></span>`}
    ${shown.map(
      ([name, label]) => html`<span key=${name} class="chip"
        ><span>${label} ${name.endsWith("_id") && name !== "crawler_id" ? html`<a href=${jobPage(query[name])}><code>${visible(query[name]).slice(0, 8)}</code></a>` : html`<${Text} value=${query[name]} />`}</span>
        <a href=${without(name)} aria-label=${`Remove the filter “${label}”`}>×</a></span
      >`,
    )}
    <a class="quiet" href=${PATH}>Clear all filters</a>
  </div>`;
}

function columns(at) {
  const cursorAt = (job) => (at === job.job_id ? { "aria-current": "true" } : {});
  return [
    {
      key: "job",
      label: "Job",
      head: true,
      class: "grow",
      cell: (job) => html`<div class="row-main">
        <a href=${jobPage(job.job_id)} ...${cursorAt(job)}><${Text} value=${subject(job) || job.job_id} cut=${true} /></a>
        <span class="row-sub"><span>${job.type}</span><${Text} value=${job.account} />${job.host && html`<${Text} value=${job.host} />`}</span>
        <span class="narrow"><${JobBar} job=${job} /></span>
      </div>`,
    },
    { key: "state", label: "State", class: "fixed", cell: (job) => html`<${StateBadge} job=${job} />${job.state === "failed" && job.reason && html`<div class="row-sub reason"><${Text} value=${job.reason} cut=${true} /></div>`}` },
    { key: "progress", label: "Progress", wide: true, cell: (job) => html`<${JobBar} job=${job} />` },
    { key: "pace", label: "Stage, items, rate, left", wider: true, cell: (job) => html`<${JobPace} job=${job} />` },
    { key: "attempt", label: "Attempt", num: true, wider: true, cell: (job) => (Number(job.attempt) ? `${exact(job.attempt)}` : html`<span class="none">–</span>`) },
    { key: "created", label: "Created", class: "fixed", wide: true, cell: (job) => html`<${Ago} at=${job.created_at} />` },
  ];
}

function verbsFor(filter) {
  const states = filter.states ?? STATES;
  return Object.keys(ACTIONS).filter((verb) => states.some((state) => ACTIONS[verb].states.has(state)));
}

function Ribbon({ selected, clear, fresh, show, filter, count, session, left }) {
  if (selected.length) {
    const verbs = Object.keys(ACTIONS).filter((verb) => selected.some((job) => applies(verb, job)));
    const run = async (verb) => (await actOnMany(verb, selected.filter((job) => applies(verb, job)))) && clear();
    return html`<div class="ribbon" role="region" aria-label="Selection">
      <span class="strong">${counted(selected.length, "job")} selected</span>
      ${verbs.map((verb) => html`<button key=${verb} type="button" class="button small" data-tone=${ACTIONS[verb].tone} onClick=${() => run(verb)}>${ACTIONS[verb].label}</button>`)}
      <button type="button" class="link" onClick=${clear}>Select none</button>
    </div>`;
  }
  return html`<div class="ribbon">
    ${mayAct(session) &&
    html`<details class="menu">
      <summary class="button small">All that match${count === undefined ? "" : ` (${exact(count)})`}</summary>
      <div class="menu-list">
        ${verbsFor(filter).map(
          (verb) => html`<button key=${verb} type="button" class="button small" data-tone=${ACTIONS[verb].tone} onClick=${(event) => {
            event.currentTarget.closest("details").open = false;
            actOnAll(verb, filter, { count });
          }}>${ACTIONS[verb].label} all</button>`,
        )}
      </div>
    </details>`}
    ${fresh > 0 && html`<button type="button" class="button small" data-tone="main" onClick=${show}>${counted(fresh, "new job")}: show</button>`}
    ${left > 0 && html`<span class="quiet">${counted(left, "row")} no longer in this list. <button type="button" class="link" onClick=${show}>Read the list again</button></span>`}
  </div>`;
}

function nothing(query) {
  const filtered = Object.keys(query).some((name) => !["sort", "cursor"].includes(name));
  if (query.cursor) return html`<${Empty} title="There are no more jobs here."><a href=${address(PATH, { ...query, cursor: "" })}>First page</a><//>`;
  if (filtered) return html`<${Empty} title="No job matches."><a href=${PATH}>Clear all filters</a>, or wait: what comes to match is shown at once.<//>`;
  return html`<${Empty} title="There are no jobs yet.">
    Submit one: <code>crawlsock submit discover_namespaces --host gitlab.example.com</code>, or POST /api/v1/jobs. It appears here by itself.
  <//>`;
}

/** The screen. */
export function View({ query, session }) {
  const filter = useMemo(() => filterOf(query), [query]);
  const asked = useMemo(() => ({ ...Object.fromEntries(Object.entries(query).filter(([name]) => name in filter || name === "sort" || name === "cursor")), limit: 50 }), [query]);
  const jobs = useResource(PATH, asked, { reduce: (data, events) => {
    const rows = applyToRows(data.jobs, events);
    return rows === data.jobs ? data : { ...data, jobs: rows };
  } });
  const counts = useResource("/jobs/counts", { account: query.account, type: query.type }, { refetch: (event) => event.kind !== "job_progress", every: 30000 });
  const [fresh, setFresh] = useState(new Set());
  const [chosen, setChosen] = useState(new Set());
  const [at, setAt] = useState(null);

  const rows = jobs.data?.jobs ?? [];
  const shownKey = jobs.at;
  useEffect(() => setFresh(new Set()), [shownKey]);
  useEffect(() => {
    setChosen(new Set());
    setAt(null);
  }, [query]);
  useEvents(({ events }) => {
    const here = new Set(rows.map((job) => job.job_id));
    const after = created(fresh, events, (event) => !here.has(event.job_id) && mayMatch(filter, event));
    if (after === fresh) return;
    if (!rows.length && !query.cursor) jobs.again();
    else setFresh(after);
  });
  // One announcement for a burst, not one for each.
  const heard = useRef(0);
  useEffect(() => {
    if (fresh.size <= heard.current) {
      heard.current = fresh.size;
      return undefined;
    }
    const timer = setTimeout(() => {
      heard.current = fresh.size;
      announce(`${counted(fresh.size, "new job")}`);
    }, 1500);
    return () => clearTimeout(timer);
  }, [fresh]);

  const first = address(PATH, { ...query, cursor: "" });
  const show = () => (query.cursor ? go(first) : jobs.again());
  const next = jobs.data?.next_cursor && address(PATH, { ...query, cursor: jobs.data.next_cursor });
  const selected = rows.filter((job) => chosen.has(job.job_id));
  const leftList = (job) => Boolean(filter.states?.length) && !filter.states.includes(job.state);
  const move = (step) => {
    if (!rows.length) return;
    const index = rows.findIndex((job) => job.job_id === at);
    const job = rows[Math.min(rows.length - 1, Math.max(0, index < 0 ? (step > 0 ? 0 : rows.length - 1) : index + step))];
    setAt(job.job_id);
    const row = document.querySelector(`tr[data-row="${CSS.escape(job.job_id)}"]`);
    row?.querySelector("th a")?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  };
  const toggle = (id, on) => setChosen((before) => {
    const after = new Set(before);
    if (on) after.add(id);
    else after.delete(id);
    return after;
  });
  useKeys("Jobs", {
    j: { label: "Next job", run: () => move(1) },
    k: { label: "Job before", run: () => move(-1) },
    Enter: { label: "Open the job", run: () => (at ? go(jobPage(at)) : false) },
    x: { label: "Select the job", run: () => (at && mayAct(session) ? toggle(at, !chosen.has(at)) : false) },
    n: { label: "Next page", run: () => (next ? go(next) : false) },
    b: { label: "Page before", run: () => (query.cursor && canGoBack() ? history.back() : false) },
    r: { label: "Read the list again", run: () => jobs.again() },
  });

  const tab = tabOf(query);
  const simple = Object.keys(filter).every((name) => ["states", "type", "account"].includes(name));
  const count = simple && counts.data ? countOf({ states: filter.states ?? [] }, counts.data.jobs) : undefined;
  const { states, cursor, ...others } = query;
  return html`<${Head} title="Jobs" />
    <${Tabs} label="Jobs by state" current=${tab?.key ?? null}
      tabs=${TABS.map((each) => ({ ...each, href: address(PATH, { ...others, states: each.states }), count: countOf(each, counts.data?.jobs) }))} />
    <${Filters} query=${query} />
    <${Chips} query=${query} />
    <section class="panel flush" aria-label="List of jobs">
      <${Ribbon} selected=${selected} clear=${() => setChosen(new Set())} fresh=${fresh.size} show=${show} filter=${filter} count=${count} session=${session} left=${rows.filter(leftList).length} />
      <${Loaded} of=${jobs} lines=${10}>
        ${(data) => html`<${Table}
          caption=${`Jobs, ${SORTS[query.sort]?.toLowerCase() ?? "newest first"}`}
          busy=${jobs.stale}
          columns=${columns(at)}
          rows=${data.jobs}
          id=${(job) => job.job_id}
          rowClass=${(job) => [leftList(job) && "left", at === job.job_id && "at"].filter(Boolean).join(" ") || undefined}
          selection=${mayAct(session) ? { has: (id) => chosen.has(id), toggle, all: (on) => setChosen(new Set(on ? rows.map((job) => job.job_id) : [])), label: (job) => visible(subject(job) || job.job_id) } : undefined}
          empty=${data.searched_to ? null : nothing(query)}
        />
        ${data.searched_to && html`<p class="notice">The search has come as far back as <${Ago} at=${data.searched_to} />. ${next ? html`<a href=${next}>Search on</a>` : null}</p>`}
        ${(data.jobs.length > 0 || next) && html`<${Pages} first=${query.cursor ? first : null} next=${next} note=${jobs.stale ? "reading" : null} />
          <${Command} line=${jobsLine(filter)} label="This list on the command line" />`}`}
      <//>
    </section>`;
}
