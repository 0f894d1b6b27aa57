"""What operators see of a running server, and what they may do to it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

import crawlsock
from crawlsock.config import DECLARATIONS, ConfigError, LiveSettings
from crawlsock.masking import Masker
from crawlsock.server import tokens
from crawlsock.server.census import by_state
from crawlsock.server.checks import BAD
from crawlsock.server.credentials import moment
from crawlsock.server.middleware import Timing
from crawlsock.server.peer import Peer, PeerLost, PeerState, PeerTimeout
from crawlsock.server.pool import ConnectionPool
from crawlsock.store.values import SessionView
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.server.census import Census
    from crawlsock.server.checks import Checks
    from crawlsock.server.dispatcher import Dispatcher
    from crawlsock.server.revocations import Revocations
    from crawlsock.store.interface import IStore

_ACK_SECONDS: Final = 10.0
_PACKAGES: Final = ("Twisted", "txpostgres", "psycopg2-binary", "jsonschema-rs", "orjson", "cryptography")


class OperationsDesk:
    """Answer operators' questions and carry out their commands; every command is in the audit."""

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        pool: ConnectionPool,
        dispatcher: Dispatcher,
        settings: LiveSettings,
        timing: Timing,
        masker: Masker,
        server_id: str,
        census: Census,
        checks: Checks,
        revocations: Revocations,
    ) -> None:
        self._clock = clock
        self._store = store
        self._pool = pool
        self._dispatcher = dispatcher
        self._settings = settings
        self._timing = timing
        self._masker = masker
        self._server_id = server_id
        self._census = census
        self._checks = checks
        self._revocations = revocations
        self._reports: list[Callable[[], dict[str, Any]]] = []
        self._began = clock.seconds()

    def crawlers(self) -> Deferred[list[dict[str, Any]]]:
        """Fire with one view a crawler; what only the server that holds the connection knows is added for ours."""
        return Deferred.fromCoroutine(self._crawlers())

    async def _crawlers(self) -> list[dict[str, Any]]:
        rates: dict[str, float] = {}
        for session_id, _, rate in await self._census.rates():
            rates[session_id] = rates.get(session_id, 0.0) + rate
        return [self._view(each, rates.get(each.session_id)) for each in await self._store.sessions()]

    def _view(self, session: SessionView, rate: float | None) -> dict[str, Any]:
        data = session.as_json()
        if rate is not None:
            data["rate"] = rate
        peer = self._pool.by_session(session.session_id)
        if peer is not None:
            leaving = peer.leaving or peer.state is PeerState.DRAINING
            data["state"] = "draining" if leaving else "paused" if peer.paused else "connected"
        return data

    def status(self, accounts: frozenset[str] | None = None) -> Deferred[dict[str, Any]]:
        """Fire with the state of this server; also when the database is away.

        A peer that is bound to accounts is told of their jobs only, and nothing of the health.
        """
        return Deferred.fromCoroutine(self._status(accounts))

    async def _status(self, accounts: frozenset[str] | None) -> dict[str, Any]:
        jobs: dict[str, int] = {}
        crawlers = len(self._pool.by_role("crawler"))
        # A database that hangs must not make whoever asks what is wrong wait for it.
        away = any(line.check == "database" and line.state == BAD for line in self._checks.lines())
        state = "down" if away else self._store.state
        try:
            if not away:
                crawlers = len(await self._store.sessions())
                if accounts is None:
                    # Counted now, not taken from the census: who asks for the status wants to know where things stand.
                    jobs = await self._store.job_counts()
                else:
                    jobs = by_state((await self._census.jobs(accounts)).value)
        except Refusal:
            state = "down"
        status: dict[str, Any] = {
            "server": {
                "name": self._settings.current.server_name,
                "version": crawlsock.__version__,
                "server_id": self._server_id,
                "jobs_assigned": self._dispatcher.assigned,
            },
            "jobs": jobs,
            "crawlers": crawlers,
            "database": {"state": state},
            "pool": self._pool.statistics(),
            "uptime": self._clock.seconds() - self._began,
            "versions": _versions(),
        }
        if accounts is None:
            status["health"] = self._checks.rows()
        for report in self._reports:
            status.update(report())
        return {name: _present(value) for name, value in status.items()}

    def health(self) -> list[dict[str, Any]]:
        """Say what is well and what is not, a line for each thing that was looked at, with what to do about it."""
        return self._checks.rows()

    def report(self, source: Callable[[], dict[str, Any]]) -> None:
        """Let `status` tell what `source` returns, too."""
        self._reports.append(source)

    def command(self, crawler_id: str, command: str, reason: str | None, actor: str) -> Deferred[None]:
        """Pause, resume, drain or disconnect a crawler that is connected here.

        Fails with ``unknown_crawler`` and, when the crawler does not answer, ``unavailable``.
        """
        return Deferred.fromCoroutine(self._command(crawler_id, command, reason, actor))

    async def _command(self, crawler_id: str, command: str, reason: str | None, actor: str) -> None:
        peer = self._pool.by_crawler(crawler_id)
        if peer is None:
            raise Refusal(ErrorCode.UNKNOWN_CRAWLER, await self._where_is(crawler_id), "/data/crawler_id")
        await self._store.audit(actor, f"crawler_{command}", crawler_id, {} if reason is None else {"reason": reason})
        await self._COMMANDS[command](self, peer, reason)

    async def _where_is(self, crawler_id: str) -> str:
        """Say that a crawler is not here, and where to send the command instead."""
        for session in await self._store.sessions():
            if session.crawler_id == crawler_id and session.server_id != self._server_id:
                return f"crawler {crawler_id} is connected to server {session.server_id}; send the command there"
        return f"no crawler {crawler_id} is connected to this server"

    async def _pause(self, peer: Peer, reason: str | None) -> None:
        peer.paused = True
        await self._tell(peer, "crawler_pause", reason)

    async def _resume(self, peer: Peer, reason: str | None) -> None:
        peer.paused = False
        await self._tell(peer, "crawler_resume", reason)
        self._dispatcher.wake()

    async def _drain(self, peer: Peer, reason: str | None) -> None:
        peer.leaving = True
        peer.credits = 0
        peer.state = PeerState.DRAINING
        deadline = self._settings.current.drain_timeout
        peer.push(
            "shutdown",
            {
                "graceful": True,
                "deadline": deadline,
                "reason": reason or "drained by an operator",
                "reconnect_delay": 0,
                "leave": True,
            },
        )

    async def _disconnect(self, peer: Peer, reason: str | None) -> None:
        peer.link.close(reason or "disconnected by an operator")

    async def _tell(self, peer: Peer, type: str, reason: str | None) -> None:
        try:
            await peer.request(type, {} if reason is None else {"reason": reason}, deadline=_ACK_SECONDS)
        except (PeerLost, PeerTimeout) as error:
            raise Refusal(ErrorCode.UNAVAILABLE, str(error), retry_after=1.0) from None

    _COMMANDS: Final = {"pause": _pause, "resume": _resume, "drain": _drain, "disconnect": _disconnect}

    def broadcast(self, message: str, actor: str) -> Deferred[int]:
        """Push a message for people to every peer of this server; fire with how many took it."""

        def push(_: None) -> int:
            return self._pool.broadcast("broadcast", {"message": message})

        return self._store.audit(actor, "broadcast", None, {"message": message}).addCallback(push)

    def set(self, name: str, value: str, actor: str) -> Deferred[None]:
        """Change a setting.

        Fails with ``unknown_setting``, ``not_reloadable``, and ``invalid_message`` for the value.
        """
        declaration = DECLARATIONS.get(name)
        if declaration is None:
            raise Refusal(ErrorCode.UNKNOWN_SETTING, f"there is no setting {name}", "/data/name")
        if not declaration.reloadable:
            raise Refusal(ErrorCode.NOT_RELOADABLE, f"{name} is read at start only", "/data/name")
        try:
            self._settings.set(name, value)
        except ConfigError as error:
            raise Refusal(ErrorCode.INVALID_MESSAGE, str(error), "/data/value") from None
        shown = "" if declaration.secret else value
        return self._store.audit(actor, "config_set", name, {"value": shown})

    def settings(self) -> list[dict[str, Any]]:
        """Every setting, with secrets hidden."""
        masked = self._settings.loaded.masked()
        return [
            {
                "name": name,
                "value": value[:4096],
                "source": source[:128],
                "reloadable": DECLARATIONS[name].reloadable,
            }
            for name, (value, source) in masked.items()
        ]

    def create_token(
        self, role: str, name: str, accounts: Sequence[str] | None, expires_at: str | None, actor: str
    ) -> Deferred[dict[str, Any]]:
        """Make a token; fire with it and its id."""

        async def create() -> dict[str, Any]:
            token, token_id = await tokens.create_token(
                self._store,
                role,
                name,
                None if accounts is None else frozenset(accounts),
                None if expires_at is None else moment(expires_at),
                actor,
            )
            self._masker.register(token)
            return {"token": token, "token_id": token_id}

        return Deferred.fromCoroutine(create())

    def revoke_token(self, token_id: str, actor: str) -> Deferred[None]:
        """End a token, and the connections of this server that were made with it."""

        def close(_: None) -> None:
            self._revocations.token_ended(token_id, "was revoked")

        return self._store.revoke_token(token_id, actor).addCallback(close)

    @property
    def timing(self) -> Timing:
        """How requests went, for metrics."""
        return self._timing


def _present(value: Any) -> Any:
    """Leave out what is None, at every level: on the wire, absent means absent."""
    if isinstance(value, dict):
        return {name: _present(each) for name, each in value.items() if each is not None}
    return value


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    """Return the versions of what this server is made of; what is not installed is left out."""
    found = {"crawlsock": crawlsock.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package.lower()] = version(package)
        except PackageNotFoundError:
            # The driver may have been built from source, under another name.
            continue
    return found
