"""Bring failures that are the same failure under one name.

The law: two messages that differ only in ids, numbers, names, paths, addresses, moments or quoted values have one
normal form, and so one fingerprint. Deterministic, for ever: fingerprints are kept. The work is linear in the text, and
the text that is looked at has a bound; a hostile message costs no more than a long one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b
from itertools import pairwise
from typing import Final
from urllib.parse import unquote, urlsplit

MOST_READ: Final = 1024
"""Characters of a message that are looked at."""
MOST_KEPT: Final = 240
"""Characters of a normal form."""
FINGERPRINT_LENGTH: Final = 16
_LONG_WORD: Final = 48

# What is quoted is a value. Each quote is looked at up to the next one, so this is linear; an apostrophe inside a word
# opens and closes nothing.
_QUOTED: Final = re.compile(
    r'"[^"\n]*"|`[^`\n]*`|(?<!\w)\'[^\'\n]*\'(?!\w)|\u201c[^\u201d\n]*\u201d|\u00ab[^\u00bb\n]*\u00bb'
)
# Runs of characters that make up a word, a path, an address or a moment; never empty, and taken whole.
_WORD: Final = re.compile(r"[\w./:@%+~#&?=$*\\-]+")
_DIGITS: Final = re.compile(r"\d+(?:[.,]\d+)*")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{7,}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T_]\d\d:\d\d(?::\d\d)?.*)?|\d\d?:\d\d(?::\d\d(?:\.\d+)?)?")
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|[\w-]+(?:\.[\w-]+)+:\d+|localhost:\d+")
# Around a word, these are punctuation.
_AROUND: Final = ".:?"
# Segments of a GitLab URL behind which a name stands.
_NAMED: Final = frozenset({"projects", "groups", "users", "namespaces"})


def names_in(url: str) -> frozenset[str]:
    """Return the names of projects, groups and users in the URL of a request to GitLab."""
    try:
        segments = urlsplit(url[:MOST_READ]).path.split("/")
    except ValueError:
        return frozenset()
    return frozenset(unquote(name) for kind, name in pairwise(segments) if kind in _NAMED and name)


def normalise(message: str, names: Collection[str] = ()) -> str:
    """Return a message with its variable parts replaced by placeholders, on one line, of bounded length.

    :param names: words that are names here, whatever they look like.
    """
    text = _QUOTED.sub("<value>", message[:MOST_READ])
    known = frozenset(names)
    text = _WORD.sub(lambda match: _plain(match[0], known), text)
    # A date and a time of day, with a blank between them, are one moment.
    return _BLANK.sub(" ", text).replace("<time> <time>", "<time>").strip()[:MOST_KEPT].rstrip()


def fingerprint(error_type: str, category: str, normal: str) -> str:
    """Return the name of a group: 16 hexadecimal digits of what makes its failures the same."""
    said = "\x00".join((error_type, category, normal)).encode("utf-8", "surrogatepass")
    return blake2b(said, digest_size=FINGERPRINT_LENGTH // 2).hexdigest()


def _plain(word: str, names: frozenset[str]) -> str:
    core = word.strip(_AROUND)
    if not core:
        return word
    before, _, after = word.partition(core)
    return f"{before}{_placeholder(core, names)}{after}"


def _placeholder(core: str, names: frozenset[str]) -> str:
    """Return what stands for a word: its kind, or itself with every number replaced."""
    if core in names:
        return "<name>"
    if "://" in core:
        return "<url>"
    name, is_assigned, value = core.partition("=")
    if is_assigned and name and value:
        return f"{_placeholder(name, names)}=<value>"
    if "@" in core.strip("@"):
        return "<address>"
    if "/" in core or "\\" in core:
        return "<path>"
    if not any(map(str.isdigit, core)):
        return "<text>" if len(core) > _LONG_WORD else core
    for pattern, kind in ((_UUID, "<id>"), (_MOMENT, "<time>"), (_ADDRESS, "<address>")):
        if pattern.fullmatch(core):
            return kind
    if core.isdigit():
        return "<n>"
    if _HEX.fullmatch(core):
        return "<hash>"
    return "<text>" if len(core) > _LONG_WORD else _DIGITS.sub("<n>", core)
