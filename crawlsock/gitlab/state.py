"""Where a crawl can go on from: the resume state, and the streams it is made of.

Law: a stream's numbers change together, in one step without waiting in between, so that a snapshot taken at
any moment is true: everything before `cursor` is within `size` bytes, and nothing else is. A state that
cannot be read, or was made by another plan or page size, is not used: the crawl starts over rather than
guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, frozen

from crawlsock.gitlab.paging import LONGEST_CURSOR, Cursor
from crawlsock.gitlab.plan import PLAN_VERSION

_MAX = 1 << 53
LONGEST_PATH = 1024
LONGEST_ID = 255


def clean(text: object, limit: int) -> str | None:
    """Return a text from outside as one that messages and states may hold, cut to `limit`; None for no text.

    NUL is the one character that JSON can say and the database cannot keep.
    """
    return text[:limit].replace("\0", "\ufffd") if isinstance(text, str) and text else None


def path_of(item: Mapping[str, Any], name: str) -> str | None:
    """Return an item's path, whole or not at all: a path cut short is the path of something else."""
    path = item.get(name)
    return clean(path, LONGEST_PATH) if isinstance(path, str) and len(path) <= LONGEST_PATH else None


def id_of(item: Mapping[str, Any]) -> str | None:
    """Return an item's id as the text that stands for it in jobs and paths."""
    found = item.get("id")
    text = str(found) if isinstance(found, (int, str)) else ""
    return clean(text, LONGEST_ID) if len(text) <= LONGEST_ID else None


@define
class Stream:
    """How far one list is.

    `size`, `items`: what its part holds. `cursor`: the next page; of a list below another one (notes), of
    the parent that begins at byte `parent` of that list's part. `missing`: parents whose list was refused.
    `refused`: why the whole list was. `inode`: of the part. `counted`: items already reported; it outlives
    a stream that has to start over.
    """

    size: int = 0
    items: int = 0
    cursor: Cursor | None = None
    parent: int = 0
    missing: int = 0
    refused: tuple[int, str] | None = None
    done: bool = False
    inode: int = 0
    counted: int = 0

    def restart(self) -> None:
        """Forget everything but what has been reported."""
        self.size = self.items = self.parent = self.missing = self.inode = 0
        self.cursor = self.refused = None
        self.done = False


@frozen
class CrawlState:
    """A resume state: whose parts it speaks of, the area's id and its path when the job began, and the
    streams.
    """

    attempt: str
    entity: str
    path: str
    streams: Mapping[str, Stream]


def to_json(attempt: str, entity: str, path: str, per_page: int, streams: Mapping[str, Stream]) -> dict[str, Any]:
    """Write a resume state, a few dozen bytes a stream that has begun."""
    return {
        "plan": PLAN_VERSION,
        "per_page": per_page,
        "attempt": attempt,
        "entity": entity,
        "path": path,
        "streams": {name: _short(stream) for name, stream in streams.items() if stream != Stream()},
    }


def _short(stream: Stream) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "size": stream.size,
        "items": stream.items,
        "cursor": stream.cursor,
        "parent": stream.parent,
        "missing": stream.missing,
        "refused": list(stream.refused) if stream.refused else None,
        "done": stream.done,
        "inode": stream.inode,
        "counted": stream.counted,
    }
    return {name: value for name, value in fields.items() if value}


def from_json(state: Mapping[str, Any] | None, per_page: int, names: Iterable[str]) -> CrawlState | None:
    """Read a resume state that speaks of these streams, or return None when there is none that can be used."""
    if not state or state.get("plan") != PLAN_VERSION or state.get("per_page") != per_page:
        return None
    try:
        found = {name: _long(state["streams"].get(name, {})) for name in names}
        attempt, entity, path = state["attempt"], state["entity"], state["path"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if not all(isinstance(text, str) for text in (attempt, entity, path)):
        return None
    return CrawlState(attempt, entity, path, found)


def _long(fields: Mapping[str, Any]) -> Stream:
    cursor = fields.get("cursor")
    if cursor is not None and not isinstance(cursor, (int, str)):
        raise ValueError("a cursor is a number or a string")
    fits = len(cursor) <= LONGEST_CURSOR if isinstance(cursor, str) else 0 < (cursor or 1) < _MAX
    if not fits:
        raise ValueError("a cursor out of range")
    refused = fields.get("refused")
    return Stream(
        size=_number(fields, "size"),
        items=_number(fields, "items"),
        cursor=cursor,
        parent=_number(fields, "parent"),
        missing=_number(fields, "missing"),
        refused=(int(refused[0]), str(refused[1])) if refused else None,
        done=bool(fields.get("done", False)),
        inode=_number(fields, "inode", 1 << 64),
        counted=_number(fields, "counted"),
    )


def _number(fields: Mapping[str, Any], name: str, limit: int = _MAX) -> int:
    value = fields.get(name, 0)
    if not isinstance(value, int) or not 0 <= value < limit:
        raise ValueError(f"{name} is no count")
    return value
