"""Viewers for proofs: they get a stream's bytes over a link that may be slow and may break, and keep what they hear.

The law: a viewer is a browser and no more. It knows the bytes that reached it, remembers the last ``id`` and comes back
with it; what was under way when its link broke is gone.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from crawlsock.feed.channels import Channels, Seat
from crawlsock.feed.filter import Filter
from crawlsock.wire.errors import Refusal
from tests.feed import reducer


def parse(data: bytes) -> list[tuple[str | None, str | None, Any]]:
    """Take a stream apart as the HTML standard does: (event, id, data) of each message; data None when it has none."""
    messages = []
    for block in data.decode().split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                fields.setdefault(name, []).append(value.removeprefix(" "))
        if fields:
            told = "\n".join(fields["data"]) if "data" in fields else None
            messages.append(
                (
                    fields.get("event", [None])[-1],
                    fields.get("id", [None])[-1],
                    None if told is None else json.loads(told),
                )
            )
    return messages


def last_progress(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events without progress that later progress of the same job replaces."""
    last = {event["job_id"]: event for event in events if event["kind"] == "job_progress"}
    return [event for event in events if event["kind"] != "job_progress" or event is last[event["job_id"]]]


@define(eq=False)
class Browser:
    """A viewer, and its link.

    :ivar heard: every delivery that reached it, in order, with the positions before and after it; None for a position
        that was told without a delivery.
    :ivar first_read: the state as it was first read, and how much had been heard when it was asked for.
    :ivar under_way: what the server wrote and has not reached it yet.
    """

    filter: Filter
    position: str | None = None
    jobs: reducer.Jobs = field(factory=dict)
    heard: list[tuple[str, str, Mapping[str, Any] | None]] = field(factory=list)
    refusals: list[str] = field(factory=list)
    under_way: deque[bytes] = field(factory=deque)
    most_under_way: int = 3
    seat: Seat | None = None
    coming: bool = False
    reading: bool = False
    since_reading: list[Mapping[str, Any]] = field(factory=list)
    first_read: tuple[list[Mapping[str, Any]], int] | None = None

    def come(self, channels: Callable[[], Channels], state: Callable[[], Deferred[list[Mapping[str, Any]]]]) -> None:
        """Open a stream, from the last position; who has none opens it from now, and then reads the state."""
        if self.position is not None:
            self._sit(channels())
        elif not self.coming:
            self.coming = True
            Deferred.fromCoroutine(self._first(channels, state))

    async def _first(
        self, channels: Callable[[], Channels], state: Callable[[], Deferred[list[Mapping[str, Any]]]]
    ) -> None:
        self.position = await channels().begin(self.filter)
        self._sit(channels())
        self.read(state)

    def read(self, state: Callable[[], Deferred[list[Mapping[str, Any]]]]) -> None:
        """Read the state, and apply to it whatever comes while it is on its way."""
        if not self.reading:
            self.reading = True
            self.since_reading.clear()
            state().addCallback(self._read, len(self.heard))

    def _sit(self, channels: Channels) -> None:
        if self.seat is None:
            assert self.position is not None
            self.seat = channels.join(self, self.filter, self.position)
            channels.place(self.seat)

    def go(self) -> None:
        """Leave, or lose the link: what is under way does not arrive."""
        if self.seat is not None:
            self.seat.leave()
            self.seat = None
        self.under_way.clear()

    def _read(self, views: list[Mapping[str, Any]], asked_at: int) -> None:
        self.reading = False
        self.first_read = self.first_read or (views, asked_at)
        for job in views:
            self.jobs[job["job_id"]] = reducer.view(job)
        for delivery in self.since_reading:
            reducer.deliver(self.jobs, delivery)

    def ping(self) -> None:
        """Let the server say how far it is."""
        if self.seat is not None and self.seat.ready:
            news = self.seat.news()
            if news is not None:
                self.show(b"id: " + news.encode() + b"\n\n")

    # -- the server's side

    def show(self, data: bytes) -> None:
        """Put bytes on the link; with too much on it the transport says so."""
        self.under_way.append(data)
        if self.seat is not None and len(self.under_way) >= self.most_under_way:
            self.seat.pause()

    def refused(self, refusal: Refusal) -> None:
        """Remember why."""
        self.refusals.append(refusal.code.value)
        self.seat = None

    # -- the viewer's side

    def arrive(self) -> None:
        """Let the oldest bytes under way arrive."""
        if self.under_way:
            for _, position, delivery in parse(self.under_way.popleft()):
                if position is not None:
                    assert self.position is not None
                    self.heard.append((self.position, position, delivery))
                    self.position = position
                if delivery is not None and "events" in delivery:
                    self._take(delivery)
        if not self.under_way and self.seat is not None:
            self.seat.resume()

    def _take(self, delivery: Mapping[str, Any]) -> None:
        if self.reading:
            self.since_reading.append(delivery)
        reducer.deliver(self.jobs, delivery)
