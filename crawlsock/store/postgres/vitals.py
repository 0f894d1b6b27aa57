"""Ask the database how it is.

The law of this module: what it asks is bounded, and changes nothing.
"""

from __future__ import annotations

from crawlsock.store.postgres.base import Base, deferred
from crawlsock.store.vitals import FIRST_IN_LINE, Vitals


class Pulse(Base):
    """The part of the store that says how its database is."""

    @deferred
    async def pulse(self) -> None:
        await self.read("pulse")

    @deferred
    async def vitals(self) -> Vitals:
        return Vitals(*(await self.read("vitals", {"first": FIRST_IN_LINE}))[0])
