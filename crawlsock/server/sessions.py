"""Hello, and what becomes of a crawler's session when its link or its process goes.

The law: a link is not a session. Link lost and process dead: the jobs go back at once. Link lost and process alive, or
not to be seen from here: the session waits for its crawler until its deadline, by the database's clock. Whether a
process lives is asked of the kernel, on this machine only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

import crawlsock
from crawlsock.config import Settings
from crawlsock.server.health import HealthMonitor
from crawlsock.server.peer import Peer
from crawlsock.server.peer_credentials import ProcessWatch, ProcessWatcher, boot_id, is_alive
from crawlsock.server.pool import LOST, ConnectionPool
from crawlsock.server.tokens import authenticate
from crawlsock.store.values import Beat, HeldJob, NewSession, Order, Reaped, SessionView, rfc3339
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.session import agree, negotiate

if TYPE_CHECKING:
    from crawlsock.server.dispatcher import Dispatcher
    from crawlsock.server.orders import OrderDelivery
    from crawlsock.server.router import MessageRouter
    from crawlsock.store.interface import IStore

_TICKET_BYTES: Final = 32


class SessionKeeper:
    """Log peers in; open, resume, renew, detach and reap the sessions of crawlers."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        pool: ConnectionPool,
        router: MessageRouter,
        health: HealthMonitor,
        orders: OrderDelivery,
        dispatcher: Dispatcher,
        watcher: ProcessWatcher,
        settings: Callable[[], Settings],
        server_id: str,
    ) -> None:
        self._clock = clock
        self._store = store
        self._pool = pool
        self._router = router
        self._health = health
        self._orders = orders
        self._dispatcher = dispatcher
        self._watcher = watcher
        self._settings = settings
        self._server_id = server_id
        self._watches: dict[str, ProcessWatch] = {}
        self._endings: set[Deferred[Any]] = set()
        self._stopped = False
        pool.observe(self._seen)

    # -- hello

    def login(self, peer: Peer, hello: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """Check the token, open or resume a session; fire with the data of ``welcome``.

        Fails with `Refusal`: ``unsupported_version``, ``authentication_failed``, ``duplicate_crawler``,
        ``session_expired``, ``unavailable``.
        """
        return Deferred.fromCoroutine(self._try_login(peer, hello))

    async def _try_login(self, peer: Peer, hello: Mapping[str, Any]) -> dict[str, Any]:
        peer.link.hello_came()
        try:
            return await self._login(peer, hello)
        except Refusal:
            if peer.role is None:
                peer.link.expect_hello()
            raise

    async def _login(self, peer: Peer, hello: Mapping[str, Any]) -> dict[str, Any]:
        version = negotiate(hello["versions"])
        role = hello["role"]
        token = await authenticate(self._store, hello.get("token"), role)
        welcome: dict[str, Any] = {"resumed": False, "leases_kept": [], "leases_lost": []}
        wishes: list[Order] = []
        if role == "crawler":
            session_id, crawler_id, wishes = await self._crawler_session(peer, hello, welcome)
        else:
            session_id, crawler_id = secrets.token_hex(8), ""
        if not peer.alive:
            # It left while the store was at work. Nobody waits for the answer.
            await self._abandoned(session_id, bool(welcome["resumed"]), role)
            raise Refusal(ErrorCode.SESSION_EXPIRED, "the connection was closed")
        peer.role, peer.session_id, peer.crawler_id = role, session_id, crawler_id
        peer.token_id, peer.token_name, peer.accounts = token.token_id, token.name, token.accounts
        peer.labels = frozenset(hello.get("labels", ()))
        peer.job_types = frozenset(hello["job_types"]) if "job_types" in hello else None
        peer.detail = {"client": hello.get("client", {}), "hostname": hello.get("hostname")}
        peer.routes = self._router.routes_for(role)
        peer.paused = peer.leaving = False
        peer.credits = 0
        peer.delivered.clear()
        peer.link.authenticated()
        self._pool.authenticated(peer)
        if role == "crawler":
            self._watch_peer(peer)
        self._log.info(
            "{peer} said hello over {transport}", peer=peer.name, transport=peer.transport, session_id=session_id
        )
        if wishes:
            # After the welcome, which leaves when this coroutine has ended.
            self._clock.callLater(0, self._orders.remind, peer, wishes)
        if welcome["resumed"] and "leases" not in hello["resume"]:
            self._clock.callLater(0, self._dispatcher.repeat, peer)
        return {
            **self._terms(),
            **welcome,
            "version": version,
            "features": list(agree(hello.get("features", ()))),
            "session_id": session_id,
        }

    def _terms(self) -> dict[str, Any]:
        settings = self._settings()
        return {
            "heartbeat_interval": settings.heartbeat_interval,
            "lease_length": settings.lease_length,
            "progress_interval": settings.progress_interval,
            "limits": {
                "max_frame": settings.max_frame,
                "max_in_flight": settings.max_in_flight,
                "requests_per_second": settings.rate_limit_requests,
            },
            "server_time": rfc3339(datetime.now(timezone.utc)),
            "server": {
                "name": settings.server_name,
                "version": crawlsock.__version__,
                "server_id": self._server_id,
            },
        }

    async def _crawler_session(
        self, peer: Peer, hello: Mapping[str, Any], welcome: dict[str, Any]
    ) -> tuple[str, str, list[Order]]:
        """Resume the session of the ticket, or open a new one; return its id, its crawler's, and what is wished."""
        resume = hello.get("resume")
        if resume is not None:
            return await self._resume(peer, resume, welcome)
        crawler_id = hello.get("crawler_id") or f"crawler-{secrets.token_hex(4)}"
        await self._make_way(peer, crawler_id)
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        settings = self._settings()
        session = await self._store.open_session(
            NewSession(
                crawler_id=crawler_id,
                server_id=self._server_id,
                ticket_hash=_ticket_hash(ticket),
                lease_length=settings.lease_length,
                slots=hello.get("slots", 0),
                labels=frozenset(hello.get("labels", ())),
                job_types=frozenset(hello["job_types"]) if "job_types" in hello else None,
                hostname=hello.get("hostname"),
                version=hello.get("client", {}).get("version"),
                transport=peer.transport,
                **_process(peer, hello),
            )
        )
        welcome["ticket"] = ticket
        return session.session_id, crawler_id, []

    async def _resume(
        self, peer: Peer, resume: Mapping[str, Any], welcome: dict[str, Any]
    ) -> tuple[str, str, list[Order]]:
        process = _process(peer, {})
        resumed = await self._store.resume_session(
            _ticket_hash(resume["ticket"]), resume.get("leases"), self._server_id, **process
        )
        session = resumed.session
        before = self._pool.by_session(session.session_id)
        if before is not None and before is not peer:
            # Only one has the ticket: the other link is what is left of the same crawler's last one.
            self._pool.session_ended(before)
            before.link.close("its crawler has come back on another connection")
        welcome.update(
            ticket=resume["ticket"],
            resumed=True,
            leases_kept=[job.lease for job in resumed.kept],
            leases_lost=list(resumed.lost),
        )
        return session.session_id, session.crawler_id, _wishes(session.session_id, resumed.kept)

    async def _make_way(self, peer: Peer, crawler_id: str) -> None:
        """Find out whether the crawler of this id that is connected lives; refuse the new one if it does."""
        first = self._pool.by_crawler(crawler_id)
        if first is None or first is peer:
            return
        session_id = first.session_id
        if await self._health.ask(first, self._settings().hello_timeout):
            raise Refusal(
                ErrorCode.DUPLICATE_CRAWLER,
                f"a crawler with the id {crawler_id} is connected and lives; choose another crawler_id",
                "/data/crawler_id",
            )
        if session_id:
            await self._store.detach_session(session_id)

    async def _abandoned(self, session_id: str, resumed: bool, role: str) -> None:
        if role != "crawler":
            return
        if resumed:
            await self._store.detach_session(session_id)
        else:
            # It never heard of this session, so it cannot come back to it.
            await self._store.end_session(session_id, "the link was lost before the welcome")

    # -- while the session lives

    def beat(self, peer: Peer, beat: Mapping[str, Any]) -> Deferred[None]:
        """Renew the session. Fails with ``session_expired``: the crawler then says hello again."""
        if not peer.session_id:
            raise Refusal(ErrorCode.SESSION_EXPIRED, "the session has ended; say hello again")
        session_id = peer.session_id
        peer.beat_at = self._clock.seconds()

        def refused(failure: Any) -> Any:
            if failure.check(Refusal) and failure.value.code is ErrorCode.SESSION_EXPIRED:
                self._ended(session_id)
            return failure

        values = {**beat, "active_jobs": tuple(beat.get("active_jobs", ()))}
        return self._store.heartbeat(session_id, Beat(**values)).addErrback(refused)

    async def adopt(self) -> None:
        """Take over the sessions of this server after a start or an outage of the database.

        Crawlers get time to come back. Those of this machine whose process is gone lose their jobs at once; the
        others' processes are watched.
        """
        sessions = await self._store.adopt_sessions(self._server_id, self._settings().resume_grace)
        gone = [each.session_id for each in sessions if not self._may_come_back(each)]
        if gone:
            await self.reap(gone)
        for session in sessions:
            if session.session_id in gone or session.server_id != self._server_id:
                continue
            if self._pool.by_session(session.session_id) is None and session.state == "connected":
                await self._store.detach_session(session.session_id)

    def _may_come_back(self, session: SessionView) -> bool:
        if session.boot_id is None or session.boot_id != boot_id() or session.pid is None:
            return True
        if session.process_start is None:
            return True
        # A store may keep it as text; a comparison that always fails would take every crawler for dead.
        start = int(session.process_start)
        if not is_alive(session.pid, start):
            return False
        if session.session_id not in self._watches:
            self._keep(
                session.session_id,
                self._watcher.of_process(session.pid, start, self._died(session.session_id)),
            )
        return True

    async def reap(self, session_ids: Sequence[str] | None = None) -> list[Reaped]:
        """Take back the jobs of sessions that are over: those named, or all past their deadline."""
        reaped = await self._store.reap(session_ids)
        for each in reaped:
            self._ended(each.session_id)
            self._log.warn(
                "{crawler} was lost; {jobs} jobs went back, {poisoned} of them were parked as poison",
                crawler=each.crawler_id,
                jobs=each.jobs,
                poisoned=each.poisoned,
                session_id=each.session_id,
            )
        return reaped

    async def _reap_one(self, session_id: str) -> None:
        await self.reap([session_id])

    def start(self) -> Deferred[None]:
        """Take over the sessions that this server had."""
        self._stopped = False
        return Deferred.fromCoroutine(self.adopt())

    def stop(self) -> Deferred[None]:
        """Watch no more processes; fire when the ends of all links are noted. Again is fine."""
        self._stopped = True
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.stop()
        return DeferredList(list(self._endings)).addCallback(lambda _: None)

    # -- when something ends

    def _seen(self, event: str, peer: Peer, reason: str) -> None:
        if event != LOST or peer.role != "crawler" or not peer.session_id:
            return
        session_id = peer.session_id
        self._log.info("{peer} lost its link: {reason}", peer=peer.name, reason=reason, session_id=session_id)
        watch = self._watches.get(session_id)
        if peer.leaving:
            self._ended(session_id)
            ending = self._store.end_session(session_id, reason)
        elif watch is not None and watch.dead():
            ending = Deferred.fromCoroutine(self._reap_one(session_id))
        else:
            ending = self._store.detach_session(session_id)
        self._endings.add(ending)
        ending.addErrback(self._not_noted, session_id).addBoth(lambda _: self._endings.discard(ending))

    def _watch_peer(self, peer: Peer) -> None:
        link: Any = peer.link
        watch = None
        if peer.transport == "unix":
            watch = self._watcher.of_socket(link.transport.getHandle(), self._died(peer.session_id))
        self._keep(peer.session_id, watch)

    def _keep(self, session_id: str, watch: ProcessWatch | None) -> None:
        before = self._watches.pop(session_id, None)
        if before is not None:
            before.stop()
        if watch is not None:
            self._watches[session_id] = watch

    def _died(self, session_id: str) -> Callable[[], None]:
        def died() -> None:
            self._watches.pop(session_id, None)
            if not self._stopped:
                Deferred.fromCoroutine(self._reap_one(session_id)).addErrback(self._not_noted, session_id)

        return died

    def _ended(self, session_id: str) -> None:
        """Forget a session that is over. Its crawler may still be connected, and say hello again."""
        self._keep(session_id, None)
        peer = self._pool.by_session(session_id)
        if peer is not None:
            self._pool.session_ended(peer)

    def _not_noted(self, failure: Any, session_id: str) -> None:
        # The database is away: the session's deadline does the same a little later.
        failure.trap(Refusal)
        self._log.warn(
            "The end of a link could not be noted: {reason}", reason=str(failure.value), session_id=session_id
        )


def _process(peer: Peer, hello: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the crawler's process: from the kernel, or else only the pid that it says it has."""
    kernel = peer.credentials
    if kernel is None:
        return {"pid": hello.get("pid"), "uid": None, "process_start": None, "boot_id": None}
    return {"pid": kernel.pid, "uid": kernel.uid, "process_start": kernel.start, "boot_id": kernel.boot_id}


def _ticket_hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _wishes(session_id: str, jobs: Sequence[HeldJob]) -> list[Order]:
    """Return what came while the crawler was away.

    A pause may have been taken back, and nobody remembers whether the crawler was told of it: so the jobs that are not
    to be paused are told that, too.
    """
    return [
        Order(
            "cancel" if job.cancel_requested else "pause" if job.pause_requested else "resume",
            session_id,
            job.job_id,
            job.lease,
        )
        for job in jobs
    ]
