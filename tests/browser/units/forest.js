import { applyEvents, asking, pagesOf, plant, refused, rows, take, toggle, wanted } from "/static/js/forest.js";
import { equal, ok, random } from "./check.js";

const child = (id, descendants = 0, more = {}) => ({ job_id: id, state: "queued", attempt: 0, below: { jobs: {}, descendants }, ...more });
const shown = (forest) => rows(forest).map((row) => (row.kind === "job" ? `${"-".repeat(row.depth)}${row.job.job_id}` : `${"-".repeat(row.depth)}(${row.kind})`));

export const units = {
  "a tree that was not read asks for its first page": () => {
    const forest = plant("top");
    equal(shown(forest), ["-(loading)"]);
    equal(wanted(forest, rows(forest)), [{ parent: "top", cursor: "" }]);
    equal(wanted(asking(forest, "top"), rows(asking(forest, "top"))), []);
  },
  "children stand below what was opened, and more is asked for where it is in sight": () => {
    let forest = take(plant("top"), "top", "", { children: [child("a", 2), child("b")], next_cursor: "2" });
    equal(shown(forest), ["-a", "-b", "-(more)"]);
    equal(wanted(forest, rows(forest)), [{ parent: "top", cursor: "2" }]);
    forest = toggle(forest, "a");
    equal(shown(forest), ["-a", "--(loading)", "-b", "-(more)"]);
    forest = take(forest, "a", "", { children: [child("a1"), child("a2")] });
    equal(shown(forest), ["-a", "--a1", "--a2", "-b", "-(more)"]);
    forest = take(forest, "top", "2", { children: [child("c")] });
    equal(shown(forest), ["-a", "--a1", "--a2", "-b", "-c"]);
    equal(shown(toggle(forest, "a")), ["-a", "-b", "-c"]);
  },
  "a leaf does not open": () => {
    const forest = toggle(take(plant("top"), "top", "", { children: [child("a")] }), "a");
    equal(shown(forest), ["-a"]);
  },
  "a page that is read again takes its own place, and only the last says what follows": () => {
    let forest = take(plant("top"), "top", "", { children: [child("a")], next_cursor: "1" });
    forest = take(forest, "top", "1", { children: [child("b")] });
    forest = take(forest, "top", "", { children: [child("a", 5)], next_cursor: "1" });
    equal(shown(forest), ["-a", "-b"]);
    equal(rows(forest)[0].leaf, false);
    forest = take(forest, "top", "1", { children: [child("b"), child("c")], next_cursor: "3" });
    equal(shown(forest), ["-a", "-b", "-c", "-(more)"]);
    equal(pagesOf(rows(forest)), [{ parent: "top", cursor: "" }, { parent: "top", cursor: "1" }]);
  },
  "what could not be read stands in its place, and what was read stays": () => {
    const forest = refused(take(plant("top"), "top", "", { children: [child("a")], next_cursor: "1" }), "top", { message: "away" });
    equal(shown(forest), ["-a", "-(problem)"]);
  },
  "an event changes the child that it is about, and gives back the very same forest when it is about none": () => {
    const forest = take(plant("top"), "top", "", { children: [child("a"), child("b")] });
    ok(applyEvents(forest, [{ kind: "job_started", job_id: "z" }]) === forest, "a new forest");
    const after = applyEvents(forest, [{ kind: "job_started", job_id: "b", attempt: 1, at: "2026-11-26T12:00:00Z" }]);
    equal(rows(after)[1].job.state, "running");
    ok(rows(after)[0].job === rows(forest)[0].job, "another child is new, too");
  },
  "a name within its parent is told without it, and any other whole": () => {
    const child_ = (path) => child(path, 0, { namespace_path: path });
    const paths = ["acme/web", "acme", "acme/", "acmeweb", "other/acme/web"];
    const forest = take(plant("top", "acme"), "top", "", { children: paths.map(child_) });
    equal(rows(forest).map((row) => row.name), ["web", "acme", "acme/", "acmeweb", "other/acme/web"]);
  },
  "whatever comes in whatever order, no child stands twice": () => {
    const next = random(11);
    for (let round = 0; round < 200; round++) {
      let forest = plant("top");
      for (let step = 0; step < 30; step++) {
        const asks = wanted(forest, rows(forest));
        const again = pagesOf(rows(forest));
        const { parent, cursor } = next() < 0.5 && again.length ? again[Math.floor(next() * again.length)] : (asks[Math.floor(next() * asks.length)] ?? { parent: "top", cursor: "" });
        const page = Number(cursor || 0);
        const children = [0, 1].map((i) => child(`${parent}.${page + i}`, next() < 0.5 ? 1 : 0));
        forest = take(forest, parent, cursor, { children, ...(page < 6 && { next_cursor: String(page + 2) }) });
        const list = rows(forest).filter((row) => row.kind === "job");
        if (list.length && next() < 0.5) forest = toggle(forest, list[Math.floor(next() * list.length)].key);
      }
      const keys = rows(forest).map((row) => row.key);
      equal(new Set(keys).size, keys.length);
    }
  },
};
