"""How a list continues: GitLab's keyset and offset pagination.

Law: values in, values out. A cursor is an `int` (number of a page) or a `str` (what follows the origin in
the URL of the next page); both fit into a resume state and both are checked when they come back. No
requests here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from attrs import frozen

from crawlsock.gitlab.hosts import Origin

Cursor = int | str
Item = dict[str, Any]

_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[A-Za-z*]+\s*=\s*(?:"[^"]*"|[^\s";,]*))*)')
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]*))', re.IGNORECASE)
LONGEST_CURSOR = 4096


class PagingBroken(Exception):
    """Say that an answer's pagination headers lead out of the list: to another host, or in a circle."""


@frozen
class Page:
    """One page of a list: its items, the cursor of the next page (None: this was the last), and totals
    where told.
    """

    items: list[Item]
    following: Cursor | None
    total: int | None = None
    last_page: int | None = None


def next_link(header: str) -> str | None:
    """Return the target of `rel="next"` in a `Link` header, or None."""
    for target, parameters in _LINK.findall(header):
        for quoted, bare in _RELATION.findall(parameters):
            if "next" in (quoted or bare).lower().split():
                return str(target)
    return None


def page_url(origin: Origin, path: str, parameters: Mapping[str, str], cursor: Cursor | None) -> str:
    """Return the URL of a page.

    `cursor` None is the first page by keyset; an `int` that page by offset; a `str` what an earlier answer
    linked to. Raises `PagingBroken` when such a link leaves the origin.
    """
    if isinstance(cursor, str):
        url = origin.own(cursor)
        if url is None or not cursor.startswith("/"):
            raise PagingBroken(f"the next page is not on {origin}")
        return url
    query = dict(parameters) if cursor is None else {**parameters, "page": str(cursor)}
    return f"{origin.api}{path}?{urlencode(query)}" if query else f"{origin.api}{path}"


def following(origin: Origin, headers: Mapping[str, str], url: str, cursor: Cursor | None) -> Cursor | None:
    """Return the cursor of the page after this one, or None after the last.

    An answer with `X-Page` pages by offset, whatever was asked for (GitLab ignores `pagination=keyset`
    where it does not know it). Raises `PagingBroken` for a page that does not lead forward.
    """
    if "x-page" in headers or isinstance(cursor, int):
        text = headers.get("x-next-page", "").strip()
        if text:
            here = cursor if isinstance(cursor, int) else 1
            if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > here):
                raise PagingBroken(f"page {here} says that page {text[:20]!r} comes next")
            return int(text)
        if "x-next-page" in headers:
            return None
    link = next_link(headers.get("link", ""))
    if link is None:
        return None
    target = origin.own(link, base=url)
    if target is None:
        raise PagingBroken(f"the next page is not on {origin}")
    parts = urlsplit(target)
    result = f"{parts.path}?{parts.query}"
    if target == url or len(result) > LONGEST_CURSOR:
        raise PagingBroken("the next page is the same page again" if target == url else "the link is too long")
    return result


def count(headers: Mapping[str, str], name: str) -> int | None:
    """Read a count such as `X-Total`, or return None when it is absent or nonsense."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
