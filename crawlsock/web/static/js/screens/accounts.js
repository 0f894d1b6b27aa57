// Accounts and limits: credentials, what hosts allow, queues, and what crawlers have seen.

import { act, mayAct, mayOperate } from "../actions.js";
import { address, jobPage } from "../address.js";
import { post } from "../api.js";
import { askCredential } from "../credential.js";
import { title as capital, words } from "../format.js";
import { html } from "../lib.js";
import { exact, isNumber, total } from "../numbers.js";
import { queueOrder } from "../operate.js";
import { visible } from "../plain.js";
import { useResource } from "../resource.js";
import { Badge } from "../ui/badge.js";
import { confirm } from "../ui/dialog.js";
import { changed, ChoiceFilter, SearchFilter } from "../ui/form.js";
import { Command, Head, Pairs, Panel } from "../ui/panel.js";
import { Share } from "../ui/progress.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";

const PATH = "/accounts";
const TONES = { valid: "ok", refused: "bad", none: "quiet" };
const STATES = { valid: "valid", refused: "refused", none: "no credential" };
const KINDS = ["credential_changed", "queue_paused", "queue_resumed", "job_waiting_credential"];
const AREAS = ["account", "host", "kind", "search"];
const STEP = 100;

export const title = () => "Accounts and limits";
export const stream = () => ({ kinds: KINDS });

/* Accounts */

function accountColumns(session, again) {
  return [
    {
      key: "account",
      label: "Account",
      head: true,
      cell: (each) => html`<span class="row-main"
        ><a href=${address("/jobs", { account: each.account })}><${Text} value=${each.account} /></a>
        <span class="row-sub">${each.host && html`<${Text} value=${each.host} />`}${each.reason && html`<span class="bad"><${Text} value=${each.reason} /></span>`}</span></span
      >`,
    },
    { key: "state", label: "Credential", cell: (each) => html`<${Badge} tone=${TONES[each.state]}>${STATES[each.state]}<//>` },
    { key: "kind", label: "Kind", wide: true, cell: (each) => (each.kind ? capital(each.kind) : html`<span class="none">–</span>`) },
    { key: "expires", label: "Expires", num: true, wide: true, cell: (each) => html`<${Ago} at=${each.expires_at} />` },
    { key: "generation", label: "Renewals", num: true, wider: true, cell: (each) => exact(each.generation) },
    {
      key: "waiting",
      label: "Jobs waiting",
      num: true,
      wide: true,
      cell: (each) => (Number(each.jobs_waiting) ? html`<a href=${address("/jobs", { account: each.account, states: "waiting_credential" })}>${exact(each.jobs_waiting)}</a>` : "0"),
    },
    mayAct(session) && {
      key: "put",
      label: html`<span class="sr">Renew</span>`,
      class: "ends",
      cell: (each) =>
        html`<button type="button" class="button small" aria-label=${`Put the credential of ${visible(each.account)}`} onClick=${async () => (await askCredential(each)) && again()}>${each.state === "none" ? "Put" : "Renew"}</button>`,
    },
  ].filter(Boolean);
}

function Accounts({ query, session }) {
  const accounts = useResource("/accounts", {}, { refetch: (event) => KINDS.includes(event.kind), every: 10000 });
  const actions = mayAct(session) && html`<button type="button" class="button small" onClick=${async () => (await askCredential()) && accounts.again()}>Put a credential</button>`;
  return html`<${Panel} title="Accounts" id="accounts" actions=${actions}>
    <div class="filters">
      <${SearchFilter} path=${PATH} query=${query} name="find" label="Search" placeholder="account or host" class="grow" />
      <${ChoiceFilter} path=${PATH} query=${query} name="credential" label="Credential" options=${[["", "All"], ...Object.entries(STATES).map(([value, label]) => [value, capital(label)])]} />
    </div>
    <${Loaded} of=${accounts}>${(data) => html`<${AccountList} all=${data.accounts} query=${query} session=${session} again=${accounts.again} />`}<//>
  <//>`;
}

function AccountList({ all, query, session, again }) {
  const wanted = (query.find ?? "").toLocaleLowerCase();
  const found = all.filter((each) => (!query.credential || each.state === query.credential) && `${each.account}\n${each.host ?? ""}`.toLocaleLowerCase().includes(wanted));
  const most = Math.max(STEP, Number.parseInt(query.show ?? "", 10) || STEP);
  const rows = found.slice(0, most);
  return html`<${Table}
      caption="Accounts"
      columns=${accountColumns(session, again)}
      rows=${rows}
      id=${(each) => each.account}
      empty=${html`<${Empty} title=${all.length ? "No account matches." : "There is no account."}>${all.length ? html`<a href=${PATH}>Show all ${exact(all.length)}</a>` : "An account is made with its first job or credential."}<//>`}
    />
    ${found.length > rows.length &&
    html`<nav class="pages" aria-label="More accounts"><a class="button" href=${changed(PATH, query, { show: String(most + STEP) })}>Show ${STEP} more</a><span class="quiet">${exact(rows.length)} of ${exact(found.length)}</span></nav>`}`;
}

/* What hosts allow */

function Hosts() {
  const overview = useResource("/overview", {}, { every: 5000 });
  return html`<${Panel} title="Budget of each GitLab host" id="hosts" note="as crawlers last heard it">
    <${Loaded} of=${overview} lines=${2}>
      ${(data) =>
        data.hosts?.length
          ? html`<ul class="rows">
              ${data.hosts.map(
                (each) => html`<li key=${each.host} class="row">
                  <span class="row-lead"><${Text} value=${each.host} /></span>
                  <span class="row-rest">${isNumber(each.limit) && isNumber(each.remaining)
                    ? html`<${Share} part=${each.remaining} whole=${each.limit} label="requests left" tone=${Number(each.remaining) * 10 < Number(each.limit) ? "bad" : "ok"} />`
                    : html`<span class="quiet">no limit heard of</span>`}
                  <span class="quiet">heard <${Ago} at=${each.at} />${each.resets_at && html`, full again <${Ago} at=${each.resets_at} />`}</span>
                  ${each.blocked_until && html`<span class="bad">blocked, free <${Ago} at=${each.blocked_until} /></span>`}</span>
                </li>`,
              )}
            </ul>`
          : html`<p class="quiet">No crawler has reported a limit. Hosts tell it with their first answers.</p>`}
    <//>
  <//>`;
}

/* Queues */

async function setQueue(queue, again) {
  const type = queue.job_type;
  const all = type === undefined;
  const verb = queue.paused ? "resume" : "pause";
  const body = (answer) => ({ ...(!all && { job_type: type }), ...(verb === "pause" && answer.reason && { reason: answer.reason }) });
  const what = all ? "all queues" : `the queue of ${type}`;
  const answer = await confirm({
    title: `${capital(verb)} ${what}?`,
    text: queue.paused ? "Jobs are given out again at once." : "No job of it is given out until it is resumed. Jobs that crawlers have go on.",
    verb: capital(verb),
    tone: queue.paused ? undefined : "danger",
    reason: !queue.paused && "Why (shown to whoever looks)",
    extra: (given) => html`<${Command} line=${queueOrder(verb, type, given.reason)} />`,
  });
  if (!answer) return;
  const result = await act(
    () => post(`/queues/${verb}`, body(answer)),
    () => `${queue.paused ? "Resumed" : "Paused"} ${what}`,
  );
  if (result !== undefined) again();
}

function queueColumns(session, again) {
  return [
    {
      key: "type",
      label: "Queue",
      head: true,
      cell: (each) => html`<span class="row-main"
        >${each.job_type === undefined ? html`<strong>All types</strong>` : html`<a href=${address("/jobs", { type: each.job_type, states: "queued", sort: "queue" })}>${each.job_type}</a>`}
        <span class="row-sub"
          >${each.paused && each.actor && html`<span>by <${Text} value=${each.actor} /></span>`}${each.paused && each.reason && html`<${Text} value=${each.reason} />`}${each.paused &&
          each.at &&
          html`<${Ago} at=${each.at} />`}</span
        ></span
      >`,
    },
    { key: "state", label: "State", cell: (each) => html`<${Badge} tone=${each.paused ? "warn" : "ok"}>${each.paused ? "paused" : "open"}<//>` },
    { key: "queued", label: "Queued", num: true, cell: (each) => exact(each.jobs?.queued ?? 0) },
    { key: "running", label: "Running", num: true, wide: true, cell: (each) => exact(total([each.jobs?.running ?? 0, each.jobs?.assigned ?? 0])) },
    mayOperate(session) && {
      key: "pause",
      label: html`<span class="sr">Pause</span>`,
      class: "ends",
      cell: (each) =>
        html`<button type="button" class="button small" aria-label=${`${each.paused ? "Resume" : "Pause"} ${each.job_type ?? "all queues"}`} onClick=${() => setQueue(each, again)}>${each.paused ? "Resume" : "Pause"}</button>`,
    },
  ].filter(Boolean);
}

function Queues({ session }) {
  const queues = useResource("/queues", {}, { refetch: (event) => event.kind.startsWith("queue_"), every: 5000 });
  return html`<${Panel} title="Queues" id="queues">
    <${Loaded} of=${queues} lines=${3}>
      ${(data) => {
        const whole = data.queues.find((each) => each.job_type === undefined) ?? { paused: false, jobs: {} };
        const types = data.queues.filter((each) => each.job_type !== undefined);
        const limits = Object.entries(data.limits ?? {}).filter(([, value]) => value !== null && typeof value !== "object");
        return html`<${Table} caption="Queues by type of job" columns=${queueColumns(session, queues.again)} rows=${[whole, ...types]} id=${(each) => each.job_type ?? "*"} />
          ${limits.length > 0 && html`<h3 class="above">Limits</h3><${Pairs} items=${limits.map(([name, value]) => [capital(name), isNumber(value) ? exact(value) : String(value)])} />`}`;
      }}
    <//>
  <//>`;
}

/* Areas */

const AREA_COLUMNS = [
  {
    key: "path",
    label: "Path",
    head: true,
    cell: (each) => html`<span class="row-main"><${Text} value=${each.path} /><span class="row-sub">${each.name && html`<${Text} value=${each.name} />`}<${Text} value=${each.account} /></span></span>`,
  },
  { key: "kind", label: "Kind", cell: (each) => words(each.kind) },
  { key: "host", label: "Host", wide: true, cell: (each) => html`<${Text} value=${each.host} />` },
  { key: "visibility", label: "Visibility", wider: true, cell: (each) => html`<${Text} value=${each.visibility} />` },
  { key: "seen", label: "Last seen", num: true, wide: true, cell: (each) => (each.job_id ? html`<a href=${jobPage(each.job_id)}><${Ago} at=${each.last_seen} /></a>` : html`<${Ago} at=${each.last_seen} />`) },
];

function Areas({ query }) {
  const asked = Object.fromEntries([...AREAS, "cursor"].map((name) => [name, query[name]]));
  const areas = useResource("/areas", { ...asked, limit: 25 });
  const filtered = AREAS.some((name) => query[name]);
  return html`<${Panel} title="Areas" id="areas" note="groups, projects and users that crawlers have seen">
    <div class="filters">
      <${SearchFilter} path=${PATH} query=${query} name="search" label="Path or name" class="grow" />
      <${SearchFilter} path=${PATH} query=${query} name="account" label="Account" placeholder="exact name" />
      <${SearchFilter} path=${PATH} query=${query} name="host" label="Host" placeholder="exact name" />
      <${ChoiceFilter} path=${PATH} query=${query} name="kind" label="Kind" options=${[["", "All"], ["group", "Groups"], ["project", "Projects"], ["user", "Users"]]} />
    </div>
    <${Loaded} of=${areas} lines=${3}>
      ${(data) => html`<${Table}
          caption="Areas"
          columns=${AREA_COLUMNS}
          rows=${data.areas}
          id=${(each) => [each.account, each.host, each.kind, each.entity_id].join("\n")}
          empty=${filtered
            ? html`<${Empty} title="No area matches the filter."><a href=${PATH}>All areas</a><//>`
            : html`<${Empty} title="Nothing has been discovered yet.">A job of the type discover_namespaces finds groups and projects.<//>`}
        />
        ${(query.cursor || data.next_cursor) && html`<${Pages} first=${query.cursor && changed(PATH, query, {})} next=${data.next_cursor && address(PATH, { ...query, cursor: data.next_cursor })} />`}`}
    <//>
  <//>`;
}

/** The screen. */
export function View({ query, session }) {
  return html`<${Head} title="Accounts and limits" lead="Whose credentials jobs use, what hosts and queues let through, and what has been seen" />
    <div class="stack">
      <${Accounts} query=${query} session=${session} />
      <div class="grid-2"><${Queues} session=${session} /><${Hosts} /></div>
      <${Areas} query=${query} />
    </div>`;
}
