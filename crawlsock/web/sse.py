"""Write server-sent events: the bytes of a stream, as the HTML standard has them.

The law: one message is one whole delivery, and carries as its `id` the position after it. A browser takes a message
whole or not at all, so resuming from the last `id` neither misses anything nor shows it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from crawlsock.feed.sheet import Item

MEDIA_TYPE: Final = "text/event-stream"
PING: Final = b": ping\n\n"


def hello(position: str, at: str) -> bytes:
    """Begin a stream at a position."""
    data = orjson.dumps({"position": position, "at": at})
    return b"event: hello\nid: %b\ndata: %b\n\n" % (position.encode(), data)


def delivery(items: Sequence[Item], position: str, gap: bool, snapshot: bool) -> bytes:
    """Carry events, the position after them, and what must be known about them. JSON has no line ends in it."""
    where = position.encode()
    marks = (b',"gap":true' if gap else b"") + (b',"snapshot":true' if snapshot else b"")
    events = b",".join([item.json for item in items])
    return b'event: events\nid: %b\ndata: {"events":[%b],"position":"%b"%b}\n\n' % (where, events, where, marks)


def retry(seconds: float) -> bytes:
    """Ask the client to wait so long before it comes back."""
    return b"retry: %d\n\n" % round(seconds * 1000)


def ping(position: str | None) -> bytes:
    """Show that the stream lives; with a position, let the client come back to it, though nothing is to be shown."""
    return PING if position is None else b": ping\nid: %b\n\n" % position.encode()


def end(reason: str) -> bytes:
    """Say why there will be no more."""
    return b"event: end\ndata: %b\n\n" % orjson.dumps({"reason": reason})
