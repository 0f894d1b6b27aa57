// Events: what happens, as it happens. The list is bounded, and says where something is missing.

import { address, jobPage, list } from "../address.js";
import { absolute, clock, duration, millis, percent, title as capital } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { isPaused, liveState } from "../live.js";
import { exact, isNumber, total } from "../numbers.js";
import { line } from "../commands.js";
import { log } from "../reduce.js";
import { useEvents } from "../resource.js";
import { go } from "../router.js";
import { togglePause } from "../shell.js";
import { useStore } from "../store.js";
import { changed, SearchFilter } from "../ui/form.js";
import { Command, Head } from "../ui/panel.js";
import { Empty } from "../ui/states.js";
import { Text } from "../ui/text.js";

const PATH = "/events";
const KEEP = 500;
const SHOW = 200;

const GROUPS = [
  ["Jobs begin", ["job_created", "job_assigned", "job_started"]],
  ["Jobs end", ["job_completed", "job_failed", "job_cancelled"]],
  ["Jobs go back", ["job_retried", "job_released", "job_lost", "job_waiting_credential"]],
  ["Orders", ["job_cancel_requested", "job_paused", "job_resumed", "queue_paused", "queue_resumed"]],
  ["Progress", ["job_progress", "milestone"]],
  ["Crawlers", ["crawler_connected", "crawler_lost", "crawler_ended"]],
  ["Credentials", ["credential_changed"]],
];
const TONES = {
  job_completed: "ok",
  job_failed: "bad",
  job_lost: "bad",
  job_cancelled: "quiet",
  job_waiting_credential: "warn",
  job_paused: "warn",
  queue_paused: "warn",
  crawler_lost: "bad",
};
const SHOWN = new Set(["rate", "stage", "time_left", "resume_state", "kind", "at", "job_id", "root_id", "account", "type", "crawler_id", "name", "namespace_path", "entities", "percent", "seq", "parent_id", "session_id"]);

export const title = () => "Events";

export function stream(params, query) {
  const { job_id, root_id, account } = query;
  return { kinds: query.kinds, job_id, root_id, account };
}

function shortly(value) {
  if (isNumber(value)) return exact(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What an event tells beyond its kind, as pieces of text. */
function told(event) {
  const said = [];
  if (event.type) said.push(event.type);
  if (event.kind === "job_progress" && event.entities) said.push(`${exact(total(Object.values(event.entities).map((each) => each.processed ?? 0)))} items`);
  if (isNumber(event.percent)) said.push(percent(event.percent));
  if (isNumber(event.time_left) && event.kind === "job_progress") said.push(`${duration(Math.ceil(Number(event.time_left)))} left`);
  for (const [name, value] of Object.entries(event)) {
    if (SHOWN.has(name) || value === null || value === "" || (Array.isArray(value) && !value.length)) continue;
    if (typeof value === "object" && !Array.isArray(value)) continue;
    if (name === "attempt" && Number(value) === 1) continue;
    said.push(`${name.replaceAll("_", " ")} ${shortly(value)}`);
  }
  return said;
}

function Row({ entry, query }) {
  if (entry.gap) {
    return html`<li class="event gap">
      <span class="event-at">${entry.at ? html`<${At} at=${entry.at} />` : ""}</span>
      <span>Events are missing here: this page was away too long, or too slow. What came after is complete.</span>
    </li>`;
  }
  const { event } = entry;
  return html`<li class="event" data-kind=${event.kind} data-job=${event.job_id} data-tone=${TONES[event.kind]}>
    <span class="event-at"><${At} at=${event.at} /></span>
    <span class="event-kind">${capital(event.kind)}</span>
    <span class="event-about">
      ${event.job_id && html`<a href=${jobPage(event.job_id)}><${Text} value=${event.namespace_path || event.name || event.job_id.slice(0, 8)} /></a>`}
      ${event.crawler_id && html`<a href=${address("/crawlers", { crawler: event.crawler_id })}><${Text} value=${event.crawler_id} /></a>`}
      ${event.account && html`<a class="quiet" href=${changed(PATH, query, { account: event.account })} title="Only this account"><${Text} value=${event.account} /></a>`}
      ${told(event).map((each) => html`<span class="quiet"><${Text} value=${each} /></span>`)}
    </span>
  </li>`;
}

// The moment itself, not its age: a hundred lines that change every second tell nobody anything.
function At({ at }) {
  const when = millis(at);
  return when === null ? null : html`<time datetime=${at} title=${absolute(at)}>${clock(when)}</time>`;
}

function Kinds({ query }) {
  const chosen = list(query.kinds);
  const set = (kinds, on) => {
    const next = on ? [...new Set([...chosen, ...kinds])] : chosen.filter((each) => !kinds.includes(each));
    go(changed(PATH, query, { kinds: next }), { keep: true });
  };
  return html`<fieldset class="kinds">
    <legend>Kinds (none ticked: all)</legend>
    ${GROUPS.map(([label, kinds]) => {
      const on = kinds.filter((kind) => chosen.includes(kind)).length;
      return html`<label class="check" key=${label} title=${kinds.map((kind) => capital(kind)).join(", ")}
        ><input
          type="checkbox"
          ref=${(box) => box && (box.indeterminate = on > 0 && on < kinds.length)}
          checked=${on === kinds.length}
          onChange=${(event) => set(kinds, event.currentTarget.checked)}
        />
        ${label}</label
      >`;
    })}
  </fieldset>`;
}

function commandOf(query) {
  const words = ["crawlsock", "events", "--follow", "--jsonl"];
  for (const kind of list(query.kinds)) words.push("--kind", kind);
  for (const [name, option] of [["job_id", "--job"], ["root_id", "--root"], ["account", "--account"]]) if (query[name]) words.push(option, query[name]);
  return line(words);
}

/** The screen. */
export function View({ query }) {
  const [entries, setEntries] = useState([]);
  const { state } = useStore(liveState);
  const waiting = useRef([]);
  const frame = useRef(null);
  const filter = JSON.stringify(stream({}, query));
  useEffect(() => setEntries([]), [filter]);
  // Many deliveries a second are one drawing.
  useEvents((delivery) => {
    waiting.current.push(delivery);
    frame.current ??= requestAnimationFrame(() => {
      const fresh = waiting.current;
      waiting.current = [];
      frame.current = null;
      setEntries((before) => fresh.reduce((after, each) => log(after, each, KEEP), before));
    });
  });
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  const shown = entries.slice(-SHOW).reverse();
  const held = state === "paused";
  const last = entries.length ? entries[entries.length - 1].no : 0;
  return html`<${Head} title="Events" lead="Each appears once it is committed; the newest is on top">
      <button type="button" class="button" aria-pressed=${held ? "true" : "false"} onClick=${togglePause}>${isPaused() ? "Go on" : "Hold"}</button>
      <button type="button" class="button" disabled=${!entries.length} onClick=${() => setEntries([])}>Clear</button>
    <//>
    <section class="panel" aria-label="Events">
      <div class="filters">
        <${SearchFilter} path=${PATH} query=${query} name="account" label="Account" placeholder="exact name" class="grow" />
        <${SearchFilter} path=${PATH} query=${query} name="root_id" label="Tree" placeholder="id of its top job" class="grow" />
        <${SearchFilter} path=${PATH} query=${query} name="job_id" label="Job" placeholder="id of the job" class="grow" />
      </div>
      <${Kinds} query=${query} />
      <${Command} line=${commandOf(query)} />
      <p class="quiet above" role="status">
        ${held ? "Held. What happens meanwhile is read when you go on." : entries.length ? `${exact(last)} since this page was opened, the last ${exact(shown.length)} shown` : ""}
      </p>
      ${shown.length
        ? html`<ol class="events" aria-label="Events, newest first">${shown.map((entry) => html`<${Row} key=${entry.no} entry=${entry} query=${query} />`)}</ol>`
        : html`<${Empty} title=${held ? "The page is held." : "Nothing has happened yet."}>
            ${held ? "Go on to see what happened meanwhile." : "Events appear here as they happen. A job that is submitted, or a crawler that connects, makes some."}
          <//>`}
    </section>`;
}
