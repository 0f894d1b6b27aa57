"""Numbers about sockets: who is connected, what goes over them, how long requests take, what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from attrs import define
from prometheus_client.core import Metric

from crawlsock.metrics.families import by_one, counter, counters, gauge, gauges, histograms
from crawlsock.server.middleware import REQUEST_BOUNDS
from crawlsock.server.peer import PeerState
from crawlsock.tally import Histogram
from crawlsock.wire.errors import ErrorCode

if TYPE_CHECKING:
    from crawlsock.server.assembly import Server
    from crawlsock.server.traffic import Sizes

_ROLES: Final = ("crawler", "webapp", "monitor", "admin", "stranger")


@define
class _Frames:
    sizes: Sizes

    @property
    def total(self) -> float:
        return self.sizes.bytes

    def cumulative(self) -> Iterator[tuple[float, int]]:
        return self.sizes.cumulative()


class WireMetrics:
    """Tell about connections and messages."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield from self._connections()
        yield from self._crawlers()
        yield from self._messages()
        yield from self._requests()

    def _connections(self) -> Iterator[Metric]:
        figures: dict[str, Any] = self._server.pool.statistics()
        roles: dict[str, int] = figures["by_role"]
        yield gauges(
            "connections",
            "Connections on the sockets, by role; strangers have not said hello.",
            ("role",),
            {(role,): roles.get(role, 0) for role in _ROLES},
        )
        yield gauge(
            "connections_limit", "Connections that may be there.", self._server.settings.current.max_connections
        )
        yield counters(
            "connection_events",
            "What happened to connections: connected, authenticated, lost; cleared: cut off by us for silence; broken: "
            "bytes that were no frames.",
            ("event",),
            {(name,): figures[name] for name in ("connected", "authenticated", "lost", "cleared", "broken")},
        )
        yield gauge("connections_congested", "Connections whose peer does not read.", figures["congested"])
        yield gauge("requests_in_flight", "Requests that were read and not answered yet.", figures["in_flight"])

    def _crawlers(self) -> Iterator[Metric]:
        crawlers = self._server.pool.by_role("crawler")
        now = self._server.clock.seconds()
        standing = Counter({"connected": 0, "paused": 0, "draining": 0})
        for peer in crawlers:
            leaving = peer.leaving or peer.state is PeerState.DRAINING
            standing["draining" if leaving else "paused" if peer.paused else "connected"] += 1
        yield gauges("crawlers", "Crawlers on this server, by standing.", ("standing",), by_one(standing))
        yield gauge("crawler_credits", "Jobs that crawlers would take now.", sum(peer.credits for peer in crawlers))
        yield gauge(
            "heartbeat_age_seconds",
            "Seconds since the last heartbeat of the crawler that has been silent for longest.",
            max((now - peer.beat_at for peer in crawlers), default=0.0),
        )

    def _messages(self) -> Iterator[Metric]:
        traffic, catalog = self._server.factory.traffic, self._server.router.catalog
        received: Counter[str] = Counter()
        for (_, type), row in self._server.timing.rows.items():
            received[type] += row.count
        received.update(traffic.replies)
        messages: dict[tuple[str, ...], float] = {(type, "received"): count for type, count in received.items()}
        messages["unread", "received"] = traffic.unread
        for type, count in traffic.out.items():
            # Plugins' types are in the catalog, too; nothing else is ever sent.
            messages[type if type in catalog.types else "unread", "sent"] = count
        yield counters(
            "messages",
            "Messages by type and direction, requests over HTTP included; unread: frames that were no message to us.",
            ("type", "direction"),
            messages,
        )
        yield histograms(
            "frame_size_bytes",
            "Sizes of frames, by direction; the sum is every byte on the sockets.",
            ("direction",),
            [(("received",), _Frames(traffic.received)), (("sent",), _Frames(traffic.sent))],
        )
        yield counters(
            "protocol_errors",
            "Errors sent over the sockets, by code.",
            ("code",),
            {(code.value,): traffic.errors.get(code.value, 0) for code in ErrorCode},
        )

    def _requests(self) -> Iterator[Metric]:
        took: dict[str, Histogram] = {}
        refused: Counter[str] = Counter()
        for (_, type), row in self._server.timing.rows.items():
            refused.update(row.refused)
            if row.count:
                merged = took.setdefault(type, Histogram(REQUEST_BOUNDS))
                merged.counts = [one + other for one, other in zip(merged.counts, row.took.counts, strict=True)]
                merged.total += row.took.total
        yield histograms(
            "request_duration_seconds",
            "From a request's arrival to its answer, by type; writes are answered once they are committed.",
            ("type",),
            [((type,), counts) for type, counts in took.items()],
        )
        yield counters(
            "requests_refused",
            "Requests that were refused, on the sockets and over HTTP, by code.",
            ("code",),
            {(code.value,): refused.get(code.value, 0) for code in ErrorCode},
        )
        yield counter(
            "silent_peers", "Peers that missed heartbeats and were asked whether they live.", self._server.health.missed
        )
