"""Bring cancels, pauses and resumes to the crawlers that hold the jobs.

The law: what is wished for stands in the store; this only tells the crawlers, once a lease and connection. What gets
lost on the way is found again by the poll, because an order stays pending there until the lease ends or the wish is
taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from crawlsock.server.peer import Peer, PeerLost, PeerTimeout
from crawlsock.server.pool import ConnectionPool
from crawlsock.store.values import Order
from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

ACK_SECONDS: Final = 10.0
_UNSURE: Final = "unsure"
"""Beside the kinds of orders: the crawler may hold the job, or not, and should be told."""
_TYPES: Final = {"cancel": "job_cancel", "pause": "job_pause", "resume": "job_resume"}


class OrderDelivery:
    """Push orders to crawlers that are connected here."""

    _log = Logger()

    def __init__(self, store: IStore, pool: ConnectionPool, server_id: str) -> None:
        self._store = store
        self._pool = pool
        self._server_id = server_id
        self._polling = False
        self._again = False

    def deliver(self, orders: Sequence[Order]) -> None:
        """Push orders that have just been given. Those of other servers' crawlers are left to those servers."""
        for order in orders:
            peer = self._pool.by_session(order.session_id)
            if peer is not None:
                self._push(peer, order)

    def remind(self, peer: Peer, orders: Sequence[Order]) -> None:
        """Push what is wished for the jobs of a crawler that has come back: nobody knows what it was told before."""
        peer.delivered.update((_UNSURE, order.job_id, order.lease) for order in orders)
        for order in orders:
            self._push(peer, order)

    def wake(self) -> None:
        """Look into the store for orders that were given elsewhere."""
        if self._polling:
            self._again = True
            return
        self._polling = True
        Deferred.fromCoroutine(self._poll_all()).addErrback(self._bug)

    async def poll(self) -> None:
        """Push what is pending and has not been pushed on this connection; take back pauses no longer wished for."""
        pending = await self._store.pending_orders(self._server_id)
        self.deliver(pending)
        wished = {(order.kind, order.job_id, order.lease) for order in pending}
        for peer in self._pool.by_role("crawler"):
            for kind, job_id, lease in list(peer.delivered):
                if (kind, job_id, lease) in wished:
                    continue
                if kind == "cancel":
                    peer.delivered.discard((kind, job_id, lease))
                elif wished.isdisjoint({("pause", job_id, lease), ("cancel", job_id, lease)}):
                    # The pause was taken back elsewhere, or the lease has ended: then this is news to nobody.
                    self._push(peer, Order("resume", peer.session_id, job_id, lease))

    async def _poll_all(self) -> None:
        try:
            while True:
                self._again = False
                await self.poll()
                if not self._again:
                    return
        except Refusal as refusal:
            self._log.debug("Orders could not be read: {reason}", reason=str(refusal))
        finally:
            self._polling = False

    def _push(self, peer: Peer, order: Order) -> None:
        _, _, job_id, lease, _ = order
        paused = {("pause", job_id, lease), (_UNSURE, job_id, lease)}
        if order.kind == "resume":
            if peer.delivered.isdisjoint(paused):
                return
            peer.delivered -= paused
        elif (order.kind, job_id, lease) in peer.delivered:
            return
        else:
            peer.delivered.add((order.kind, job_id, lease))
        data = {} if order.reason is None else {"reason": order.reason}
        answer = peer.request(_TYPES[order.kind], data, deadline=ACK_SECONDS, job_id=job_id, lease=lease)
        answer.addCallbacks(lambda _: None, self._not_taken, errbackArgs=(peer, order))

    def _not_taken(self, failure: Any, peer: Peer, order: Order) -> None:
        failure.trap(PeerLost, PeerTimeout, Refusal)
        if not failure.check(Refusal):
            # The next poll tells it again, whatever is wished for by then.
            peer.delivered.discard((order.kind, order.job_id, order.lease))
            if order.kind != "cancel":
                peer.delivered.add((_UNSURE, order.job_id, order.lease))
        self._log.debug("{peer} did not take an order: {reason}", peer=peer.name, reason=str(failure.value))

    def _bug(self, failure: Any) -> None:
        self._log.failure("Delivering orders failed", failure)
