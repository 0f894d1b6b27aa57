"""Say what a store tells about itself and its database; a part of `crawlsock.store.interface.IStore`.

Nothing here looks at more than a bounded number of rows: it is asked every few seconds by every server.
"""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

FIRST_IN_LINE = 1000
"""Queued jobs, the first in line, among which an overdue one is looked for."""


@frozen
class Vitals:
    """How the database is, at one moment.

    :ivar version: what the database calls its version.
    :ivar schema: the newest migration that was applied, 0 where there are none.
    :ivar held_back: seconds for which the oldest committed event has been waiting for older transactions to end.
    :ivar overdue: seconds for which the first job in line has been due; None when none of the first thousand is due
        and of a type that may be assigned.
    :ivar paused_by: who has paused all queues, empty when nobody has.
    :ivar refused: accounts whose credential was refused, a thousand at the most.
    :ivar connections: connections to the whole database server, and how many it allows.
    """

    version: str
    schema: int
    held_back: float
    overdue: float | None
    paused_by: str
    refused: int
    connections: int
    max_connections: int


class IVitals(Interface):
    """Answer whether the database is well."""

    def pulse() -> Deferred[None]:
        """Fire when the database has answered a statement of no weight. Errors: ``unavailable``."""

    def vitals() -> Deferred[Vitals]:
        """Return how the database is. Errors: ``unavailable``."""
