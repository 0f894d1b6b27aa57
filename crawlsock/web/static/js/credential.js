// Putting a credential: written once, never read again.
//
// The law: what is typed into a field of secrets goes to the server and nowhere else: not into the address, not into a
// command line, not into storage; the fields are gone with the dialog.

import { part, put, Problem } from "./api.js";
import { html, useState } from "./lib.js";
import { credentialPut } from "./operate.js";
import { visible } from "./plain.js";
import { openDialog } from "./ui/dialog.js";
import { Choice, Field, momentOf } from "./ui/form.js";
import { Command } from "./ui/panel.js";
import { Text } from "./ui/text.js";
import { toast } from "./ui/toast.js";

const KINDS = [
  ["personal", "Personal access token"],
  ["oauth", "OAuth access token"],
];

function body({ account, expires, ...fields }) {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
  if (fields.kind !== "oauth") for (const name of ["refresh_token", "client_id", "client_secret", "token_url"]) delete given[name];
  const moment = momentOf(expires);
  return { ...given, ...(moment && { expires_at: moment }) };
}

/** Ask for a credential and send it; returns whether it was stored. */
export function askCredential(known = {}) {
  return openDialog(function Credential({ close }) {
    const [fields, setFields] = useState({
      account: known.account ?? "",
      host: known.host ?? "",
      kind: known.kind ?? "personal",
      access_token: "",
      refresh_token: "",
      client_id: "",
      client_secret: "",
      token_url: "",
      expires: "",
    });
    const [problem, setProblem] = useState(null);
    const [busy, setBusy] = useState(false);
    const field = (name) => ({ id: `credential-${name}`, value: fields[name], onInput: (event) => setFields((before) => ({ ...before, [name]: event.currentTarget.value })) });
    const submit = async (event) => {
      event.preventDefault();
      setBusy(true);
      try {
        await put(`/accounts/${part(fields.account)}/credential`, body(fields));
        toast(`Stored the credential of ${visible(fields.account)}; jobs that waited for it go on`);
        close(true);
      } catch (error) {
        if (!(error instanceof Problem)) console.error(error);
        setProblem(error);
        setBusy(false);
      }
    };
    const oauth = fields.kind === "oauth";
    return html`<form onSubmit=${submit} autocomplete="off">
      <h2>${known.account ? html`Renew the credential of <${Text} value=${known.account} />` : "Put a credential"}</h2>
      <p>It is encrypted before it is stored. Nobody can read it here again; crawlers get it with their jobs.</p>
      ${!known.account && html`<${Field} label="Account" required maxlength="128" ...${field("account")} />`}
      <${Field} label="GitLab host" required maxlength="128" hint="A name, a name and port, or a URL" ...${field("host")} />
      <${Choice} label="Kind" id="credential-kind" options=${KINDS} value=${fields.kind} onChange=${field("kind").onInput} />
      <${Field} label="Access token" required maxlength="4096" ...${field("access_token")} type="password" autocomplete="new-password" />
      ${oauth &&
      html`<${Field} label="Refresh token" maxlength="4096" hint="With it crawlsock renews the access token before it expires" ...${field("refresh_token")} type="password" autocomplete="new-password" />
        <${Field} label="Client id" maxlength="4096" ...${field("client_id")} />
        <${Field} label="Client secret" maxlength="4096" ...${field("client_secret")} type="password" autocomplete="new-password" />
        <${Field} label="Token address" maxlength="1024" hint="Where to renew; /oauth/token of the host unless told" ...${field("token_url")} />`}
      <${Field} label="Expires" hint="Empty: it says nothing about that" ...${field("expires")} type="datetime-local" />
      ${problem && html`<p class="failed" role="alert"><${Text} value=${problem.message} /></p>`}
      <${Command} line=${credentialPut({ ...fields, account: fields.account || "ACCOUNT", host: fields.host || "HOST", expires_at: momentOf(fields.expires) })} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => close()}>Leave as it is</button>
        <button type="submit" class="button" data-tone="main" disabled=${busy}>${busy ? "Storing" : "Store"}</button>
      </div>
    </form>`;
  }, "Credential");
}
