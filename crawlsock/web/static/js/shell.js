// What stands around every screen: the indicator of the live stream, theme, help. The frame itself is HTML of the server
// (templates/base.html); this fills its slots.

import { coarse, absolute } from "./format.js";
import { bindings } from "./keys.js";
import { html, render } from "./lib.js";
import { isPaused, liveState, pause } from "./live.js";
import { keysOn, theme, THEMES } from "./preferences.js";
import { useStore } from "./store.js";
import { Dialogs, openDialog } from "./ui/dialog.js";
import { announce, Toasts } from "./ui/toast.js";
import { useSecond } from "./ui/time.js";

const SAYS = {
  idle: ["Not live", "This screen does not follow events."],
  connecting: ["Connecting", "The event stream is being opened."],
  live: ["Live", "Changes appear as they happen."],
  paused: ["Paused", "What you see is held. Press to go on; what was missed is read then."],
  reconnecting: ["Reconnecting", "The server cannot be reached. This page tries again by itself and misses nothing."],
};

function Live() {
  useSecond();
  const { state, at } = useStore(liveState);
  const [word, hint] = SAYS[state];
  const age = at === null ? null : Math.max(0, (Date.now() - at) / 1000);
  const old = age !== null && (state !== "live" || age >= 2);
  const button = state === "paused" ? "Go on" : "Pause";
  return html`<div class="live" data-state=${state} title=${`${hint}${at ? ` Last heard ${absolute(at)}.` : ""}`}>
    <span class="live-word">${word}</span>
    <span class="live-age">${!old ? "" : state === "live" ? `heard ${coarse(age)} ago` : `data ${coarse(age)} old`}</span>
    <button type="button" class="button small" disabled=${state === "idle"} aria-pressed=${state === "paused"} onClick=${togglePause}>${button}</button>
  </div>`;
}

/** Hold the page, or go on. */
export function togglePause() {
  pause();
  announce(isPaused() ? "Paused" : "Live again");
}

const NAMES = { auto: "Automatic", light: "Light", dark: "Dark" };

/** Go on to the next theme. */
export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length];
  theme.set(next);
  announce(`Theme: ${NAMES[next]}`);
}

function Tools() {
  const chosen = useStore(theme);
  return html`<label class="theme"
      ><span class="sr">Theme</span
      ><select value=${chosen} onChange=${(event) => theme.set(event.currentTarget.value)}>
        ${THEMES.map((name) => html`<option key=${name} value=${name}>${NAMES[name]}</option>`)}
      </select></label
    ><button type="button" class="button small" onClick=${showKeys} aria-keyshortcuts="?" title="Keyboard (?)">?<span class="sr"> Keyboard map</span></button>`;
}

function Keys({ close }) {
  const groups = useStore(bindings);
  const on = useStore(keysOn);
  return html`<h2>Keyboard</h2>
    <div class="keys">
      ${groups.map(
        (group) => html`<section key=${group.title}>
          <h3>${group.title}</h3>
          <dl>${Object.entries(group.keys).map(([key, { label }]) => html`<div key=${key}><dt>${key.split(" ").map((each) => html`<kbd>${each}</kbd>`)}</dt><dd>${label}</dd></div>`)}</dl>
        </section>`,
      )}
    </div>
    <label class="check"><input type="checkbox" checked=${on} onChange=${(event) => keysOn.set(event.currentTarget.checked)} /> Single keys do something</label>
    <div class="dialog-actions"><button type="button" class="button" data-tone="main" autofocus onClick=${() => close()}>Close</button></div>`;
}

/** Show the keyboard map. */
export function showKeys() {
  openDialog(Keys, "Keyboard map");
}

/** Fill the slots of the frame. */
export function startShell() {
  render(html`<${Live} />`, document.getElementById("live"));
  render(html`<${Tools} />`, document.getElementById("tools"));
  render(html`<${Toasts} /><${Dialogs} />`, document.getElementById("overlays"));
  const mark = ({ state }) => {
    document.documentElement.dataset.live = state;
  };
  let before = liveState.get().state;
  mark(liveState.get());
  liveState.watch((now) => {
    mark(now);
    if (now.state !== before && now.state === "reconnecting") announce("The server cannot be reached; reconnecting");
    if (now.state === "live" && before === "reconnecting") announce("Live again");
    before = now.state;
  });
}
