// The tree below a job: thousands of rows, of which only those in sight are drawn; children are read when they are opened.

import { get, part } from "../../api.js";
import { address, jobPage } from "../../address.js";
import { counted, percent, rate, words } from "../../format.js";
import { applyEvents, asking, pagesOf, plant, refused, rows as flatten, take, toggle, wanted } from "../../forest.js";
import { STATES, subject, toneOf } from "../../jobs.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib.js";
import { isPaused, listen } from "../../live.js";
import { exact, isNumber, total } from "../../numbers.js";
import { visible as plain } from "../../plain.js";
import { go } from "../../router.js";
import { StateBadge } from "../../ui/badge.js";
import { Panel } from "../../ui/panel.js";
import { Bar } from "../../ui/progress.js";
import { Empty } from "../../ui/states.js";
import { Text } from "../../ui/text.js";

const HEIGHT = 36; // of a row, in css/screens.css too
const PAGE = 100;
const AROUND = 8;
const REFRESH = 2500;

function summary(below) {
  const parts = STATES.filter((state) => Number(below.jobs[state] ?? 0)).map((state) => `${exact(below.jobs[state])} ${words(state)}`);
  return `${counted(total(Object.values(below.jobs)), "job")}: ${parts.join(", ")}`;
}

function Row({ row, at, top, active, flip, again }) {
  const style = { transform: `translateY(${top}px)`, paddingLeft: `${(Math.min(row.depth, 12) - 1) * 1.125 + 0.25}rem` };
  if (row.kind !== "job") {
    return html`<div class="tree-row" style=${style} role="none">
      ${row.kind === "problem" ? html`<span class="bad"><${Text} value=${row.problem.message} /></span> <button type="button" class="link" onClick=${again}>Try again</button>` : html`<span class="quiet">Reading…</span>`}
    </div>`;
  }
  const { job } = row;
  const below = job.below ?? { jobs: {}, descendants: 0 };
  const failed = Number(below.jobs.failed ?? 0);
  const known = isNumber(below.percent);
  const name = plain(subject(job) || job.job_id);
  return html`<div
    class="tree-row"
    id=${`tree-${job.job_id}`}
    role="treeitem"
    aria-level=${row.depth}
    aria-expanded=${row.leaf ? undefined : String(row.open)}
    aria-selected=${String(active)}
    aria-label=${`${name}, ${words(job.state)}${row.leaf ? "" : `, ${counted(below.descendants, "job")} below`}${known ? `, ${percent(below.percent)}` : ""}`}
    data-active=${active ? "" : undefined}
    style=${style}
    onMouseDown=${() => at()}
  >
    <button type="button" class="twist" tabindex="-1" aria-hidden="true" data-open=${row.open ? "" : undefined} disabled=${row.leaf} onClick=${flip}></button>
    <a class="tree-name" tabindex="-1" href=${jobPage(job.job_id)} title=${name}><${Text} value=${row.name} cut=${true} /></a>
    <span class="tree-state"><${StateBadge} job=${job} /></span>
    <span class="tree-bar" title=${summary(below)}
      ><${Bar} value=${known ? Number(below.percent) / 100 : job.state === "running" ? null : 0} tone=${toneOf(below.jobs)} label=${known ? percent(below.percent) : "not known how far"} /><span class="num">${known ? percent(below.percent) : ""}</span></span
    >
    <span class="tree-count num">${row.leaf ? "" : counted(below.descendants, "job")}${failed && !row.leaf ? html` <span class="bad">${exact(failed)} failed</span>` : ""}</span>
    <span class="tree-rate num">${isNumber(below.rate) && Number(below.rate) > 0 ? rate(below.rate) : ""}</span>
  </div>`;
}

// Reads what is in sight; keeps what was read fresh while events come.
function useForest(top, path) {
  const [forest, set] = useState(() => plant(top, path));
  const latest = useRef(forest);
  latest.current = forest;
  const update = (change) => {
    latest.current = change(latest.current);
    set(latest.current);
  };
  const stop = useMemo(() => new AbortController(), [top]);
  useEffect(() => () => stop.abort(), [stop]);
  const read = async (parent, cursor) => {
    update((before) => asking(before, parent));
    try {
      const page = await get(`/jobs/${part(parent)}/tree`, { limit: PAGE, cursor }, stop.signal);
      update((before) => take(before, parent, cursor, page));
    } catch (problem) {
      if (!stop.signal.aborted) update((before) => refused(before, parent, problem));
    }
  };
  return { forest, update, read, stop };
}

/** The panel. `job`: the one at the top. */
export function Tree({ job }) {
  const { forest, update, read, stop } = useForest(job.job_id, job.namespace_path);
  const list = useMemo(() => flatten(forest), [forest]);
  const box = useRef(null);
  const [view, setView] = useState({ from: 0, until: 40 });
  const [active, setActive] = useState(null);
  const inSight = list.slice(view.from, view.until);
  const sight = useRef(inSight);
  sight.current = inSight;

  const measure = () => {
    const element = box.current;
    if (!element) return;
    const from = Math.max(0, Math.floor(element.scrollTop / HEIGHT) - AROUND);
    const until = Math.ceil((element.scrollTop + element.clientHeight) / HEIGHT) + AROUND;
    setView((before) => (before.from === from && before.until === until ? before : { from, until }));
  };
  useLayoutEffect(measure, [list.length]);
  useEffect(() => {
    for (const { parent, cursor } of wanted(forest, inSight)) read(parent, cursor);
  }, [forest, view]);

  useEffect(() => {
    let timer = null;
    let dirty = false;
    let pace = REFRESH;
    const refresh = async () => {
      timer = null;
      if (!dirty || document.hidden || isPaused() || stop.signal.aborted) return;
      dirty = false;
      const began = Date.now();
      for (const { parent, cursor } of pagesOf(sight.current)) {
        try {
          const page = await get(`/jobs/${part(parent)}/tree`, { limit: PAGE, cursor }, stop.signal);
          update((before) => take(before, parent, cursor, page));
        } catch {
          return; // what is shown stays; the next event tries again
        }
      }
      // What costs the server much is asked for less often.
      pace = Math.max(REFRESH, 10 * (Date.now() - began));
      if (dirty) timer ??= setTimeout(refresh, pace);
    };
    const soon = () => {
      dirty = true;
      timer ??= setTimeout(refresh, pace);
    };
    const end = listen({
      events: ({ events, gap }) => {
        if (!gap) update((before) => applyEvents(before, events));
        soon();
      },
      reset: soon,
    });
    document.addEventListener("visibilitychange", soon);
    return () => {
      end();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", soon);
    };
  }, [stop]);

  const reveal = (index) => {
    const element = box.current;
    const top = index * HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + HEIGHT > element.scrollTop + element.clientHeight) element.scrollTop = top + HEIGHT - element.clientHeight;
  };
  const moveTo = (index) => {
    const jobs = list.map((row, i) => [row, i]).filter(([row]) => row.kind === "job");
    if (!jobs.length) return;
    const near = jobs.reduce((best, each) => (Math.abs(each[1] - index) < Math.abs(best[1] - index) ? each : best));
    setActive(near[0].key);
    reveal(near[1]);
  };
  const key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const index = list.findIndex((row) => row.key === active);
    const row = list[index];
    const page = Math.max(1, Math.floor(box.current.clientHeight / HEIGHT) - 1);
    const moves = { ArrowDown: index + 1, ArrowUp: index < 0 ? 0 : index - 1, Home: 0, End: list.length - 1, PageDown: index + page, PageUp: index - page };
    if (event.key in moves) moveTo(moves[event.key]);
    else if (event.key === "ArrowRight" && row) {
      if (!row.leaf && !row.open) update((before) => toggle(before, row.key, true));
      else moveTo(index + 1);
    } else if (event.key === "ArrowLeft" && row) {
      if (row.open) update((before) => toggle(before, row.key, false));
      else moveTo(Math.max(0, list.findIndex((each) => each.key === row.parent)));
    } else if (event.key === "Enter" && row) go(jobPage(row.key));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const nothing = list.length === 0;
  const direct = job.children ? total(Object.values(job.children)) : undefined;
  return html`<${Panel} title="Jobs below it" id="tree" note=${direct !== undefined ? counted(direct, "child", "children") : null}
    actions=${html`<a href=${address("/jobs", { parent_id: job.job_id })}>As a list</a>`}>
    ${
      nothing
        ? html`<${Empty} title="It has found no other jobs.">What it finds appears here.<//>`
        : html`<div class="tree" role="tree" tabindex="0" aria-label="Jobs below this one" ref=${box} onScroll=${measure} onKeyDown=${key}
            aria-activedescendant=${active && inSight.some((row) => row.key === active) ? `tree-${active}` : undefined} onFocus=${() => active ?? moveTo(0)}>
            <div class="tree-space" role="none" style=${{ height: `${list.length * HEIGHT}px` }}>
              ${inSight.map(
                (row, i) => html`<${Row} key=${row.key} row=${row} top=${(view.from + i) * HEIGHT} active=${row.key === active}
                  at=${() => setActive(row.key)} flip=${() => update((before) => toggle(before, row.key))} again=${() => read(row.parent, forest.nodes.get(row.parent)?.next ?? "")} />`,
              )}
            </div>
          </div>`
    }
  <//>`;
}
