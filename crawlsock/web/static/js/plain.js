// What may be hidden in a text of somebody else's, made visible.
//
// The law: a name from GitLab is text and only text. Here it is cut into plain pieces and marks for what cannot be
// seen (control characters, overrides of the writing direction, invisible spaces); ui/text.js shows them. No DOM.

// Kept as they are: zero width joiner and non-joiner, which emoji and Persian need; in text of many lines, tab and line feed.
// The last two ranges: tags, and surrogates without their other half.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

const BLANK = /^[\s\u2800]*$/u;

const NAMES = {
  0x00: "NUL",
  0x07: "BEL",
  0x08: "BS",
  0x09: "TAB",
  0x0a: "LF",
  0x0d: "CR",
  0x1b: "ESC",
  0x20: "SP",
  0x7f: "DEL",
  0xa0: "NBSP",
  0xad: "SHY",
  0x61c: "ALM",
  0x200b: "ZWSP",
  0x200e: "LRM",
  0x200f: "RLM",
  0x202a: "LRE",
  0x202b: "RLE",
  0x202c: "PDF",
  0x202d: "LRO",
  0x202e: "RLO",
  0x2066: "LRI",
  0x2067: "RLI",
  0x2068: "FSI",
  0x2069: "PDI",
  0xfeff: "BOM",
};

/**
 * Cut a text into pieces: strings, and marks `{mark, code}` for characters that would not show.
 * @param {unknown} value
 * @param {boolean} [lines] line feeds and tabs stay
 * @returns {(string | {mark: string, code: string})[]}
 */
export function pieces(value, lines = false) {
  const text = typeof value === "string" ? value : String(value ?? "");
  const found = [];
  let from = 0;
  // A name of blanks alone shows nothing: each is marked.
  const hidden = text !== "" && BLANK.test(text) ? /./gsu : HIDDEN;
  for (const match of text.matchAll(hidden)) {
    if (lines && (match[0] === "\n" || match[0] === "\t")) continue;
    if (match.index > from) found.push(text.slice(from, match.index));
    const point = match[0].codePointAt(0);
    const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
    found.push({ mark: NAMES[point] ?? code, code });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

/** Write a text with its marks in it, for titles, labels and announcements. */
export function visible(value, lines = false) {
  return pieces(value, lines)
    .map((piece) => (typeof piece === "string" ? piece : `⟨${piece.mark}⟩`))
    .join("");
}
