"""Keep everything in PostgreSQL, committed in groups.

Writes of crawlers go through `crawlsock.store.batch`, one SQL function call a batch; everything else is one statement.
The SQL is in ``crawlsock/sql``; nothing here composes any from a value.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from crawlsock.jobs import POISON_LIMIT
from crawlsock.progress import ProgressTracker
from crawlsock.store.database import Database
from crawlsock.store.interface import IStore
from crawlsock.store.listener import Notice
from crawlsock.store.postgres.incidents import Incidents
from crawlsock.store.postgres.listing import Listing
from crawlsock.store.postgres.records import Records
from crawlsock.store.postgres.vitals import Pulse
from crawlsock.store.postgres.web_sessions import WebSessions

__all__ = ["PostgresStore"]


@implementer(IStore)
class PostgresStore(Listing, WebSessions, Pulse, Records, Incidents):
    """The store of a running service.

    :param database: connected by its owner, migrated before the store is used.
    :param server_id: UUID of this service; sessions belong to it while it holds their connections.
    :param tracker: adds percent, rate and time left to the reports that are stored; without one they stay as they came.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        *,
        server_id: str,
        server_name: str = "crawlsock",
        tracker: ProgressTracker | None = None,
        poison_limit: int = POISON_LIMIT,
    ) -> None:
        super().__init__(
            clock,
            database,
            server_id=server_id,
            server_name=server_name,
            tracker=tracker,
            poison_limit=poison_limit,
        )

    def listen(self) -> None:
        """Begin to hear of what others commit. Not before the schema is there: news makes observers read it."""
        self.database.listen("crawlsock", self._notified)

    @property
    def state(self) -> str:
        """``up`` while writes can be committed."""
        return str(self._writer.pool.state)

    def when_up(self) -> Deferred[None]:
        return self._writer.pool.when_up()

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when no group commit is under way or forming."""
        return self.group.when_idle()

    def on_work(self, callback: Callable[[], None]) -> None:
        self.work_observers.append(callback)

    def on_orders(self, callback: Callable[[], None]) -> None:
        self.order_observers.append(callback)

    def on_events(self, callback: Callable[[], None]) -> None:
        self.event_observers.append(callback)

    def _notified(self, notice: Notice) -> None:
        """Wake everybody: what a notification is about is read from rows. Our own commits have told us already."""
        if notice.payload == self.server_id and not notice.resync:
            return
        for observers in (self.work_observers, self.order_observers, self.event_observers):
            for observer in observers:
                observer()
