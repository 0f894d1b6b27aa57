"""Hold one page of events for everybody who reads it, each event encoded once.

The law: what is made of a page is made once, when somebody first asks, and not at all when nobody does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from crawlsock.feed.filter import Event, Filter


class Item:
    """One event, and its JSON."""

    __slots__ = ("_json", "event", "progress_of")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.progress_of: str | None = event.get("job_id") if event["kind"] == "job_progress" else None
        """The job whose progress it tells; None for every other kind."""
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The event as JSON, in UTF-8."""
        if self._json is None:
            self._json = orjson.dumps(self.event)
        return self._json


class Sheet:
    """The events of a page, found by what filters ask for."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.items = [Item(event) for event in events]
        self._by: dict[str, dict[str, list[Item]]] = {}

    def matching(self, filter: Filter) -> Sequence[Item]:
        """Return what the filter lets through, in order. Many narrow filters do not each look at every event."""
        handle = filter.handle
        found = self.items if handle is None else self._kept_by(handle[0]).get(handle[1], ())
        if filter == Filter():
            return found
        return [item for item in found if filter.matches(item.event)]

    def _kept_by(self, name: str) -> dict[str, list[Item]]:
        kept = self._by.get(name)
        if kept is None:
            kept = self._by[name] = {}
            for item in self.items:
                value = item.event.get(name)
                if value is not None:
                    kept.setdefault(value, []).append(item)
        return kept
