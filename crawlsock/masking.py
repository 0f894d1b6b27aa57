"""Keep secrets out of whatever people and machines read: logs, error texts, tracebacks, configuration
listings.

Two nets, one behind the other. A `Masker` knows the very values that must not appear, told to it while the
program runs (a token that was decrypted, the database's password). And text that looks like a secret is
hidden although nobody named it: by its shape (``Bearer ...``, ``glpat-...``, a password in a URL) or by the
name in front of it. Hiding too much costs a reader a word; hiding too little costs a user an account. No
Twisted, no clock, no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "[hidden]"

# Shorter values are not registered: hiding every "abc" would hide the log, and no secret of ours is so short.
_SHORTEST = 6

_SECRET_NAME = re.compile(
    r"token|secret|passw(?:or)?d|authorization|api_?key|private_?key|cookie|"
    r"(?:^|[_\W])(?:lease|leases|ticket|credential|credentials|pwd)$",
    re.IGNORECASE,
)
# Names with a secret's word in them that say something about the secret instead of being it.
_ABOUT_A_SECRET = re.compile(
    r"(?:_|-)(?:length|count|dir|file|path|type|kind|name|id|interval|deadline|expir\w*|timeout|url|requests?|at)$",
    re.IGNORECASE,
)

# Every repetition that can begin anywhere has a bound: without one, a hostile text of 100 KB takes minutes.
_NAME = (
    r"[\w.-]{0,100}(?:token|secret|passw(?:or)?d|authorization|api_?key|private_?key|cookie)[\w-]{0,100}"
    r"|leases?|ticket|pwd"
)
_ASSIGNED = re.compile(
    # name=value, name: value, "name": "value", b'name': b'value'
    rf"""(?P<name>(?<![\w.-])(?:{_NAME}))(?P<between>\\?["']?\s*(?:=>|[=:])\s*)"""
    r"""(?P<value>[bu]?\\?"(?:[^"\\]|\\[^"])*\\?"|[bu]?\\?'(?:[^'\\]|\\[^'])*\\?'|(?:(?:Bearer|Basic|Token)\s+)?[^\s,;&"'<>(){}\[\]]+)""",
    re.IGNORECASE,
)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Any URL with a password, DSNs among them.
    (
        re.compile(r"(?P<keep>[a-z][a-z0-9+.-]{0,30}://[^\s/:@?#\"']*:)[^\s/\"'<>]+(?=@)", re.IGNORECASE),
        rf"\g<keep>{HIDDEN}",
    ),
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\g<keep>{HIDDEN}"),
    # GitLab's own tokens: glpat-, gloas-, glrt-, glptt-, ...
    (re.compile(r"\bgl[a-z]{2,6}-[\w.-]{8,}"), HIDDEN),
    # Our own tokens.
    (re.compile(r"\bcs_[A-Za-z0-9_-]{8,}"), HIDDEN),
)
# None of the patterns above can match a text without one of these; most log lines have none and are done at
# once.
_HINT = re.compile(
    r"token|secret|passw|authorization|key|cookie|lease|ticket|pwd|://|bearer|basic|\bgl[a-z]+-|cs_",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Tell whether a field, header or key called `name` holds a secret."""
    return _SECRET_NAME.search(name) is not None and _ABOUT_A_SECRET.search(name) is None


# A database address has two forms, and a URL can carry the password in two places.
_DSN_USERINFO = re.compile(r"(?P<keep>://[^/@:?#\s]*:)(?P<password>[^\s?#]*)(?=@)")
_DSN_KEYWORD = re.compile(
    r"(?P<keep>\b(?:password|sslpassword)\s*=\s*)(?P<password>'(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE
)


def mask_dsn(text: str) -> str:
    """Hide the password of a database address, in either of its two forms, and nothing else."""
    for pattern in (_DSN_USERINFO, _DSN_KEYWORD):
        text = pattern.sub(rf"\g<keep>{HIDDEN}", text)
    return text


def passwords_of_dsn(text: str) -> set[str]:
    """Return the passwords in a database address, as they are written there and as they are meant."""
    written = {match["password"] for pattern in (_DSN_USERINFO, _DSN_KEYWORD) for match in pattern.finditer(text)}
    meant = {re.sub(r"\\(.)", r"\1", each[1:-1]) if each[:1] == "'" else unquote(each) for each in written}
    return (written | meant) - {""}


def mask_patterns(text: str) -> str:
    """Hide everything in `text` that looks like a secret."""
    if _HINT.search(text) is None:
        return text
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return _ASSIGNED.sub(_hide_assigned, text)


def mask_values(value: Any) -> Any:
    """Return a value as JSON has them, with everything hidden in it that looks like a secret or is named like one."""
    if isinstance(value, dict):
        return {
            name: HIDDEN if is_secret_name(name) and isinstance(each, str) else mask_values(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [mask_values(each) for each in value]
    return mask_patterns(value) if isinstance(value, str) else value


def _hide_assigned(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    if not is_secret_name(name) or value.strip("\\'\"bu") in ("", HIDDEN, "None", "null", "True", "False"):
        return match[0]
    mark = re.match(r"""[bu]?(\\?["'])""", value)
    around = mark[1] if mark else ""
    return f"{name}{match['between']}{around}{HIDDEN}{around}"


def _spellings(value: str) -> Iterator[str]:
    """Yield the forms in which a value turns up: bare, in a URL, in JSON, in a repr."""
    yield value
    yield quote(value, safe="")
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]


class Masker:
    """Hide registered values, and whatever looks like a secret, in any text.

    Thousands of values cost no more than one: a text is looked at once, by the first characters of the
    values.
    """

    def __init__(self) -> None:
        self._by_start: dict[str, set[str]] = {}

    def register(self, value: str) -> None:
        """Hide `value` from now on, however it is quoted. Values under six characters are left to the
        patterns.
        """
        for spelling in set(_spellings(value)):
            if len(spelling) >= _SHORTEST:
                self._by_start.setdefault(spelling[:_SHORTEST], set()).add(spelling)

    def forget(self, value: str) -> None:
        """Stop hiding `value`, which has been replaced; nothing happens when it was never registered."""
        for spelling in set(_spellings(value)):
            group = self._by_start.get(spelling[:_SHORTEST])
            if group is not None:
                group.discard(spelling)
                if not group:
                    del self._by_start[spelling[:_SHORTEST]]

    def mask(self, text: str) -> str:
        """Return `text` without its secrets."""
        return mask_patterns(self._mask_registered(text))

    def _mask_registered(self, text: str) -> str:
        if not self._by_start:
            return text
        parts: list[str] = []
        done = at = 0
        last = len(text) - _SHORTEST
        starts = self._by_start
        while at <= last:
            group = starts.get(text[at : at + _SHORTEST])
            found = max((each for each in group if text.startswith(each, at)), key=len, default="") if group else ""
            if found:
                parts += (text[done:at], HIDDEN)
                at = done = at + len(found)
            else:
                at += 1
        return "".join((*parts, text[done:])) if parts else text
