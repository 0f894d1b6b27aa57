"""Numbers about what is between a server and its PostgreSQL: the group commit, the connections, the listener."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import Metric

from crawlsock.metrics.families import counter, gauge, histograms

if TYPE_CHECKING:
    from crawlsock.store.batch import GroupCommit
    from crawlsock.store.listener import Listener
    from crawlsock.store.pool import Statistics


class Connections(Protocol):
    """What this needs of `crawlsock.store.database.Database`."""

    @property
    def listener(self) -> Listener:
        """The connection that listens."""

    def statistics(self) -> Statistics:
        """Return the figures of the pool."""


class DatabaseMetrics:
    """Tell about the connections to the database and what runs over them."""

    def __init__(self, database: Connections, group: GroupCommit) -> None:
        self._database = database
        self._group = group

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        group, pool, listener = self._group, self._database.statistics(), self._database.listener
        yield histograms("group_commit_items", "Writes in each group that was committed.", (), [((), group.sizes)])
        yield histograms("group_commit_duration_seconds", "From sending a group to its commit.", (), [((), group.took)])
        yield gauge("group_commit_waiting", "Writes that wait for the commit under way.", group.waiting)
        yield gauge("group_commit_busy_seconds", "For how long the group under way has been.", group.busy_for)
        yield counter("group_commit_given_up", "Groups given up: the database was away or busy.", group.unavailable)
        yield gauge("database_pool_size", "Connections that the pool keeps.", pool.size)
        yield gauge("database_pool_connections", "Connections that it has.", pool.connections)
        yield gauge("database_pool_in_use", "Connections of the pool that are in use.", pool.in_use)
        yield gauge("database_pool_waiting", "Calls that wait for a free connection.", pool.waiting)
        yield gauge("database_pool_oldest_wait_seconds", "How long the first of them has been.", pool.oldest_wait)
        yield counter("database_pool_reconnects", "Connections made again after one was lost.", pool.reconnects)
        yield gauge("listener_up", "Whether notifications arrive.", float(listener.works))
        if listener.round_trip_age is not None:
            yield gauge(
                "listener_age_seconds", "Seconds since a notification to ourselves came back.", listener.round_trip_age
            )
        if listener.round_trip is not None:
            yield gauge("listener_round_trip_seconds", "How long the last one took.", listener.round_trip)
        yield counter("listener_reconnects", "Listening connections made again.", listener.reconnects)
