// For each thing that the page can do, the command line that does the same.
//
// The law: whatever is put into a line is quoted for a POSIX shell, because names are anybody's text. No DOM.

const SAFE = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** Quote one word for a POSIX shell. */
export function quote(word) {
  const text = String(word);
  if (SAFE.test(text)) return text;
  // Control characters (a line feed would end the line that somebody pastes) as $'...' does them.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/.test(text)) {
    const inner = text.replace(/[^ -~]|['\\]/gu, (each) => {
      if (each === "'" || each === "\\") return `\\${each}`;
      const point = each.codePointAt(0);
      return point < 0x80 ? `\\x${point.toString(16).padStart(2, "0")}` : `\\U${point.toString(16).padStart(8, "0")}`;
    });
    return `$'${inner}'`;
  }
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Join words to a command line, quoting each. */
export function line(...words) {
  return words
    .flat()
    .filter((word) => word !== undefined && word !== null && word !== false)
    .map(quote)
    .join(" ");
}

/** The line that cancels, pauses, resumes or retries one job, or a tree. */
export function control(verb, jobId, { tree = false, reason = "" } = {}) {
  return line("crawlsock", verb, jobId, tree && "--tree", reason ? ["--reason", reason] : []);
}

const LISTS = { type: "--type", account: "--account", root_id: "--root", parent_id: "--parent", search: "--search" };

/** The line that lists the jobs of a filter; null when the command has no option for a part of it. */
export function jobs(filter) {
  const words = ["crawlsock", "jobs", "--all"];
  for (const [name, value] of Object.entries(filter)) {
    if (name === "states") for (const state of value) words.push("--state", state);
    else if (LISTS[name]) words.push(LISTS[name], value);
    else return null;
  }
  return line(words);
}

/** The lines that do something to all jobs of a filter. */
export function controlAll(verb, filter, reason = "", origin = "https://SERVER") {
  const listed = jobs(filter);
  if (listed) {
    const each = line("crawlsock", verb, reason ? ["--reason", reason] : []);
    return `${listed} --json | jq -r .job_id | xargs -n 1 ${each}`;
  }
  const body = JSON.stringify({ verb, filter, ...(reason && { reason }) });
  return `curl -X POST ${quote(`${origin}/api/v1/jobs/control`)} -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' -d ${quote(body)}`;
}
