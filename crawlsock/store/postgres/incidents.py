"""Look at what incidents are made of, record them, and keep the outbox.

The law of this module: it carries values to the functions of ``0008_records.sql`` and their rows back. What is an
incident is decided in `crawlsock.incidents`; that none is opened twice, and that no two servers send one notification,
in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from crawlsock.store.postgres.base import Base, deferred, dumps, is_uuid, loads
from crawlsock.store.records_values import (
    Finding,
    Loss,
    OpenIncident,
    Outgoing,
    Parked,
    Recorded,
    RefusedAccount,
    SeenGroup,
    Stalled,
    Watched,
)


class Incidents(Base):
    """The part of the store that keeps incidents and notifications."""

    server_id: str

    @deferred
    async def watch(self, window: float, threshold: int, stalled_after: float) -> Watched:
        rows = await self.read("watch", {"window": window, "threshold": threshold, "stalled_after": stalled_after})
        seen = loads(rows[0][0])
        return Watched(
            groups=[SeenGroup(*each) for each in seen["groups"]],
            losses=[Loss(*each) for each in seen["losses"]],
            poison=[Parked(*each) for each in seen["poison"]],
            refused=[RefusedAccount(*each) for each in seen["refused"]],
            stalled=[
                Stalled(kind, tuple(labels or ()), jobs, waited) for kind, labels, jobs, waited in seen["stalled"]
            ],
            feed_age=seen["feed_age"],
            open=[OpenIncident(*each) for each in seen["open"]],
        )

    @deferred
    async def record_incidents(
        self, findings: Sequence[Finding], over: Sequence[tuple[str, int]], channels: Sequence[str], cool_down: float
    ) -> Recorded:
        rows = await self.function(
            "record_incidents(%s::jsonb, %s::jsonb, %s::text[], %s)",
            dumps([attrs.asdict(finding) for finding in findings]),
            dumps([list(each) for each in over]),
            sorted(set(channels)),
            cool_down,
        )
        recorded = Recorded(*rows[0])
        if any(recorded):
            self._committed()
        return recorded

    @deferred
    async def test_notification(self, channels: Sequence[str], actor: str) -> list[tuple[str, str]]:
        rows = await self.function("test_notification(%s::text[], %s)", sorted(set(channels)), actor)
        return [(row[0], row[1]) for row in rows]

    @deferred
    async def take_notifications(self, channels: Sequence[str], hold: float, limit: int) -> list[Outgoing]:
        rows = await self.write(
            "take_notifications",
            {"me": self.server_id, "channels": sorted(set(channels)), "hold": hold, "limit": limit},
        )
        return [Outgoing(row[0], row[1], row[2], row[3], row[4], loads(row[5])) for row in rows]

    @deferred
    async def settle_notification(
        self, notification_id: str, attempt: int, outcome: str, error: str | None, again: float
    ) -> None:
        if is_uuid(notification_id):
            await self.function(
                "settle_notification(%s::uuid, %s, %s, %s, %s)", notification_id, attempt, outcome, error, again
            )

    def _committed(self) -> None:
        raise NotImplementedError
