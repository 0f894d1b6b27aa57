// Crawlers: who is there, how each is, and the four orders that an operator can give.

import { act, mayOperate } from "../actions.js";
import { address } from "../address.js";
import { part, post } from "../api.js";
import { bytes, counted, rate, title as capital } from "../format.js";
import { html } from "../lib.js";
import { exact, isNumber, total } from "../numbers.js";
import { crawlerOrder } from "../operate.js";
import { visible } from "../plain.js";
import { useResource } from "../resource.js";
import { Badge } from "../ui/badge.js";
import { confirm } from "../ui/dialog.js";
import { changed, ChoiceFilter, SearchFilter } from "../ui/form.js";
import { Command, Head, Pairs, Panel } from "../ui/panel.js";
import { Share } from "../ui/progress.js";
import { Empty, Loaded } from "../ui/states.js";
import { Table } from "../ui/table.js";
import { Id, Text } from "../ui/text.js";
import { Age, Ago } from "../ui/time.js";

const PATH = "/crawlers";
const STEP = 100;
const TONES = { connected: "ok", away: "warn", paused: "warn", draining: "info" };

const ORDERS = {
  pause: { label: "Pause", done: "Paused", states: ["connected"], says: "It keeps its jobs, holds each at its next checkpoint, and takes no more." },
  resume: { label: "Resume", done: "Resumed", states: ["paused"], says: "It goes on with its jobs, and takes new ones." },
  drain: {
    label: "Drain",
    done: "Draining",
    states: ["connected", "paused"],
    tone: "danger",
    says: "It takes no more, finishes its jobs or hands them back with what they have saved, and leaves. The process ends.",
  },
  disconnect: {
    label: "Disconnect",
    done: "Disconnected",
    states: ["connected", "paused", "draining"],
    tone: "danger",
    says: "Its session ends now. Its jobs go back to the queue and lose no attempt; what they did since they last saved is done again.",
  },
};

export const title = () => "Crawlers";
export const stream = () => ({ kinds: ["crawler_connected", "crawler_lost", "crawler_ended"] });

const commandPath = (crawler) => `/crawlers/${part(crawler.crawler_id)}/command`;

async function order(command, crawler, again) {
  const { label, tone, says, done } = ORDERS[command];
  const body = (answer) => ({ command, ...(answer.reason && { reason: answer.reason }) });
  const answer = await confirm({
    title: `${label} this crawler?`,
    text: html`<bdi class="strong">${visible(crawler.crawler_id)}</bdi> (${counted(crawler.jobs, "job")}): ${says}`,
    verb: label,
    tone,
    reason: "Why (kept in the audit log)",
    extra: (given) => html`<${Command} line=${crawlerOrder(command, crawler.crawler_id, given.reason)} />`,
  });
  if (!answer) return;
  const result = await act(
    () => post(commandPath(crawler), body(answer)),
    () => `${done}: ${visible(crawler.crawler_id)}`,
  );
  if (result !== undefined) again();
}

function Orders({ crawler, again }) {
  const fitting = Object.entries(ORDERS).filter(([, each]) => each.states.includes(crawler.state));
  if (!fitting.length) return html`<span class="quiet">${crawler.state === "away" ? "away: nobody to order" : ""}</span>`;
  return html`<span class="orders">
    ${fitting.map(
      ([command, each]) => html`<button
        key=${command}
        type="button"
        class="button small"
        aria-label=${`${each.label} ${visible(crawler.crawler_id)}`}
        onClick=${() => order(command, crawler, again)}
      >
        ${each.label}
      </button>`,
    )}
  </span>`;
}

function matches(query) {
  const wanted = (query.search ?? "").toLocaleLowerCase();
  return (crawler) => {
    if (query.state && crawler.state !== query.state) return false;
    if (!wanted) return true;
    const text = [crawler.crawler_id, ...crawler.labels, crawler.version, crawler.status, String(crawler.pid ?? "")].join("\n");
    return text.toLocaleLowerCase().includes(wanted);
  };
}

function Budget({ hosts }) {
  if (!hosts?.length) return null;
  return html`<ul class="plain">
    ${hosts.map(
      (each) => html`<li key=${each.host}>
        <${Text} value=${each.host} />${" "}
        ${isNumber(each.remaining) && isNumber(each.limit) ? html`${exact(each.remaining)} of ${exact(each.limit)} requests left` : null}
        ${each.blocked_until ? html` blocked, free <${Ago} at=${each.blocked_until} />` : null}
      </li>`,
    )}
  </ul>`;
}

function Details({ crawler, readAt, query, operates, again }) {
  const kinds = crawler.job_types?.length ? crawler.job_types.join(", ") : "all";
  return html`<${Panel}
    title=${html`<${Text} value=${crawler.crawler_id} />`}
    id="crawler"
    class="details"
    actions=${html`${operates && html`<${Orders} crawler=${crawler} again=${again} />`}<a class="button small" href=${changed(PATH, query, { crawler: "" })}>Close</a>`}
  >
    <${Pairs}
      items=${[
        ["State", html`<${State} crawler=${crawler} />`],
        ["Jobs", html`<a href=${address("/jobs", { crawler_id: crawler.crawler_id })}>${exact(crawler.jobs)} of ${counted(crawler.slots, "slot")}</a>`],
        ["Rate", isNumber(crawler.rate) ? `${rate(crawler.rate)} items` : undefined],
        ["Last heartbeat", html`<${Age} seconds=${crawler.heartbeat_age} readAt=${readAt} /> ago`],
        ["Memory", isNumber(crawler.memory_bytes) ? bytes(crawler.memory_bytes) : undefined],
        ["Processor", isNumber(crawler.cpu_percent) ? `${Number(crawler.cpu_percent)} % of a core` : undefined],
        ["Connected", html`<${Ago} at=${crawler.connected_at} />`],
        ["Version", crawler.version && html`<${Text} value=${crawler.version} />`],
        ["Transport", crawler.transport && html`<${Text} value=${crawler.transport} />`],
        ["Process", crawler.pid !== undefined && html`pid ${String(crawler.pid)}${crawler.hostname ? html` on <${Text} value=${crawler.hostname} />` : ""}`],
        ["Takes", kinds],
        ["Labels", crawler.labels.length ? html`<${Text} value=${crawler.labels.join(", ")} />` : undefined],
        ["Session", html`<${Id} value=${crawler.session_id} />`],
        ["Server", html`<${Id} value=${crawler.server_id} />`],
        ["Hosts", crawler.hosts?.length ? html`<${Budget} hosts=${crawler.hosts} />` : undefined],
      ]}
    />
  <//>`;
}

function State({ crawler }) {
  return html`<${Badge} tone=${TONES[crawler.state]}>${capital(crawler.state)}<//>${
    crawler.status && crawler.state === "connected" ? html` <span class="quiet">${crawler.status}</span>` : null
  }`;
}

function columns(query, readAt, operates, again) {
  return [
    {
      key: "crawler",
      label: "Crawler",
      head: true,
      cell: (crawler) => html`<span class="row-main"
        ><a href=${changed(PATH, query, { crawler: crawler.crawler_id })} aria-current=${query.crawler === crawler.crawler_id ? "true" : undefined}
          ><${Text} value=${crawler.crawler_id}
        /></a>
        <span class="row-sub">${crawler.labels.length ? html`<${Text} value=${crawler.labels.join(", ")} />` : null}</span></span
      >`,
    },
    { key: "state", label: "State", cell: (crawler) => html`<${State} crawler=${crawler} />` },
    {
      key: "jobs",
      label: "Jobs of slots",
      class: "load",
      cell: (crawler) => html`<${Share} part=${crawler.jobs} whole=${crawler.slots} label=${`${exact(crawler.jobs)} of ${exact(crawler.slots)} slots in use`} />`,
    },
    { key: "rate", label: "Items", num: true, wide: true, cell: (crawler) => (isNumber(crawler.rate) ? rate(crawler.rate) : "–") },
    { key: "heartbeat", label: "Heartbeat", num: true, wide: true, cell: (crawler) => html`<${Age} seconds=${crawler.heartbeat_age} readAt=${readAt} />` },
    { key: "memory", label: "Memory", num: true, wide: true, cell: (crawler) => (isNumber(crawler.memory_bytes) ? bytes(crawler.memory_bytes) : "–") },
    { key: "version", label: "Version", wider: true, cell: (crawler) => html`<${Text} value=${crawler.version} />` },
    { key: "transport", label: "Transport", wider: true, cell: (crawler) => html`<${Text} value=${crawler.transport} />` },
    { key: "process", label: "Process", num: true, wider: true, cell: (crawler) => (crawler.pid === undefined ? "–" : String(crawler.pid)) },
    operates && { key: "orders", label: html`<span class="sr">Orders</span>`, wide: true, class: "wide ends", cell: (crawler) => html`<${Orders} crawler=${crawler} again=${again} />` },
  ].filter(Boolean);
}

function lead(crawlers) {
  const there = crawlers.filter((each) => each.state !== "away");
  const states = ["away", "paused", "draining"].map((state) => [state, crawlers.filter((each) => each.state === state).length]);
  const rest = states.filter(([, count]) => count).map(([state, count]) => `${exact(count)} ${state}`);
  const busy = `${exact(total(there.map((each) => each.jobs)))} of ${counted(total(there.map((each) => each.slots)), "slot")} in use`;
  return [`${exact(crawlers.filter((each) => each.state === "connected").length)} connected`, ...rest, busy].join(", ");
}

/** The screen. */
export function View({ query, session }) {
  const crawlers = useResource("/crawlers", {}, { refetch: (event) => event.kind.startsWith("crawler_"), every: 3000 });
  const operates = mayOperate(session);
  const all = crawlers.data?.crawlers;
  const chosen = query.crawler && all?.find((each) => each.crawler_id === query.crawler);
  return html`<${Head} title="Crawlers" lead=${all ? lead(all) : "The processes that crawl"} />
    <div class="stack">
      ${chosen && html`<${Details} crawler=${chosen} readAt=${crawlers.at} query=${query} operates=${operates} again=${crawlers.again} />`}
      ${query.crawler && all && !chosen && html`<${Empty} title="This crawler is not connected any more.">Its jobs went back to the queue. <a href=${changed(PATH, query, { crawler: "" })}>All crawlers</a><//>`}
      <section class="panel" aria-label="All crawlers">
        <div class="filters">
          <${SearchFilter} path=${PATH} query=${query} name="search" label="Search" placeholder="name, label, version, process" class="grow" />
          <${ChoiceFilter}
            path=${PATH}
            query=${query}
            name="state"
            label="State"
            options=${[["", "All"], ["connected", "Connected"], ["away", "Away"], ["paused", "Paused"], ["draining", "Draining"]]}
          />
        </div>
        <${Loaded} of=${crawlers}>${(data) => html`<${List} all=${data.crawlers} query=${query} readAt=${crawlers.at} operates=${operates} again=${crawlers.again} />`}<//>
      </section>
    </div>`;
}

function List({ all, query, readAt, operates, again }) {
  if (!all.length) {
    return html`<${Empty} title="No crawler is connected.">
      Jobs wait until one is. Start one on a machine that reaches the server’s socket:
      <${Command} line="crawlsock crawl --output ./crawled" label="Command line that starts a crawler" />
    <//>`;
  }
  const found = all.filter(matches(query));
  const most = Math.max(STEP, Number.parseInt(query.show ?? "", 10) || STEP);
  const rows = found.slice(0, most);
  return html`<${Table}
      caption="Crawlers"
      columns=${columns(query, readAt, operates, again)}
      rows=${rows}
      id=${(crawler) => crawler.session_id}
      rowClass=${(crawler) => (crawler.crawler_id === query.crawler ? "at" : undefined)}
      empty=${html`<${Empty} title="No crawler matches."><a href=${PATH}>Show all ${exact(all.length)}</a><//>`}
    />
    ${found.length > rows.length &&
    html`<nav class="pages" aria-label="More"><a class="button" href=${changed(PATH, query, { show: String(most + STEP) })}>Show ${STEP} more</a><span class="quiet">${exact(rows.length)} of ${exact(found.length)}</span></nav>`}`;
}
