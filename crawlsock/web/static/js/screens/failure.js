// One kind of failure: what it means, what to do next, and the jobs that met it.

import { mayAct } from "../actions.js";
import { address, jobPage } from "../address.js";
import { part } from "../api.js";
import { failedWith, retryGroup, Severity } from "../failures.js";
import { counted, title as capital } from "../format.js";
import { html } from "../lib.js";
import { exact } from "../numbers.js";
import { retryErrors } from "../operate.js";
import { useResource } from "../resource.js";
import { StateBadge } from "../ui/badge.js";
import { Command, Head, Pairs, Panel } from "../ui/panel.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Id, Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";

const KINDS = ["job_failed", "job_retried", "job_completed"];

export const title = () => "Failure";
export const stream = () => ({ kinds: KINDS });

const COLUMNS = [
  {
    key: "job",
    label: "Job",
    head: true,
    cell: (each) => html`<span class="row-main"
      ><a href=${jobPage(each.job_id)}><${Text} value=${each.namespace_path || each.name || each.job_id} /></a>
      <span class="row-sub"><span>${each.type}</span><span>attempt ${exact(each.attempt)}</span>${each.recoverable ? html`<span>tried again</span>` : html`<span>given up at once</span>`}</span></span
    >`,
  },
  { key: "state", label: "Now", cell: (each) => html`<${StateBadge} state=${each.state} />` },
  { key: "message", label: "Message", wide: true, cell: (each) => html`<${Text} value=${each.message} lines />` },
  { key: "at", label: "When", num: true, cell: (each) => html`<${Ago} at=${each.at} />` },
];

function Group({ group, session, again }) {
  const failed = Number(group.failed_now) > 0;
  return html`<${Head} title=${html`<${Text} value=${group.title} />`} lead=${html`<a href="/failures">Failures</a> · ${capital(group.category)}`}>
      ${failed && html`<a class="button" href=${address("/jobs", failedWith(group))}>Show ${counted(group.failed_now, "failed job")}</a>`}
      ${failed && mayAct(session) && html`<button type="button" class="button" data-tone="main" onClick=${async () => (await retryGroup(group)) && again()}>Retry ${counted(group.failed_now, "job")}</button>`}
    <//>
    <div class="stack">
      <${Panel} title="What it means" id="meaning">
        <div class="stack"><p><${Text} value=${group.explanation} /></p>
        <p><strong>What to do:</strong> <${Text} value=${group.next_step} /></p>
        <${Pairs}
          items=${[
            ["Account", html`<a href=${address("/jobs", { account: group.account })}><${Text} value=${group.account} /></a>`],
            ["Type of error", html`<${Text} value=${group.error_type} />`],
            ["Severity", html`<${Severity} value=${group.severity} />`],
            ["Times", exact(group.count)],
            ["Failed now", exact(group.failed_now)],
            ["First", html`<${Ago} at=${group.first_seen} />`],
            ["Last", html`<${Ago} at=${group.last_seen} />`],
            ["Last message", html`<${Text} value=${group.last_message} lines />`],
            ["Fingerprint", html`<${Id} value=${group.fingerprint} />`],
          ]}
        />
        <${Command} line=${retryErrors(group)} label="Command line that retries what is failed now" /></div>
      <//>
    </div>`;
}

/** The screen. */
export function View({ params, query, session }) {
  const path = `/failures/${encodeURIComponent(params.fingerprint)}`;
  const found = useResource(`/errors/${part(params.fingerprint)}`, { account: query.account, cursor: query.cursor }, { refetch: (event) => KINDS.includes(event.kind) });
  if (found.data === null) return html`<${Head} title="Failure" lead=${html`<a href="/failures">Failures</a>`} /><${Loaded} of=${found}>${() => null}<//>`;
  const { group, occurrences, next_cursor: next } = found.data;
  return html`<${Loaded} of=${found}>${() => html`<${Group} group=${group} session=${session} again=${found.again} />`}<//>
    <div class="stack below">
      <${Panel} title="Where it happened" id="occurrences" note="newest first">
        <${Table}
          caption="Jobs that met this failure"
          columns=${COLUMNS}
          rows=${occurrences}
          id=${(each) => `${each.job_id} ${each.attempt}`}
          empty=${html`<${Empty} title="The jobs that met it are not kept any more."><a href="/failures">Failures</a><//>`}
        />
        ${(query.cursor || next) &&
        html`<${Pages} first=${query.cursor && address(path, { account: query.account })} next=${next && address(path, { account: query.account, cursor: next })} />`}
      <//>
    </div>`;
}
