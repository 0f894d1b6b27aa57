// The dashboard. Entry point: it puts the modules together and chooses the screen.
//
// How to add a screen:
//
// 1. Write `screens/<name>.js`. Its exports:
//      title(params)            the words of the window's title, while the screen is loading and after
//      stream(params, query)    what of the event stream it wants ({kinds, job_id, root_id, account}, {} for all), or null;
//                               left out, the View calls `follow` (live.js) itself
//      View({params, query, session})  a component. `params` from the path, `query` from the address (both strings)
// 2. Add a line to SCREENS below, a link to `templates/base.html`, and its path to `pages.py`.
//
// In a View: read with `useResource` (resource.js), change with `api.post` and `act` (actions.js); put filters into the address
// with `go(address(path, query))` (router.js, address.js); show with the components of `ui/`. Texts of others only through
// `Text`; numbers from the server may be BigInt: write them with `exact` or `short`, add them with `plus`; ages with `Ago`.
// No style in markup (the CSP forbids it): classes of `css/`, or a style object, which Preact sets through the CSSOM.
// `session` is `{role, name, accounts?}` of the reader: leave out what the role may not do.

import { go, place, startRouter } from "./router.js";
import { bind, startKeys } from "./keys.js";
import { html, render, useEffect, useErrorBoundary, useState } from "./lib.js";
import { follow } from "./live.js";
import { nextTheme, showKeys, startShell, togglePause } from "./shell.js";
import { useStore } from "./store.js";
import { title as capital } from "./format.js";
import { Empty, Loading } from "./ui/states.js";
import { intoSight } from "./ui/tabs.js";
import { announce, dismissLast } from "./ui/toast.js";

const SCREENS = [
  { path: "/", key: "o", label: "Overview", load: () => import("./screens/overview.js") },
  { path: "/jobs", key: "j", label: "Jobs", load: () => import("./screens/jobs.js") },
  { path: "/jobs/:job_id", load: () => import("./screens/job.js") },
  { path: "/crawlers", key: "c", label: "Crawlers", load: () => import("./screens/crawlers.js") },
  { path: "/failures", key: "f", label: "Failures", load: () => import("./screens/failures.js") },
  { path: "/failures/:fingerprint", load: () => import("./screens/failure.js") },
  { path: "/accounts", key: "a", label: "Accounts and limits", load: () => import("./screens/accounts.js") },
  { path: "/events", key: "e", label: "Events", load: () => import("./screens/events.js") },
  { path: "/system", key: "s", label: "System", load: () => import("./screens/system.js") },
  { path: "/access", key: "x", label: "Access", load: () => import("./screens/access.js") },
];

const NAME = "crawlsock";
const RENEWED = "crawlsock.renewed";
const { dataset } = document.body;
const session = Object.freeze({
  role: dataset.role,
  name: dataset.name,
  accounts: dataset.accounts ? JSON.parse(dataset.accounts) : undefined,
});

const loaded = new Map();

// A module that is not there any more: the server has been renewed under this page. Loading the page again gets the new one.
function renewed(error) {
  console.error(error);
  if (sessionStorage.getItem(RENEWED) === location.href) return;
  sessionStorage.setItem(RENEWED, location.href);
  location.reload();
}

function useModule(screen) {
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!screen || loaded.has(screen.path)) return;
    screen.load().then(
      (module) => {
        loaded.set(screen.path, module);
        sessionStorage.removeItem(RENEWED);
        redraw((count) => count + 1);
      },
      (error) => {
        renewed(error);
        loaded.set(screen.path, null);
        redraw((count) => count + 1);
      },
    );
  }, [screen]);
  return screen && loaded.get(screen.path);
}

function Broken({ error, again }) {
  return html`<div class="failed" role="alert">
    <p class="empty-title">This screen has a fault of its own.</p>
    <p class="empty-next">Load the page again. If it comes back, please report it with these words: ${String(error?.message ?? error)}</p>
    <button type="button" class="button" onClick=${again}>Try again</button>
  </div>`;
}

function Guarded({ module, where }) {
  const [error, again] = useErrorBoundary((fault) => console.error(fault));
  if (error) return html`<${Broken} error=${error} again=${again} />`;
  return html`<${module.View} params=${where.params} query=${where.query} session=${session} />`;
}

function Screen() {
  const where = useStore(place);
  const module = useModule(where.screen);
  // The stream is opened before the screen reads: what happens in between comes as an event.
  if (module?.stream) follow(module.stream(where.params, where.query));
  useEffect(() => {
    const name = module?.title?.(where.params) ?? where.screen?.label ?? "Not found";
    document.title = `${name} · ${NAME}`;
    for (const link of document.querySelectorAll("#nav a")) {
      const own = link.getAttribute("href");
      const here = own === where.path || (own !== "/" && where.path.startsWith(`${own}/`));
      if (here) {
        link.setAttribute("aria-current", "page");
        intoSight(link);
      } else {
        link.removeAttribute("aria-current");
      }
    }
  }, [module, where]);
  useEffect(() => {
    if (where.visit <= 1 || !module) return;
    // A screen that is still being read has no heading yet.
    (document.querySelector("#app h1") ?? document.getElementById("main")).focus({ preventScroll: true });
    announce(document.title);
  }, [module, where.path]);
  if (!where.screen) return html`<${Empty} title="There is no such page.">The address is wrong, or from another version. <a href="/">Overview</a><//>`;
  if (module === null) return html`<${Empty} title="This screen could not be loaded.">Load the page again.<//>`;
  if (!module) return html`<${Loading} />`;
  return html`<${Guarded} key=${where.screen.path} module=${module} where=${where} />`;
}

// The server's own rendering stays until the first screen has something better to show.
function takeOver() {
  const server = document.getElementById("server");
  const app = document.getElementById("app");
  const show = () => {
    observer.disconnect();
    clearTimeout(latest);
    server.remove();
    app.hidden = false;
    for (const link of app.querySelectorAll(".tabs [aria-current]")) intoSight(link);
  };
  const observer = new MutationObserver(() => app.querySelector(".loading") || show());
  observer.observe(app, { childList: true, subtree: true });
  const latest = setTimeout(show, 3000);
}

startRouter(SCREENS);
startShell();
startKeys();
bind("Everywhere", {
  "?": { label: "This map", run: showKeys },
  "/": { label: "Search", run: search },
  p: { label: "Hold the page, or go on", run: togglePause },
  t: { label: "Next theme", run: nextTheme },
  Escape: { label: "Close a message", run: dismissLast },
});
bind(
  "Go to",
  Object.fromEntries(SCREENS.filter((screen) => screen.key).map((screen) => [`g ${screen.key}`, { label: capital(screen.label), run: () => go(screen.path) }])),
);

function search() {
  const field = document.querySelector("#app input[type=search]");
  if (field) field.select();
  else go("/jobs");
  field?.focus();
}

takeOver();
render(html`<${Screen} />`, document.getElementById("app"));
