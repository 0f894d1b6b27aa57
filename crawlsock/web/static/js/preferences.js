// What one reader has chosen, kept in this browser.
//
// The law: a choice is a convenience; without storage it lasts as long as the page.

import { makeStore } from "./store.js";

const PREFIX = "crawlsock.";
export const THEMES = ["auto", "light", "dark"];

function read(name, fallback) {
  try {
    return localStorage.getItem(PREFIX + name) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // nothing to keep it in
  }
}

/** auto, light or dark. */
export const theme = makeStore(THEMES.includes(read("theme", "auto")) ? read("theme", "auto") : "auto");

/** Whether single keys do something. */
export const keysOn = makeStore(read("keys", "on") === "on");

theme.watch((value) => {
  write("theme", value);
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
});
keysOn.watch((value) => write("keys", value ? "on" : "off"));

/** Tell whether the page is dark now. */
export function isDark() {
  return theme.get() === "dark" || (theme.get() === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
}

/** Call back when the colours change, by choice or by the system; returns what ends it. */
export function whenColoursChange(callback) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  const end = theme.watch(callback);
  return () => {
    media.removeEventListener("change", callback);
    end();
  };
}
