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

const OPTIONS = {
  states: "--state",
  type: "--type",
  account: "--account",
  host: "--host",
  root_id: "--root",
  parent_id: "--parent",
  crawler_id: "--crawler",
  error: "--error",
  search: "--search",
  created_after: "--created-after",
  created_before: "--created-before",
};

function options(filter) {
  return Object.entries(filter).flatMap(([name, value]) => [value].flat().flatMap((each) => [OPTIONS[name], each]));
}

/** The line that lists the jobs of a filter. */
export function jobs(filter) {
  return line("crawlsock", "jobs", options(filter));
}

/** The line that does something to all jobs of a filter. */
export function controlAll(verb, filter, reason = "") {
  return line("crawlsock", verb, "--all", options(filter), reason ? ["--reason", reason] : []);
}
