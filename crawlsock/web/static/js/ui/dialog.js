// Dialogs: the browser's own <dialog>, which keeps the focus inside and gives it back.

import { html, useEffect, useRef, useState } from "../lib.js";
import { makeStore, useStore } from "../store.js";

const open = makeStore(null);

/**
 * Open a dialog; one at a time.
 * @param {(close: (result?: any) => void) => any} content a component that is given `close`
 * @param {string} label the dialog's name
 * @returns {Promise<any>} what `close` was given; undefined when it was closed by Escape
 */
export function openDialog(content, label) {
  open.get()?.close();
  return new Promise((resolve) => {
    const close = (result) => {
      open.set(null);
      resolve(result);
    };
    open.set({ content, label, close });
  });
}

/** Tell whether one is open. */
export function dialogIsOpen() {
  return open.get() !== null;
}

/** Where it stands. */
export function Dialogs() {
  const shown = useStore(open);
  return shown && html`<${Frame} key=${shown.label} ...${shown} />`;
}

function Frame({ content: Content, label, close }) {
  const element = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog
    ref=${element}
    class="dialog"
    aria-label=${label}
    onCancel=${(event) => {
      event.preventDefault();
      close();
    }}
    onClick=${(event) => event.target === element.current && close()}
  >
    <div class="dialog-body"><${Content} close=${close} /></div>
  </dialog>`;
}

/**
 * Ask before something is done.
 * @param {object} options
 * @param {string} options.title the question
 * @param {any} [options.text] what will happen
 * @param {string} options.verb the word on the button
 * @param {"danger" | undefined} [options.tone]
 * @param {{name: string, label: string, hint?: string}[]} [options.checks] things to tick
 * @param {boolean | string} [options.reason] ask why, too; a string is the label of the field
 * @param {(answer: object) => any} [options.extra] more, drawn anew with each change (the command line)
 * @returns {Promise<object | undefined>} the answer (`reason` and the checks); undefined: no
 */
export function confirm({ title, text, verb, tone, checks = [], reason = false, extra }) {
  return openDialog(function Question({ close }) {
    const [answer, setAnswer] = useState({ reason: "", ...Object.fromEntries(checks.map((each) => [each.name, Boolean(each.on)])) });
    const set = (name, value) => setAnswer((before) => ({ ...before, [name]: value }));
    const submit = (event) => {
      event.preventDefault();
      close(answer);
    };
    return html`<form method="dialog" onSubmit=${submit}>
      <h2>${title}</h2>
      ${text && html`<p>${text}</p>`}
      ${checks.map(
        (each) => html`<label class="check" key=${each.name}
          ><input type="checkbox" checked=${answer[each.name]} onChange=${(event) => set(each.name, event.currentTarget.checked)} /> ${each.label}</label
        >`,
      )}
      ${reason && html`<label class="field">${reason === true ? "Why (kept with the job)" : reason}<input type="text" maxlength="1024" value=${answer.reason} onInput=${(event) => set("reason", event.currentTarget.value)} /></label>`}
      ${extra?.(answer)}
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => close()}>Leave as it is</button>
        <button type="submit" class="button" data-tone=${tone ?? "main"} autofocus>${verb}</button>
      </div>
    </form>`;
  }, title);
}
