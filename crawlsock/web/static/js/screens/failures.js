// Failures: what went wrong, in groups of the same kind, and the incidents that they became.

import { mayAct } from "../actions.js";
import { address } from "../address.js";
import { CATEGORIES, failedWith, groupPage, retryGroup, Severity } from "../failures.js";
import { counted, title as capital } from "../format.js";
import { html } from "../lib.js";
import { exact } from "../numbers.js";
import { visible } from "../plain.js";
import { useResource } from "../resource.js";
import { Badge } from "../ui/badge.js";
import { changed, ChoiceFilter, SearchFilter } from "../ui/form.js";
import { Head, Panel } from "../ui/panel.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";

const PATH = "/failures";
const FILTERS = ["account", "error_type", "category"];
const KINDS = ["job_failed", "job_retried", "job_completed"];

export const title = () => "Failures";
export const stream = () => ({ kinds: KINDS });

function columns(session, again) {
  return [
    {
      key: "what",
      label: "What happened",
      head: true,
      cell: (group) => html`<span class="row-main"
        ><a href=${groupPage(group)}><${Text} value=${group.title} /></a>
        <span class="row-sub"><span>${capital(group.category)}</span><${Text} value=${group.error_type} /><${Text} value=${group.account} /></span></span
      >`,
    },
    { key: "severity", label: "Severity", wide: true, cell: (group) => html`<${Severity} value=${group.severity} />` },
    { key: "count", label: "Times", num: true, wide: true, cell: (group) => exact(group.count) },
    {
      key: "now",
      label: "Failed now",
      num: true,
      cell: (group) =>
        Number(group.failed_now) ? html`<a href=${address("/jobs", failedWith(group))} aria-label=${`${counted(group.failed_now, "job")} failed now`}>${exact(group.failed_now)}</a>` : "0",
    },
    { key: "last", label: "Last", num: true, wide: true, cell: (group) => html`<${Ago} at=${group.last_seen} />` },
    { key: "first", label: "First", num: true, wider: true, cell: (group) => html`<${Ago} at=${group.first_seen} />` },
    mayAct(session) && {
      key: "retry",
      label: html`<span class="sr">Retry</span>`,
      class: "ends",
      cell: (group) =>
        Number(group.failed_now)
          ? html`<button type="button" class="button small" aria-label=${`Retry ${counted(group.failed_now, "job")}: ${visible(group.title)}`} onClick=${async () => (await retryGroup(group)) && again()}>Retry</button>`
          : null,
    },
  ].filter(Boolean);
}

function Groups({ data, query, session, again }) {
  const filtered = FILTERS.some((name) => query[name]);
  return html`<${Table}
      caption="Failures by kind"
      columns=${columns(session, again)}
      rows=${data.groups}
      id=${(group) => `${group.fingerprint} ${group.account}`}
      empty=${filtered
        ? html`<${Empty} title="No failure matches the filter."><a href=${PATH}>All failures</a><//>`
        : html`<${Empty} title="Nothing has failed.">Failures that crawlers report are grouped here by what went wrong.<//>`}
    />
    ${(query.cursor || data.next_cursor) && html`<${Pages} first=${query.cursor && changed(PATH, query, {})} next=${data.next_cursor && address(PATH, { ...query, cursor: data.next_cursor })} />`}`;
}

function Incident({ incident }) {
  return html`<li class="row">
    <span class="row-lead">${incident.closed_at ? html`<${Badge}>over<//>` : html`<${Severity} value=${incident.severity} />`}</span>
    <span class="row-rest">
      <span class="strong"><${Text} value=${incident.title} /></span>
      ${incident.detail && html`<span><${Text} value=${incident.detail} lines /></span>`}
      ${incident.next_step && html`<span class="remedy"><${Text} value=${incident.next_step} /></span>`}
      <span class="row-sub">
      ${incident.account && html`<${Text} value=${incident.account} />`}
      ${incident.fingerprint && incident.account && html`<a href=${groupPage(incident)}>The failures behind it</a>`}
      <span>
        ${incident.closed_at ? html`closed <${Ago} at=${incident.closed_at} />` : html`open since <${Ago} at=${incident.opened_at} />`}${Number(incident.count) > 1 ? `, ${exact(incident.count)} times, last ` : ""}${Number(
          incident.count,
        ) > 1
          ? html`<${Ago} at=${incident.last_at} />`
          : null}
      </span>
      </span>
    </span>
  </li>`;
}

function Incidents({ query }) {
  const all = query.incidents === "all";
  const incidents = useResource("/incidents", { ...(!all && { open: "true" }), limit: all ? 50 : 10, cursor: query.incidents_cursor }, { every: 10000, refetch: (event) => event.kind === "job_failed", least: 3000 });
  const other = html`<a href=${changed(PATH, query, { incidents: all ? "" : "all", incidents_cursor: "" })}>${all ? "Open ones only" : "Closed ones, too"}</a>`;
  return html`<${Panel} title="Incidents" id="incidents" actions=${other}>
    <${Loaded} of=${incidents} lines=${2}>
      ${(data) =>
        data.incidents.length
          ? html`<ul class="rows">${data.incidents.map((incident) => html`<${Incident} key=${incident.incident_id} incident=${incident} />`)}</ul>
              ${data.next_cursor && html`<a class="button small" href=${changed(PATH, query, { incidents: "all", incidents_cursor: data.next_cursor })}>Earlier ones</a>`}`
          : html`<p class="quiet">${all ? "There was no incident." : "No incident is open."}</p>`}
    <//>
  <//>`;
}

/** The screen. */
export function View({ query, session }) {
  const asked = Object.fromEntries([...FILTERS, "sort", "cursor"].map((name) => [name, query[name]]));
  const groups = useResource("/errors", asked, { refetch: (event) => KINDS.includes(event.kind), every: 30000 });
  return html`<${Head} title="Failures" lead="What crawlers reported, grouped by what went wrong, whatever ids and numbers were in the message" />
    <div class="stack">
      <${Incidents} query=${query} />
      <section class="panel" aria-label="Failures by kind">
        <div class="filters">
          <${SearchFilter} path=${PATH} query=${query} name="account" label="Account" placeholder="exact name" class="grow" />
          <${SearchFilter} path=${PATH} query=${query} name="error_type" label="Type of error" placeholder="such as gitlab_error" class="grow" />
          <${ChoiceFilter} path=${PATH} query=${query} name="category" label="Category" options=${[["", "All"], ...CATEGORIES.map((each) => [each, capital(each)])]} />
          <${ChoiceFilter} path=${PATH} query=${query} name="sort" label="Order" options=${[["", "Newest first"], ["frequent", "Most frequent first"]]} />
        </div>
        <${Loaded} of=${groups}>${(data) => html`<${Groups} data=${data} query=${query} session=${session} again=${groups.again} />`}<//>
      </section>
    </div>`;
}
