// What is common to the screens of failures.
//
// The law: a group is named by its fingerprint and its account together; retrying a group retries what is failed now.

import { actOnAll } from "./actions.js";
import { address } from "./address.js";
import { counted, words } from "./format.js";
import { html } from "./lib.js";
import { Badge } from "./ui/badge.js";

export const CATEGORIES = [
  "network",
  "rate_limit",
  "authentication",
  "permission",
  "not_found",
  "server_error",
  "data",
  "storage",
  "configuration",
  "crawler",
  "internal",
];

const TONES = { info: "info", warning: "warn", error: "bad", critical: "bad" };

/** How bad it is, as a badge. */
export function Severity({ value }) {
  return html`<${Badge} tone=${TONES[value] ?? "quiet"}>${words(value)}<//>`;
}

/** The page of a group. */
export function groupPage(group) {
  return address(`/failures/${encodeURIComponent(group.fingerprint)}`, { account: group.account });
}

/** The filter of the jobs that are failed now with this error. */
export function failedWith(group) {
  return { error: group.fingerprint, account: group.account, states: ["failed"] };
}

/** Ask, and retry all jobs of a group. */
export function retryGroup(group) {
  return actOnAll("retry", failedWith(group), { count: group.failed_now, title: `Retry ${counted(group.failed_now, "job")} that failed so?` });
}
