// System: whether the service is well and what to do if not, what it runs with, what it tells whom.

import { act, mayOperate } from "../actions.js";
import { address } from "../address.js";
import { part, post, put } from "../api.js";
import { line } from "../commands.js";
import { duration, title as capital, words } from "../format.js";
import { html, useState } from "../lib.js";
import { exact } from "../numbers.js";
import { configSet, curl } from "../operate.js";
import { useResource } from "../resource.js";
import { Badge } from "../ui/badge.js";
import { confirm, openDialog } from "../ui/dialog.js";
import { Fact, Facts } from "../ui/facts.js";
import { changed, ChoiceFilter, Field, SearchFilter } from "../ui/form.js";
import { Command, Head, Panel } from "../ui/panel.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";

const PATH = "/system";
const TONES = { ok: "ok", warn: "warn", bad: "bad" };
const SAYS = { ok: "ok", warn: "look", bad: "bad" };
const RANK = { bad: 0, warn: 1, ok: 2 };
const BESIDE = ["server", "versions", "health", "jobs", "uptime", "crawlers", "duties"];

export const title = () => "System";
export const stream = () => ({ kinds: ["queue_paused", "queue_resumed", "crawler_connected", "crawler_lost", "crawler_ended"] });

/* How it is */

function Health({ health }) {
  if (!health?.length) return html`<p class="quiet">The server says nothing about its health to this role.</p>`;
  const sorted = [...health].sort((a, b) => RANK[a.state] - RANK[b.state]);
  return html`<ul class="rows">
    ${sorted.map(
      (each) => html`<li key=${each.check} class="row">
        <span class="row-lead"><${Badge} tone=${TONES[each.state]}>${SAYS[each.state]}<//> <span class="strong">${capital(each.check)}</span></span>
        <span class="row-rest"><${Text} value=${each.summary} />${each.remedy && html`<span class="remedy"><${Text} value=${each.remedy} /></span>`}</span>
      </li>`,
    )}
  </ul>`;
}

const DUTY_COLUMNS = [
  {
    key: "name",
    label: "Duty",
    head: true,
    cell: (each) => html`<span class="row-main">${words(each.name)}<span class="row-sub">${each.last_error && html`<span class="bad"><${Text} value=${each.last_error} /></span>`}</span></span>`,
  },
  { key: "success", label: "Last done", num: true, cell: (each) => html`<${Fact} name="last_success" value=${each.last_success} />` },
  { key: "took", label: "Took", num: true, wide: true, cell: (each) => html`<${Fact} name="last_duration" value=${each.last_duration} />` },
  { key: "runs", label: "Runs", num: true, wide: true, cell: (each) => exact(each.runs) },
  { key: "failures", label: "Failures", num: true, cell: (each) => html`<span class=${Number(each.failures_in_a_row) ? "bad" : undefined}>${exact(each.failures)}</span>` },
];

function Duties({ duties }) {
  const rows = Object.entries(duties).map(([name, each]) => ({ name, ...each }));
  return html`<${Panel} title="Duties" id="duties" note="done every few seconds"><${Table} caption="Duties" columns=${DUTY_COLUMNS} rows=${rows} id=${(each) => each.name} /><//>`;
}

function Server({ data }) {
  const parts = Object.entries(data).filter(([name, value]) => !BESIDE.includes(name) && typeof value === "object" && value !== null);
  const loose = Object.fromEntries(Object.entries(data).filter(([name, value]) => !BESIDE.includes(name) && (typeof value !== "object" || value === null)));
  return html`<div class="grid-3">
      <${Panel} title="Server" id="server-facts" note=${`up for ${duration(data.uptime)}`}><${Facts} of=${{ ...data.server, ...data.versions, ...loose, crawlers: data.crawlers }} /><//>
      ${parts.map(([name, value]) => html`<${Panel} key=${name} title=${capital(name)} id=${`part-${name}`}><${Facts} of=${value} /><//>`)}
    </div>
    ${data.duties && html`<${Duties} duties=${data.duties} />`}`;
}

/* What it runs with */

function changeSetting(setting, again) {
  return openDialog(function Change({ close }) {
    const [value, setValue] = useState(setting.value);
    const [problem, setProblem] = useState(null);
    const submit = async (event) => {
      event.preventDefault();
      setProblem(null);
      const result = await act(
        () =>
          put(`/configuration/${part(setting.name)}`, { value }).catch((error) => {
            setProblem(error);
            throw error;
          }),
        () => `${setting.name} is ${value} until the server’s next start`,
      );
      if (result === undefined) return;
      close(true);
      again();
    };
    return html`<form onSubmit=${submit}>
      <h2>Change ${setting.name}</h2>
      <p>It holds at once, and until the server’s next start. To keep it, write it into the configuration file.</p>
      <${Field} id="setting-value" label="Value" maxlength="4096" value=${value} onInput=${(event) => setValue(event.currentTarget.value)} hint=${`It is ${setting.value || "empty"} now, from: ${setting.source}`} />
      ${problem && html`<p class="failed" role="alert"><${Text} value=${problem.message} /></p>`}
      <${Command} line=${configSet(setting.name, value)} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => close()}>Leave as it is</button>
        <button type="submit" class="button" data-tone="main" disabled=${value === setting.value}>Change</button>
      </div>
    </form>`;
  }, `Change ${setting.name}`);
}

function settingColumns(session, again) {
  return [
    { key: "name", label: "Setting", head: true, cell: (each) => html`<span class="row-main"><code class="wraps">${each.name}</code><span class="row-sub narrow"><${Text} value=${each.source} /></span></span>` },
    { key: "value", label: "Value", class: "value", cell: (each) => (each.value === "" ? html`<span class="none">empty</span>` : html`<${Text} value=${each.value} />`) },
    { key: "source", label: "From", wide: true, cell: (each) => html`<${Badge} tone=${each.source === "default" ? "quiet" : "info"}><${Text} value=${each.source} /><//>` },
    { key: "live", label: "Changes", wider: true, cell: (each) => (each.reloadable ? "while running" : html`<span class="quiet">with a restart</span>`) },
    mayOperate(session) && {
      key: "change",
      label: html`<span class="sr">Change</span>`,
      class: "ends",
      cell: (each) => each.reloadable && html`<button type="button" class="button small" aria-label=${`Change ${each.name}`} onClick=${() => changeSetting(each, again)}>Change</button>`,
    },
  ].filter(Boolean);
}

function Configuration({ query, session }) {
  const settings = useResource("/configuration", {}, { every: 30000 });
  const wanted = (query.setting ?? "").toLocaleLowerCase();
  const fits = (each) => {
    if (query.from === "said" && each.source === "default") return false;
    if (query.from === "live" && !each.reloadable) return false;
    return `${each.name}\n${each.value}`.toLocaleLowerCase().includes(wanted);
  };
  return html`<${Panel} title="Configuration" id="configuration" note="secrets are masked">
    <div class="filters">
      <${SearchFilter} path=${PATH} query=${query} name="setting" label="Search" placeholder="name or value" class="grow" />
      <${ChoiceFilter} path=${PATH} query=${query} name="from" label="Show" options=${[["", "All"], ["said", "Said somewhere"], ["live", "Can change while running"]]} />
    </div>
    <${Loaded} of=${settings}>
      ${(data) => html`<${Table}
        caption="Settings"
        columns=${settingColumns(session, settings.again)}
        rows=${data.settings.filter(fits)}
        id=${(each) => each.name}
        empty=${html`<${Empty} title="No setting matches."><a href=${PATH}>All settings</a><//>`}
      />`}
    <//>
    <div class="above"><${Command} line=${line("crawlsock", "config", "show")} /></div>
  <//>`;
}

/* What it tells whom */

async function testNotification(again) {
  const answer = await confirm({
    title: "Send a test notification?",
    text: "It goes the way of all others: to each channel that is configured, signed, and again if it is not taken.",
    verb: "Send",
    extra: () => html`<${Command} line=${curl("POST", "/notifications/test", {})} />`,
  });
  if (!answer) return;
  const result = await act(
    () => post("/notifications/test"),
    () => "The test is on its way; its row says how it went",
  );
  if (result !== undefined) again();
}

const NOTIFICATION_STATES = { sent: "ok", failed: "bad", waiting: "info" };

const NOTIFICATION_COLUMNS = [
  {
    key: "what",
    label: "What",
    head: true,
    cell: (each) => html`<span class="row-main"
      ><${Text} value=${each.title} /><span class="row-sub"><span>${words(each.event.replace(".", " "))}</span><span>${each.channel}</span>${each.account && html`<${Text} value=${each.account} />`}${each.last_error && html`<span class="bad"><${Text} value=${each.last_error} /></span>`}</span></span
    >`,
  },
  { key: "state", label: "State", cell: (each) => html`<${Badge} tone=${NOTIFICATION_STATES[each.state] ?? "quiet"}>${words(each.state)}<//>` },
  { key: "attempts", label: "Tries", num: true, wide: true, cell: (each) => exact(each.attempts) },
  { key: "next", label: "Next try", num: true, wider: true, cell: (each) => html`<${Ago} at=${each.due_at} />` },
  { key: "at", label: "When", num: true, cell: (each) => html`<${Ago} at=${each.created_at} />` },
];

function Notifications({ query, session }) {
  const sent = useResource("/notifications", { limit: 10, cursor: query.notifications_cursor }, { every: 5000 });
  const actions = mayOperate(session) && html`<button type="button" class="button small" onClick=${() => testNotification(sent.again)}>Send a test</button>`;
  return html`<${Panel} title="Notifications" id="notifications" note="what was told to webhooks and other channels" actions=${actions}>
    <${Loaded} of=${sent} lines=${2}>
      ${(data) => html`<${Table}
          caption="Notifications"
          columns=${NOTIFICATION_COLUMNS}
          rows=${data.notifications}
          id=${(each) => each.notification_id}
          empty=${html`<${Empty} title="Nothing has been sent.">
            ${data.channels.length ? `Incidents will go to: ${data.channels.join(", ")}.` : html`No channel is configured. Name a webhook in the configuration, see the settings of <a href=${`${PATH}?setting=webhook`}>webhooks</a>.`}
          <//>`}
        />
        ${(query.notifications_cursor || data.next_cursor) &&
        html`<${Pages} first=${query.notifications_cursor && changed(PATH, query, { notifications_cursor: "" })} next=${data.next_cursor && address(PATH, { ...query, notifications_cursor: data.next_cursor })} />`}`}
    <//>
  <//>`;
}

function broadcast() {
  return openDialog(function Broadcast({ close }) {
    const [message, setMessage] = useState("");
    const submit = async (event) => {
      event.preventDefault();
      const result = await act(
        () => post("/broadcast", { message }),
        () => "Said to everybody who is connected",
      );
      if (result !== undefined) close(true);
    };
    return html`<form onSubmit=${submit}>
      <h2>Say something to all peers</h2>
      <p>Crawlers log it; web applications and monitors may show it.</p>
      <${Field} id="broadcast-message" label="Message" required maxlength="4096" value=${message} onInput=${(event) => setMessage(event.currentTarget.value)} />
      <${Command} line=${curl("POST", "/broadcast", { message })} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => close()}>Say nothing</button>
        <button type="submit" class="button" data-tone="main">Say it</button>
      </div>
    </form>`;
  }, "Say something to all peers");
}

/** The screen. */
export function View({ query, session }) {
  const status = useResource("/status", {}, { every: 3000 });
  const admin = mayOperate(session);
  return html`<${Head} title="System" lead="Whether the service is well, what it runs with, and what it has told">
      ${admin && html`<a class="button" href="/accounts#queues">Pause queues</a><button type="button" class="button" onClick=${broadcast}>Say something to all peers</button>`}
    <//>
    <div class="stack">
      <${Panel} title="Health" id="health"><${Loaded} of=${status}>${(data) => html`<${Health} health=${data.health} />`}<//><div class="above"><${Command} line="crawlsock doctor" /></div><//>
      ${status.data && html`<${Server} data=${status.data} />`}
      <${Notifications} query=${query} session=${session} />
      ${session.role !== "webapp" && html`<${Configuration} query=${query} session=${session} />`}
    </div>`;
}
