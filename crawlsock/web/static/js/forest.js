// The tree below a job, as far as it was opened: pages of children, read when somebody looks.
//
// The law: (forest, what came) -> forest; no DOM, no network. Children stand in the order in which they were made, so a page
// that was read once keeps its place, and new ones come at the end. Flattened, it is a list of rows for the screen.

import { subject } from "./jobs.js";
import { applyToJob } from "./reduce.js";

/** A forest where only the children of `top` are open, and none has been read. `path` is the namespace path of `top`. */
export function plant(top, path = "") {
  return { top, path, nodes: new Map(), open: new Set([top]) };
}

function withNode(forest, parent, change) {
  const nodes = new Map(forest.nodes);
  nodes.set(parent, change(nodes.get(parent) ?? { pages: [], next: "", loading: false, problem: null }));
  return { ...forest, nodes };
}

/** Open or close a node. */
export function toggle(forest, id, on = !forest.open.has(id)) {
  const open = new Set(forest.open);
  if (on) open.add(id);
  else open.delete(id);
  return { ...forest, open };
}

/** Note that the next page of a node is being read. */
export function asking(forest, parent) {
  return withNode(forest, parent, (node) => ({ ...node, loading: true, problem: null }));
}

/** Note that it could not be read. */
export function refused(forest, parent, problem) {
  return withNode(forest, parent, (node) => ({ ...node, loading: false, problem }));
}

/** Take a page that was read with `cursor` ("": the first), new or read again. */
export function take(forest, parent, cursor, { children, next_cursor: next }) {
  return withNode(forest, parent, (node) => {
    const at = node.pages.findIndex((page) => page.cursor === cursor);
    const page = { cursor, children };
    const pages = at < 0 ? [...node.pages, page] : node.pages.map((each, i) => (i === at ? page : each));
    const last = at < 0 || at === node.pages.length - 1;
    return { ...node, pages, loading: false, problem: null, ...(last && { next: next ?? null }) };
  });
}

/** Apply events to all children that were read; what a job is changes at once, what is below it when it is read again. */
export function applyEvents(forest, events) {
  const of = new Map();
  for (const event of events) if (event.job_id) of.set(event.job_id, [...(of.get(event.job_id) ?? []), event]);
  let touched = false;
  const nodes = new Map();
  for (const [parent, node] of forest.nodes) {
    let changed = false;
    const pages = node.pages.map((page) => {
      let here = false;
      const children = page.children.map((child) => {
        const after = (of.get(child.job_id) ?? []).reduce(applyToJob, child);
        here ||= after !== child;
        return after;
      });
      changed ||= here;
      return here ? { ...page, children } : page;
    });
    touched ||= changed;
    nodes.set(parent, changed ? { ...node, pages } : node);
  }
  return touched ? { ...forest, nodes } : forest;
}

// Below acme/web, acme/web/api is api: what every row begins with tells nothing.
function within(name, path) {
  return path && name.startsWith(`${path}/`) && name.length > path.length + 1 ? name.slice(path.length + 1) : name;
}

/**
 * Flatten to rows, in the order in which they stand: `{kind: "job", job, name, depth, parent, cursor, open, leaf}`, and
 * `{kind: "more" | "loading" | "problem", parent, depth}` where a node has more than was read.
 */
export function rows(forest) {
  const list = [];
  const walk = (parent, depth, path) => {
    const node = forest.nodes.get(parent);
    if (!node) {
      list.push({ kind: "loading", parent, depth, key: `${parent}:loading` });
      return;
    }
    for (const page of node.pages) {
      for (const job of page.children) {
        const leaf = Number(job.below?.descendants ?? 0) === 0;
        const open = !leaf && forest.open.has(job.job_id);
        list.push({ kind: "job", job, name: within(subject(job) || job.job_id, path), depth, parent, cursor: page.cursor, open, leaf, key: job.job_id });
        if (open) walk(job.job_id, depth + 1, job.namespace_path);
      }
    }
    if (node.problem) list.push({ kind: "problem", parent, depth, problem: node.problem, key: `${parent}:problem` });
    else if (node.loading && !node.pages.length) list.push({ kind: "loading", parent, depth, key: `${parent}:loading` });
    else if (node.next) list.push({ kind: "more", parent, depth, cursor: node.next, loading: node.loading, key: `${parent}:more` });
  };
  walk(forest.top, 1, forest.path);
  return list;
}

/** What must be read for these rows to be whole: `{parent, cursor}` of nodes without a page, and of the next page in sight. */
export function wanted(forest, visible) {
  const asks = [];
  for (const row of visible) {
    const node = forest.nodes.get(row.parent);
    if (row.kind === "loading" && !node) asks.push({ parent: row.parent, cursor: "" });
    if (row.kind === "more" && !node?.loading) asks.push({ parent: row.parent, cursor: row.cursor });
  }
  return asks;
}

/** The pages that stand in these rows, each once: what is read again to be fresh. */
export function pagesOf(visible) {
  const seen = new Map();
  for (const row of visible) if (row.kind === "job") seen.set(`${row.parent} ${row.cursor}`, { parent: row.parent, cursor: row.cursor });
  return [...seen.values()];
}
