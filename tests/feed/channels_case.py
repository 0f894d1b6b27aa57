"""What the tests of viewers share: a viewer that remembers what it was shown, and channels on a clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from crawlsock.feed.channels import Channels, Seat
from crawlsock.feed.filter import Filter
from crawlsock.feed.sheet import Item
from crawlsock.store.values import Demand, JobRef, NewSession, Progress
from crawlsock.wire.errors import Refusal
from tests.feed.test_hub import HubCase

SERVER = "00000000-0000-4000-8000-00000000000a"


@define(eq=False)
class Watcher:
    """A viewer that remembers what it was shown, and when."""

    case: ChannelsCase
    filter: Filter = field(factory=Filter)
    seat: Seat | None = None
    shown: list[dict[str, Any]] = field(factory=list)
    times: list[float] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    refusals: list[str] = field(factory=list)
    pauses_after: int | None = None
    breaks: bool = False

    def sit(self, position: str | None = None) -> Watcher:
        """Look on from a position, or from now."""
        channels = self.case.channels
        if position is None:
            position = self.case.successResultOf(Deferred.fromCoroutine(channels.begin(self.filter)))
        self.seat = channels.join(self, self.filter, position)
        channels.place(self.seat)
        return self

    def show(self, data: bytes) -> None:
        """Take a delivery."""
        if self.breaks:
            raise RuntimeError("cannot show this")
        self.pieces.append(data)
        self.shown.append(json.loads(data))
        self.times.append(self.case.clock.seconds())
        if self.pauses_after is not None and len(self.shown) >= self.pauses_after:
            assert self.seat is not None
            self.seat.pause()

    def refused(self, refusal: Refusal) -> None:
        """Remember why."""
        self.refusals.append(refusal.code.value)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events, of all deliveries."""
        return [event for delivery in self.shown for event in delivery["events"]]

    def kinds(self) -> list[str]:
        """Return the kinds of all events."""
        return [event["kind"] for event in self.events]


class ChannelsCase(HubCase):
    """A hub, a store in memory, and a job that somebody works on."""

    def setUp(self) -> None:
        super().setUp()
        self.encoded = 0
        self.channels: Channels = self.hub.channels(self.encode)
        self.clock.advance(100)
        session = self.successResultOf(self.store.open_session(NewSession("c", SERVER, b"t", 1e6, slots=100)))
        self.session_id = session.session_id
        self.seq = 0

    def encode(self, items: Sequence[Item], position: str, gap: bool, snapshot: bool) -> bytes:
        """Encode, and count."""
        self.encoded += 1
        events = [item.event for item in items]
        return json.dumps({"events": events, "position": position, "gap": gap, "snapshot": snapshot}).encode()

    def job(self, **fields: Any) -> JobRef:
        """Have a job made and given out."""
        self.submit(**fields)
        (job,) = self.successResultOf(self.store.assign([Demand(self.session_id, 1)]))
        return JobRef(job.job_id, job.lease, job.session_id)

    def report(self, ref: JobRef) -> int:
        """Report progress; return its number."""
        self.seq += 1
        self.successResultOf(
            self.store.progress(ref, Progress(self.seq, "fetching", {"issue": {"processed": self.seq}}))
        )
        return self.seq

    def prune(self) -> None:
        """Let the feed forget everything."""
        now = datetime.fromtimestamp(self.clock.seconds(), timezone.utc)
        self.successResultOf(self.store.prune(now + timedelta(days=1), now - timedelta(days=1)))
