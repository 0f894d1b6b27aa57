// Tables. A column says how wide a window must be for it; what is left out at 360 px stands on the page of the row.

import { html, useRef } from "../lib.js";

/**
 * @param {object} props
 * @param {string} props.caption what the table shows; read by screen readers, and by eyes when `showCaption`
 * @param {{key: string, label: any, cell: (row: any) => any, num?: boolean, wide?: boolean, wider?: boolean, head?: boolean,
 *   class?: string}[]} props.columns wide: from 720 px on, wider: from 1080 px on; head: names the row
 * @param {any[]} props.rows
 * @param {(row: any) => string} props.id
 * @param {(row: any) => string | undefined} [props.rowClass]
 * @param {{has: (id: string) => boolean, toggle: (id: string, on: boolean) => void, all: (on: boolean) => void, label: (row: any) => string}} [props.selection]
 * @param {any} [props.empty] what stands there instead when there are no rows
 */
export function Table({ caption, columns, rows, id, rowClass, selection, empty, showCaption = false, busy = false }) {
  if (!rows.length && empty) return empty;
  const chosen = selection ? rows.filter((row) => selection.has(id(row))).length : 0;
  const width = (column) => [column.num && "num", column.wide && "wide", column.wider && "wider", column.class].filter(Boolean).join(" ") || undefined;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table class="table" aria-busy=${busy ? "true" : undefined}>
      <caption class=${showCaption ? undefined : "sr"}>${caption}</caption>
      <thead>
        <tr>
          ${selection && html`<th scope="col" class="pick"><${Pick} label="Select all rows shown" on=${chosen > 0 && chosen === rows.length} some=${chosen > 0 && chosen < rows.length} set=${selection.all} /></th>`}
          ${columns.map((column) => html`<th key=${column.key} scope="col" class=${width(column)}>${column.label}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => {
          const key = id(row);
          return html`<tr key=${key} data-row=${key} class=${rowClass?.(row)} aria-selected=${selection ? String(selection.has(key)) : undefined}>
            ${selection && html`<td class="pick"><${Pick} label=${`Select ${selection.label(row)}`} on=${selection.has(key)} set=${(on) => selection.toggle(key, on)} /></td>`}
            ${columns.map((column) =>
              column.head
                ? html`<th key=${column.key} scope="row" class=${width(column)}>${column.cell(row)}</th>`
                : html`<td key=${column.key} class=${width(column)}>${column.cell(row)}</td>`,
            )}
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

function Pick({ label, on, some = false, set }) {
  const box = useRef(null);
  if (box.current) box.current.indeterminate = some;
  return html`<input type="checkbox" ref=${(element) => {
    box.current = element;
    if (element) element.indeterminate = some;
  }} aria-label=${label} checked=${on} onChange=${(event) => set(event.currentTarget.checked)} />`;
}

/** Pages of a keyset list: links, so that back and a bookmark work. */
export function Pages({ first, next, note }) {
  return html`<nav class="pages" aria-label="Pages">
    ${first ? html`<a class="button" href=${first} rel="first">First page</a>` : null}
    ${note && html`<span class="quiet">${note}</span>`}
    ${next ? html`<a class="button" href=${next} rel="next">Next page</a>` : html`<span class="quiet">End of the list</span>`}
  </nav>`;
}
