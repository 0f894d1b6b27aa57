"""What the pages say without scripts: moments, durations, counts, and names of others.

The law: the same words as ``static/js/format.js``, ``numbers.js`` and ``plain.js`` find, so that a page reads the same
with scripts and without. Values in, text out; no request, no clock: a template says what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from markupsafe import Markup, escape

NONE: Final = "–"
_UNITS: Final = (("y", 31536000), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_WORDS: Final = {"waiting_credential": "waiting for credential"}
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_BLANK: Final = re.compile("[\\s\u2800\ufeff]*")
_ANY: Final = re.compile(".", re.DOTALL)
_NAMES: Final[Mapping[int, str]] = {
    0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x09: "TAB", 0x0A: "LF", 0x0D: "CR", 0x1B: "ESC", 0x20: "SP", 0x7F: "DEL",
    0xA0: "NBSP", 0xAD: "SHY", 0x61C: "ALM", 0x200B: "ZWSP", 0x200E: "LRM", 0x200F: "RLM", 0x202A: "LRE", 0x202B: "RLE",
    0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
    0xFEFF: "BOM",
}  # fmt: skip


def text(value: object, lines: bool = False) -> Markup:
    """Show a text of somebody else's: escaped, isolated, and with marks for characters that would not show."""
    if value is None or value == "":
        return Markup(f'<span class="none">{NONE}</span>')
    # Joined once, at the end: a text may hold tens of thousands of marks.
    shown: list[Markup] = []
    start = 0
    whole = str(value)
    # A name of blanks alone shows nothing: each is marked.
    for match in (_ANY if _BLANK.fullmatch(whole) else _HIDDEN).finditer(whole):
        if lines and match[0] in "\n\t":
            continue
        code = f"U+{ord(match[0]):04X}"
        name = _NAMES.get(ord(match[0]), code)
        mark = Markup('<span class="unseen" title="invisible character {}">{}</span>').format(code, name)
        shown += (escape(whole[start : match.start()]), mark)
        start = match.end()
    shown.append(escape(whole[start:]))
    return Markup('<bdi class="lines">{}</bdi>' if lines else "<bdi>{}</bdi>").format(Markup("").join(shown))


def exact(value: object) -> str:
    """Write a whole number with every digit, in groups of three."""
    return f"{int(value):,}" if isinstance(value, (int, float)) else NONE


def seconds_of(value: float) -> str:
    """Write seconds as one or two units."""
    size = max(0.0, value)
    if size < 1:
        return "0 s" if size == 0 else f"{max(1, round(size * 1000))} ms"
    if size < 9.95:
        return f"{size:.1f}".removesuffix(".0") + " s"
    left = round(size)
    for position, (name, length) in enumerate(_UNITS):
        if left < length:
            continue
        whole, left = divmod(left, length)
        if whole >= 10 or position + 1 == len(_UNITS):
            return f"{whole} {name}"
        below, size_below = _UNITS[position + 1]
        rest = left // size_below
        return f"{whole} {name} {rest} {below}" if rest else f"{whole} {name}"
    return "0 s"


def coarse(value: float) -> str:
    """Write seconds as the one unit that matters."""
    size = max(0, int(value))
    return next((f"{size // length} {name}" for name, length in _UNITS if size >= length), "0 s")


def ago(moment: str | None, now: datetime) -> Markup:
    """Show how long ago a moment is; the moment itself is in the title. A moment just ahead of us is now."""
    if moment is None:
        return Markup(f'<span class="none">{NONE}</span>')
    at = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    seconds = (now - at).total_seconds()
    said = f"in {coarse(-seconds)}" if seconds < -2 else "now" if seconds < 1.5 else f"{coarse(seconds)} ago"
    title = f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment, title, said)


def took(since: str | None, until: str | None, now: datetime) -> str:
    """Write how long something took, or has taken by now."""
    if since is None:
        return NONE
    begin = datetime.fromisoformat(since.replace("Z", "+00:00"))
    end = now if until is None else datetime.fromisoformat(until.replace("Z", "+00:00"))
    return seconds_of((end - begin).total_seconds())


def percent(value: float | None) -> str:
    """Write a share in percent: 100 % only what is done, 0 % only what has not begun."""
    if value is None:
        return NONE
    size = min(100.0, max(0.0, value))
    if size in (0, 100):
        return f"{size:.0f} %"
    if size < 0.1:
        return "<0.1 %"
    if size > 99.9:
        return ">99.9 %"
    return f"{int(size * 10) / 10:.1f} %" if size < 10 or size > 99 else f"{int(size)} %"


def rate(value: float | None) -> str:
    """Write items a second."""
    if value is None:
        return NONE
    size = max(0.0, value)
    if size == 0:
        return "0/s"
    if size < 0.01:
        return "<0.01/s"
    if size < 1:
        return f"{size:.2f}".removesuffix("0") + "/s"
    return f"{size:.1f}".removesuffix(".0") + "/s" if size < 10 else f"{round(size):,}/s"


def words(name: str) -> str:
    """Write a name of the protocol (snake_case) as words."""
    return _WORDS.get(name, name.replace("_", " "))


def headline(name: str) -> str:
    """Write a name of the protocol as words, with a capital."""
    said = words(name)
    return said[:1].upper() + said[1:]


FILTERS: Final[Mapping[str, Any]] = {
    "text": text,
    "exact": exact,
    "seconds": seconds_of,
    "coarse": coarse,
    "ago": ago,
    "took": took,
    "percent_words": percent,
    "rate": rate,
    "words": words,
    "headline": headline,
}
"""For Jinja2."""
