// Filters whose values stand in the address, and fields of dialogs.

import { address } from "../address.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { go } from "../router.js";

const SETTLE = 300;

/** Return the address of `path` with part of its query changed; the place in a list (`cursor`) is left. */
export function changed(path, { cursor, ...query }, part) {
  return address(path, { ...query, ...part });
}

/** A field of a filter: what is typed goes into the address a moment later, without a new entry in the history. */
export function SearchFilter({ path, query, name, label, placeholder, class: extra = "" }) {
  const now = query[name] ?? "";
  const [text, setText] = useState(now);
  const sent = useRef(now);
  const timer = useRef(null);
  useEffect(() => {
    if (now === sent.current) return;
    // It was changed elsewhere: by a link, or by going back.
    sent.current = now;
    setText(now);
  }, [now]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const put = (value) => {
    clearTimeout(timer.current);
    if (value === sent.current) return;
    sent.current = value;
    go(changed(path, query, { [name]: value }), { replace: true, keep: true });
  };
  const type = (event) => {
    const { value } = event.currentTarget;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => put(value.trim()), SETTLE);
  };
  return html`<label class=${`field ${extra}`}
    >${label}<input
      type="search"
      name=${name}
      maxlength="512"
      spellcheck="false"
      autocomplete="off"
      placeholder=${placeholder}
      value=${text}
      onInput=${type}
      onKeyDown=${(event) => event.key === "Enter" && put(event.currentTarget.value.trim())}
  /></label>`;
}

/** A choice of a filter. `options`: pairs of a value and words; "" is no filter. */
export function ChoiceFilter({ path, query, name, label, options }) {
  const now = query[name] ?? "";
  const shown = options.some(([value]) => value === now) ? options : [...options, [now, now]];
  return html`<label class="field"
    >${label}<select name=${name} value=${now} onChange=${(event) => go(changed(path, query, { [name]: event.currentTarget.value }), { keep: true })}>
      ${shown.map(([value, words]) => html`<option key=${value} value=${value} selected=${value === now}>${words}</option>`)}
    </select></label
  >`;
}

/** A field of a dialog's form, with what it is for under it. */
export function Field({ label, hint, id, ...input }) {
  const about = hint ? `${id}-hint` : undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} type="text" aria-describedby=${about} autocomplete="off" spellcheck="false" ...${input} />
    ${hint && html`<span id=${about}>${hint}</span>`}
  </div>`;
}

/** A choice of a dialog's form. */
export function Choice({ label, hint, id, options, value, onChange }) {
  const about = hint ? `${id}-hint` : undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} aria-describedby=${about} value=${value} onChange=${onChange}>
      ${options.map(([each, words]) => html`<option key=${each} value=${each} selected=${each === value}>${words}</option>`)}
    </select>
    ${hint && html`<span id=${about}>${hint}</span>`}
  </div>`;
}

/** Turn what a field `datetime-local` holds (the reader's own time) into a moment of the protocol; "" stays "". */
export function momentOf(local) {
  if (!local) return "";
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString().replace(/\.\d+Z$/, "Z");
}
