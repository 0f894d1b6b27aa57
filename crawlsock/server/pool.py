"""Everybody who is connected.

The law: the pool knows who there is and in which state; it decides nothing about jobs or sessions. Whoever wants to
know that somebody came or went observes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.server.peer import Peer, PeerState
from crawlsock.wire.message import Message

CONNECTED: Final = "connected"
AUTHENTICATED: Final = "authenticated"
LOST: Final = "lost"
_ACK_SECONDS: Final = 10.0

Observer = Callable[[str, Peer, str], None]
"""Told the event (`CONNECTED`, `AUTHENTICATED` or `LOST`), the peer, and a reason that may be empty."""


class ConnectionPool:
    """Hold the peers, find them by what they are, and reach many at once."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._peers: dict[int, Peer] = {}
        self._by_session: dict[str, Peer] = {}
        self._by_crawler: dict[str, Peer] = {}
        self._observers: list[Observer] = []
        self._emptied: list[Deferred[None]] = []
        self._counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` of every connection's life from now on; return a function that ends this."""
        self._observers.append(observer)

        def end() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return end

    def add(self, peer: Peer) -> None:
        """Take in a new connection."""
        self._peers[peer.number] = peer
        self._counters["connected"] += 1
        self._tell(CONNECTED, peer, "")

    def authenticated(self, peer: Peer) -> None:
        """Index a peer that has said who it is; called again when it opens another session."""
        peer.state = PeerState.READY
        if peer.session_id:
            self._by_session[peer.session_id] = peer
        if peer.role == "crawler":
            self._by_crawler[peer.crawler_id] = peer
        self._counters["authenticated"] += 1
        self._tell(AUTHENTICATED, peer, "")

    def session_ended(self, peer: Peer) -> None:
        """Forget the session of a peer that stays connected; it may open another."""
        if self._by_session.get(peer.session_id) is peer:
            del self._by_session[peer.session_id]
        peer.session_id = ""
        peer.credits = 0

    def remove(self, peer: Peer, reason: str) -> None:
        """Forget a connection that is gone."""
        if self._peers.pop(peer.number, None) is None:
            return
        for index, key in ((self._by_session, peer.session_id), (self._by_crawler, peer.crawler_id)):
            # A crawler that came back is another peer by now.
            if index.get(key) is peer:
                del index[key]
        self._counters["lost"] += 1
        self._tell(LOST, peer, reason)
        if not self._peers:
            waiting, self._emptied = self._emptied, []
            for each in waiting:
                each.callback(None)

    def count(self, what: str) -> None:
        """Count something that happened to a connection, for the statistics."""
        self._counters[what] += 1

    def by_session(self, session_id: str) -> Peer | None:
        """Return the peer that holds the session, if it is connected here."""
        return self._by_session.get(session_id)

    def by_crawler(self, crawler_id: str) -> Peer | None:
        """Return the crawler of this id, if it is connected here."""
        return self._by_crawler.get(crawler_id)

    def by_role(self, *roles: str) -> list[Peer]:
        """Return the peers of these roles."""
        return [peer for peer in self._peers.values() if peer.role in roles]

    def wanting(self) -> list[Peer]:
        """Return the crawlers that may be given jobs."""
        return [peer for peer in self._by_session.values() if peer.wants_jobs]

    def broadcast(self, type: str, data: Mapping[str, Any], *roles: str) -> int:
        """Push to all peers, or to those of some roles; return to how many. Nobody waits for their acks."""
        peers = [each for each in self if each.alive and each.role is not None and (not roles or each.role in roles)]
        for peer in peers:
            peer.request(type, data, deadline=_ACK_SECONDS).addErrback(lambda _: None)
        return len(peers)

    def send(
        self, peer: Peer, type: str, data: Mapping[str, Any], *, deadline: float, **envelope: Any
    ) -> Deferred[Message]:
        """Send a push that must be answered within `deadline` seconds; see `Peer.request`."""
        return peer.request(type, data, deadline=deadline, **envelope)

    def clear(self, peer: Peer, reason: str) -> None:
        """Cut off a peer that does not behave as a living one."""
        if peer.state is PeerState.CLOSED:
            return
        self._counters["cleared"] += 1
        self._log.warn("{peer} was cut off: {reason}", peer=peer.name, reason=reason)
        peer.link.abort(reason)

    def clear_unhealthy(self, longest_silence: float) -> int:
        """Cut off every peer from which nothing came for so many seconds; return how many."""
        now = self._clock.seconds()
        silent = [peer for peer in self if now - peer.now > longest_silence]
        for peer in silent:
            self.clear(peer, f"nothing came from it for {now - peer.now:.1f} s")
        return len(silent)

    def statistics(self) -> dict[str, Any]:
        """Return counts of connections by role and state, of events so far, and of frames."""
        peers = list(self._peers.values())
        return {
            "connections": len(peers),
            "by_role": dict(Counter(peer.role or "stranger" for peer in peers)),
            "by_state": dict(Counter(peer.state.value for peer in peers)),
            "congested": sum(peer.link.congested for peer in peers),
            "in_flight": sum(peer.in_flight for peer in peers),
            "received": self._counters["received"] + sum(peer.received for peer in peers),
            "sent": self._counters["sent"] + sum(peer.sent for peer in peers),
            "refused": self._counters["refused"] + sum(peer.refused for peer in peers),
            **{name: self._counters[name] for name in ("connected", "authenticated", "lost", "cleared", "broken")},
        }

    def when_empty(self) -> Deferred[None]:
        """Return a Deferred that fires when nobody is connected, at once if nobody is."""
        empty: Deferred[None] = Deferred()
        if self._peers:
            self._emptied.append(empty)
        else:
            empty.callback(None)
        return empty

    def _tell(self, event: str, peer: Peer, reason: str) -> None:
        if event == LOST:
            self._counters.update(received=peer.received, sent=peer.sent, refused=peer.refused)
        for observer in list(self._observers):
            try:
                observer(event, peer, reason)
            except Exception:
                # One observer must not keep the others, or the connection, from going on.
                self._log.failure("An observer of connections failed at {event}", event=event)
