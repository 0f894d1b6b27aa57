// Access: who may talk to the service, and who did what.

import { act, mayOperate } from "../actions.js";
import { address, jobPage } from "../address.js";
import { part, post, Problem, remove } from "../api.js";
import { title as capital } from "../format.js";
import { html, useState } from "../lib.js";
import { tokenCreate, tokenRevoke } from "../operate.js";
import { visible } from "../plain.js";
import { useResource } from "../resource.js";
import { serverClock } from "../clock.js";
import { Badge } from "../ui/badge.js";
import { confirm, openDialog } from "../ui/dialog.js";
import { changed, Choice, ChoiceFilter, Field, momentOf, SearchFilter } from "../ui/form.js";
import { Command, Head, Panel } from "../ui/panel.js";
import { Empty, Loaded } from "../ui/states.js";
import { Pages, Table } from "../ui/table.js";
import { Id, Text } from "../ui/text.js";
import { Ago } from "../ui/time.js";
import { toast } from "../ui/toast.js";

const PATH = "/access";
const ROLES = [
  ["crawler", "Crawler: takes and does jobs"],
  ["webapp", "Web application: submits and steers jobs"],
  ["monitor", "Monitor: only reads"],
  ["admin", "Admin: everything"],
];
const AUDIT = ["actor", "action", "target"];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const title = () => "Access";
export const stream = () => null;

/* Tokens */

function tokenState(token) {
  if (token.revoked_at) return ["revoked", "quiet"];
  if (token.expires_at && Date.parse(token.expires_at) <= serverClock.now()) return ["expired", "quiet"];
  return ["valid", "ok"];
}

async function revoke(token, again) {
  const answer = await confirm({
    title: "Revoke this token?",
    text: html`<bdi class="strong">${visible(token.name)}</bdi> (${token.role}): connections, sign-ins and streams that came with it end within five seconds. It cannot be taken back; make a new one instead.`,
    verb: "Revoke",
    tone: "danger",
    extra: () => html`<${Command} line=${tokenRevoke(token.token_id)} />`,
  });
  if (!answer) return;
  const result = await act(
    () => remove(`/tokens/${part(token.token_id)}`),
    () => `Revoked: ${visible(token.name)}`,
  );
  if (result !== undefined) again();
}

/** Ask for a new token, make it, and show it this once. */
function createToken(again) {
  return openDialog(function Create({ close }) {
    const [fields, setFields] = useState({ role: "crawler", name: "", accounts: "", expires: "" });
    const [made, setMade] = useState(null);
    const [problem, setProblem] = useState(null);
    const set = (name) => (event) => setFields((before) => ({ ...before, [name]: event.currentTarget.value }));
    const accounts = fields.accounts.split("\n").flatMap((each) => each.split(",")).map((each) => each.trim()).filter(Boolean);
    const expires = momentOf(fields.expires);
    const body = {
      role: fields.role,
      name: fields.name,
      ...(fields.role === "webapp" && accounts.length && { accounts }),
      ...(expires && { expires_at: expires }),
    };
    const submit = async (event) => {
      event.preventDefault();
      setProblem(null);
      try {
        setMade(await post("/tokens", body));
        toast("Made a token");
        again();
      } catch (error) {
        if (!(error instanceof Problem)) console.error(error);
        setProblem(error);
      }
    };
    if (made) {
      return html`<h2>The new token</h2>
        <p>It is shown this once: only its hash is kept. Put it where it is used, readable by nobody else.</p>
        <${Command} line=${made.token} label="The token" />
        <div class="dialog-actions"><button type="button" class="button" data-tone="main" autofocus onClick=${() => close(true)}>I have it</button></div>`;
    }
    return html`<form onSubmit=${submit}>
      <h2>Make a token</h2>
      <${Choice} id="token-role" label="Role" options=${ROLES} value=${fields.role} onChange=${set("role")} />
      <${Field} id="token-name" label="Name" required maxlength="128" hint="Whose it is, for people and the audit log" value=${fields.name} onInput=${set("name")} />
      ${fields.role === "webapp" && html`<${Field} id="token-accounts" label="Accounts" hint="Separated by commas; empty: all accounts" value=${fields.accounts} onInput=${set("accounts")} />`}
      <${Field} id="token-expires" label="Ends" type="datetime-local" hint="Empty: when it is revoked" value=${fields.expires} onInput=${set("expires")} />
      ${problem && html`<p class="failed" role="alert"><${Text} value=${problem.message} /></p>`}
      <${Command} line=${tokenCreate({ ...body, name: body.name || "NAME" })} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => close()}>Make none</button>
        <button type="submit" class="button" data-tone="main">Make it</button>
      </div>
    </form>`;
  }, "Make a token");
}

function tokenColumns(again) {
  return [
    {
      key: "name",
      label: "Name",
      head: true,
      cell: (token) => html`<span class="row-main"
        ><span><${Text} value=${token.name} /></span>
        <span class="row-sub"><${Id} value=${token.token_id} short />${token.accounts && html`<span>only <${Text} value=${token.accounts.join(", ")} /></span>`}</span></span
      >`,
    },
    { key: "role", label: "Role", cell: (token) => token.role },
    {
      key: "state",
      label: "State",
      wide: true,
      cell: (token) => {
        const [word, tone] = tokenState(token);
        return html`<${Badge} tone=${tone}>${word}<//>`;
      },
    },
    { key: "used", label: "Last used", num: true, wide: true, cell: (token) => (token.last_used_at ? html`<${Ago} at=${token.last_used_at} />` : html`<span class="quiet">never</span>`) },
    { key: "made", label: "Made", num: true, wider: true, cell: (token) => html`<${Ago} at=${token.created_at} />` },
    { key: "ends", label: "Ends", num: true, wider: true, cell: (token) => (token.revoked_at ? html`revoked <${Ago} at=${token.revoked_at} />` : html`<${Ago} at=${token.expires_at} />`) },
    {
      key: "revoke",
      label: html`<span class="sr">Revoke</span>`,
      class: "ends",
      cell: (token) =>
        tokenState(token)[0] === "valid"
          ? html`<button type="button" class="button small" data-tone="danger" aria-label=${`Revoke ${visible(token.name)}`} onClick=${() => revoke(token, again)}>Revoke</button>`
          : html`<span class="quiet narrow">${tokenState(token)[0]}</span>`,
    },
  ];
}

function Tokens({ query }) {
  const tokens = useResource("/tokens", {}, { every: 10000 });
  const wanted = (query.token ?? "").toLocaleLowerCase();
  const fits = (token) => {
    if (query.role && token.role !== query.role) return false;
    if (query.ended !== "yes" && tokenState(token)[0] !== "valid") return false;
    return `${token.name}\n${token.token_id}`.toLocaleLowerCase().includes(wanted);
  };
  return html`<${Panel} title="Tokens" id="tokens" actions=${html`<button type="button" class="button small" data-tone="main" onClick=${() => createToken(tokens.again)}>Make a token</button>`}>
    <div class="filters">
      <${SearchFilter} path=${PATH} query=${query} name="token" label="Search" placeholder="name or id" class="grow" />
      <${ChoiceFilter} path=${PATH} query=${query} name="role" label="Role" options=${[["", "All"], ...ROLES.map(([role]) => [role, capital(role)])]} />
      <${ChoiceFilter} path=${PATH} query=${query} name="ended" label="Show" options=${[["", "Valid ones"], ["yes", "Ended ones, too"]]} />
    </div>
    <${Loaded} of=${tokens}>
      ${(data) => html`<${Table}
        caption="Tokens"
        columns=${tokenColumns(tokens.again)}
        rows=${data.tokens.filter(fits).reverse()}
        id=${(token) => token.token_id}
        empty=${html`<${Empty} title="No token matches."><a href=${`${PATH}?ended=yes`}>All tokens</a><//>`}
      />`}
    <//>
  <//>`;
}

/* Audit */

function Target({ value, action }) {
  if (!value) return html`<span class="none">–</span>`;
  if (!UUID.test(value)) return html`<${Text} value=${value} />`;
  const id = html`<${Id} value=${value} short />`;
  return action.startsWith("job_") ? html`<a href=${jobPage(value)}>${id}</a>` : id;
}

function detailOf(detail) {
  return Object.entries(detail ?? {})
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("; ");
}

const AUDIT_COLUMNS = [
  { key: "at", label: "When", class: "fixed", cell: (each) => html`<${Ago} at=${each.at} />` },
  {
    key: "what",
    label: "What",
    head: true,
    cell: (each) => html`<span class="row-main"><strong>${capital(each.action)}</strong><span class="row-sub narrow"><${Text} value=${each.actor} /></span></span>`,
  },
  { key: "target", label: "To", cell: (each) => html`<${Target} value=${each.target} action=${each.action} />` },
  { key: "actor", label: "Who", wide: true, cell: (each) => html`<${Text} value=${each.actor} />` },
  { key: "detail", label: "Details", wide: true, cell: (each) => html`<${Text} value=${detailOf(each.detail)} />` },
];

function Audit({ query }) {
  const asked = Object.fromEntries([...AUDIT, "cursor"].map((name) => [name, query[name]]));
  const audit = useResource("/audit", asked, { every: 10000 });
  const filtered = AUDIT.some((name) => query[name]);
  return html`<${Panel} title="Audit log" id="audit" note="who steered what; newest first">
    <div class="filters">
      <${SearchFilter} path=${PATH} query=${query} name="actor" label="Who" placeholder="exact name" class="grow" />
      <${SearchFilter} path=${PATH} query=${query} name="action" label="What" placeholder="such as token_create" class="grow" />
      <${SearchFilter} path=${PATH} query=${query} name="target" label="To" placeholder="id or name" class="grow" />
    </div>
    <${Loaded} of=${audit}>
      ${(data) => html`<${Table}
          caption="Audit log"
          columns=${AUDIT_COLUMNS}
          rows=${data.entries}
          id=${(each) => `${each.at} ${each.actor} ${each.action} ${each.target ?? ""}`}
          empty=${filtered
            ? html`<${Empty} title="Nothing matches the filter."><a href=${PATH}>The whole log</a><//>`
            : html`<${Empty} title="Nobody has steered anything yet.">Orders, credentials, tokens and changed settings are written down here.<//>`}
        />
        ${(query.cursor || data.next_cursor) && html`<${Pages} first=${query.cursor && changed(PATH, query, {})} next=${data.next_cursor && address(PATH, { ...query, cursor: data.next_cursor })} />`}`}
    <//>
  <//>`;
}

/** The screen. */
export function View({ query, session }) {
  const admin = mayOperate(session);
  return html`<${Head} title="Access" lead="Who may talk to the service, and who did what" />
    <div class="stack">
      ${admin ? html`<${Tokens} query=${query} />` : html`<${Empty} title="Tokens are shown to admins.">Sign in with that role: crawlsock token login --role admin<//>`}
      ${session.role !== "webapp" && html`<${Audit} query=${query} />`}
    </div>`;
}
