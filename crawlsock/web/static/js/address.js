// The address bar as a record of what is shown: paths to screens, and filters to queries and back.
//
// The law: the address is the only place where a filter lives, so that reload, back, a bookmark and a colleague see the
// same. Values in, values out; no DOM.

/**
 * Compile a path such as `/jobs/:job_id`.
 * @returns {(path: string) => Record<string, string> | null}
 */
export function pattern(path) {
  const names = [];
  const source = path.replace(/:([a-z_]+)/g, (whole, name) => {
    names.push(name);
    return "([^/]+)";
  });
  const expression = new RegExp(`^${source}/?$`);
  return (given) => {
    const match = expression.exec(given);
    if (!match) return null;
    try {
      return Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(match[i + 1])]));
    } catch {
      return null; // a broken escape names nothing
    }
  };
}

/** Read a query: the last of each name, without those that are empty. */
export function readQuery(search) {
  const query = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (value !== "") query[name] = value;
    else delete query[name];
  }
  return query;
}

/** Write a query with its question mark, without what is empty; lists with commas. "" for nothing at all. */
export function writeQuery(query) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    if (Array.isArray(value) && !value.length) continue;
    parts.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  const text = parts.toString().replaceAll("%2C", ",");
  return text && `?${text}`;
}

/** Build an address from a path and a query. */
export function address(path, query) {
  return path + writeQuery(query);
}

/** Read a list that stands with commas in a query. */
export function list(value) {
  return value ? value.split(",").filter(Boolean) : [];
}

/** Return the page of a job. */
export function jobPage(jobId) {
  return `/jobs/${encodeURIComponent(jobId)}`;
}
