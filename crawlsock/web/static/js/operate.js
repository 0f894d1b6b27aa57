// The command lines of what operators do. Where `crawlsock` has no command for something, the line is one of curl, with the
// same request. TOKEN stands for a token of the reader's.
//
// The law: whatever is put into a line is quoted; a secret never is in one. No DOM.

import { line, quote } from "./commands.js";
import { writeExact } from "./numbers.js";

/** The line of curl that sends one request. */
export function curl(method, path, body, origin = globalThis.location?.origin ?? "https://SERVER") {
  const words = ["curl", ...(method === "GET" ? [] : ["-X", method]), quote(`${origin}/api/v1${path}`), "-H 'Authorization: Bearer TOKEN'"];
  if (body !== undefined) words.push("-H 'Content-Type: application/json'", "-d", quote(writeExact(body)));
  return words.join(" ");
}

const because = (reason) => (reason ? ["--reason", reason] : []);

export const crawlerOrder = (command, crawler, reason) => line("crawlsock", "crawlers", command, crawler, because(reason));

export const queueOrder = (verb, type, reason) => line("crawlsock", "queue", verb, type, verb === "pause" ? because(reason) : []);

/** The line that queues again what is failed now with one kind of error. */
export const retryErrors = (group) => line("crawlsock", "retry", "--error", group.fingerprint, "--account", group.account, "--state", "failed");

export const configSet = (name, value) => line("crawlsock", "config", "set", name, value);

export const tokenRevoke = (id) => line("crawlsock", "token", "revoke", id);

export function tokenCreate({ role, name, accounts = [], expires_at: expires }) {
  const words = ["crawlsock", "token", "create", role, "--name", name, accounts.map((each) => ["--account", each]).flat()];
  return line(words.flat(), expires ? ["--expires-at", expires] : []);
}

/** The line that puts a credential: secrets come from files, never from the line. */
export function credentialPut({ account, host, kind, expires_at: expires, client_id: client, token_url: url, refresh_token: refresh, client_secret: secret }) {
  const oauth = kind === "oauth";
  return line(
    ["crawlsock", "account", "put", account, "--host", host, "--kind", kind, "--access-token-file", "access.txt"],
    oauth && refresh ? ["--refresh-token-file", "refresh.txt"] : [],
    oauth && client ? ["--client-id", client] : [],
    oauth && secret ? ["--client-secret-file", "secret.txt"] : [],
    expires ? ["--expires-at", expires] : [],
    oauth && url ? ["--token-url", url] : [],
  );
}
