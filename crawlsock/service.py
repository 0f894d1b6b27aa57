"""The composition root: the only file that knows everybody.

The law: what exists, in which order it starts, and what ends the process when it cannot start. How anything works is
decided elsewhere.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.plugin import getPlugins
from twisted.python.failure import Failure

import crawlsock
from crawlsock.config import ConfigError, LiveSettings, Loaded, Settings
from crawlsock.config.errors import BAD_CONFIGURATION
from crawlsock.feed import Hub
from crawlsock.identity import Identity
from crawlsock.incidents.notifier import ChannelError
from crawlsock.interfaces import IMessagePlugin, INotifier
from crawlsock.lifecycle import Lifecycle, LifecycleService, end_process
from crawlsock.logs import Logs
from crawlsock.masking import Masker, passwords_of_dsn
from crawlsock.metrics.database import DatabaseMetrics
from crawlsock.postgres import EmbeddedPostgres, EmbeddedPostgresError, PostgresSupervisor
from crawlsock.progress import ProgressTracker
from crawlsock.secrets import Vault, VaultError
from crawlsock.server.assembly import Server
from crawlsock.server.checks import BAD
from crawlsock.server.database_symptoms import DatabaseSymptoms, SocketSymptoms
from crawlsock.server.listener import SocketServer
from crawlsock.server.routes import RouteError
from crawlsock.server.tokens import ensure_tokens
from crawlsock.store.database import Database
from crawlsock.store.errors import Unsuitable
from crawlsock.store.migrate import MigrationError, Migrator, SchemaTooNew, newest_migration
from crawlsock.store.postgres import PostgresStore
from crawlsock.systemd import Manager, Notifier
from crawlsock.web.assembly import Web
from crawlsock.wire.catalog import CatalogError

VERSION_MISMATCH: Final = 8
"""Exit code: the database belongs to a newer crawlsock."""
FEED_PACE: Final = 0.02
"""Seconds between two looks into the feed, at least, while somebody follows it."""
_START_DEADLINE: Final = 90.0
_WORDS_FOR_WAITING: Final = 5.0
_STUCK_SECONDS: Final = 60.0
"""A group of writes that takes this long will not end: every statement has a deadline far below."""
_DESCRIPTORS_A_CONNECTION: Final = 2
"""A crawler's socket, and what watches its process."""
_DESCRIPTORS_BESIDE: Final = 256


class StartError(Exception):
    """The server cannot start, for a reason that a person can act on; `exit_code` is what the process ends with."""

    def __init__(self, message: str, exit_code: int = BAD_CONFIGURATION) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_EXIT_CODES: Final = (
    (SchemaTooNew, VERSION_MISMATCH),
    (MigrationError, BAD_CONFIGURATION),
    (EmbeddedPostgresError, BAD_CONFIGURATION),
    (Unsuitable, BAD_CONFIGURATION),
    (VaultError, BAD_CONFIGURATION),
    (RouteError, BAD_CONFIGURATION),
    (CatalogError, BAD_CONFIGURATION),
    (ChannelError, BAD_CONFIGURATION),
)


class Crawlsock:
    """One server with its database, as a part that starts and stops.

    Nothing happens before `start`. After it, `store`, `server`, `hub` and `database` are there. May be started again
    after a stop, which makes all of them anew.

    :param logs: the process's log, whose level follows the settings; None in tests that have none.
    :param manager: the service manager to keep informed, if there is one.
    """

    _log = Logger()
    database: Database
    store: PostgresStore
    server: Server
    hub: Hub
    web: Web

    def __init__(self, loaded: Loaded, reactor: Any, logs: Logs | None = None, manager: Manager | None = None) -> None:
        self.settings = LiveSettings(loaded)
        self.notifier = Notifier(reactor, manager, self._status, self._well)
        self._reactor = reactor
        self._logs = logs
        self.masker = logs.masker if logs is not None else Masker()
        self._identity = Identity(loaded.settings.data_dir)
        self._postgres: PostgresSupervisor | None = None
        self._parts: Lifecycle | None = None
        self._following: Any = None

    def start(self) -> Deferred[None]:
        """Start everything. Fails with an exception that has an `exit_code` when a person must act."""
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """Lead the connections out, stop everything, the embedded PostgreSQL last. Again is fine."""
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> None:
        """Read the configuration again and take what may change; a bad one is logged and changes nothing."""
        if self._parts is None or not self._parts.running:
            self._reload()
            return
        self.notifier.reloading()
        try:
            self._reload()
        finally:
            self.notifier.ready()

    def _reload(self) -> None:
        try:
            changes = self.settings.reload()
        except ConfigError as error:
            self._log.error("The configuration was not taken: {reason}", reason=str(error))
            return
        for change in changes:
            if change.applied:
                self._log.info("{name} is {new} now; it was {old}", name=change.name, new=change.new, old=change.old)
            else:
                self._log.warn(
                    "{name} will be {new} after the next start; it stays {old} until then",
                    name=change.name,
                    new=change.new,
                    old=change.old,
                )

    async def _start(self) -> None:
        if self._parts is not None:
            return
        settings = self.settings.current
        self._allow_descriptors(settings.max_connections, settings.web_connections)
        try:
            server_id = self._identity.take()
            self.notifier.starting("starting: waiting for the database")
            dsn = await self._find_database(settings)
            self._parts = self._build(settings, dsn, server_id)
            await self._parts.start()
        except Exception as error:
            for kind, code in _EXIT_CODES:
                if isinstance(error, kind):
                    raise StartError(str(error), code) from error
            raise
        _settle_memory()
        if self._logs is not None:
            self._following = self.settings.subscribe(self._follow)
        self.notifier.ready()
        self._log.info("crawlsock {version} is ready", version=crawlsock.__version__, server_id=self.server.server_id)

    async def _stop(self) -> None:
        if self._following is not None:
            self._following()
            self._following = None
        parts, self._parts = self._parts, None
        if parts is not None:
            self.notifier.stopping("stopping: leading the connections out")
            await parts.stop()
        postgres, self._postgres = self._postgres, None
        if postgres is not None:
            await postgres.stopService()
        self.notifier.stop()
        self._identity.release()

    def _status(self) -> str:
        """Say in a sentence how the server is, for the service manager."""
        wrong = [f"{each.check}: {each.summary}" for each in self.server.checks.lines() if each.state == BAD]
        crawlers = len(self.server.pool.by_role("crawler"))
        well = f"{crawlers} crawlers connected, {self.server.dispatcher.assigned} jobs given out"
        return "; ".join([*wrong, well])

    def _well(self) -> bool:
        """Tell whether restarting this process would be wrong: its timers run and its writes are committed or refused.

        A database that is away is no reason: writes are refused then, and another process would not reach it either.
        """
        return self.server.lag.overdue < _STUCK_SECONDS and self.store.group.busy_for < _STUCK_SECONDS

    async def _find_database(self, settings: Settings) -> str:
        """Return the address of the database, starting the embedded one when there is no other."""
        if settings.database_url is not None:
            return settings.database_url
        prefer = None if settings.embedded_postgres == "auto" else settings.embedded_postgres
        self._postgres = PostgresSupervisor(
            self._reactor, EmbeddedPostgres(settings.data_dir / "postgres", prefer=prefer)
        )
        self._postgres.startService()
        cluster = await self._postgres.when_ready()
        return cluster.dsn()

    def _build(self, settings: Settings, dsn: str, server_id: str) -> Lifecycle:
        for password in passwords_of_dsn(dsn):
            self.masker.register(password)
        vault = Vault.from_file(settings.key_file)
        self.database = Database(
            self._reactor,
            dsn,
            size=settings.database_pool_size,
            statement_deadline=settings.database_deadline,
            on_state=self._database_changed,
        )
        parts = Lifecycle(self._reactor)
        parts.add("database", self.database)
        parts.add("schema", _Schema(self._reactor, self.database))
        self.store = PostgresStore(
            self._reactor,
            self.database,
            server_id=server_id,
            server_name=settings.server_name,
            tracker=ProgressTracker(),
            poison_limit=settings.poison_limit,
        )
        self.hub = Hub(self._reactor, self.store, pace=FEED_PACE)
        self.server = Server(
            self._reactor,
            self.store,
            self.settings,
            vault=vault,
            masker=self.masker,
            hub=self.hub,
            http=_http_client(self._reactor),
            server_id=server_id,
            plugins=list(getPlugins(IMessagePlugin)),
            notifiers=list(getPlugins(INotifier)),
        )
        symptoms = DatabaseSymptoms(
            self.database,
            self.store.group,
            self.server.pulse,
            newest_migration(),
            lambda: self.settings.current.poll_interval,
        )
        sockets = SocketSymptoms()
        self.server.checks.use(symptoms.lines)
        self.server.checks.use(sockets.lines)
        self.server.operations.report(symptoms.status)
        parts.add("store", _Store(self.store))
        parts.add("tokens", _Tokens(self.store, settings.tokens_dir, self.masker))
        parts.add("feed", self.hub)
        self.web = Web(self._reactor, self.server, self.settings)
        self.web.metrics.use(DatabaseMetrics(self.database, self.store.group).collect)
        self.web.add_to(parts, self._reactor)
        self.server.add_to(parts)
        for endpoint in (settings.endpoint, settings.tls_endpoint):
            if endpoint is not None:
                listener = SocketServer(self._reactor, endpoint, self.server.factory)
                sockets.add(listener)
                parts.add(f"listener {endpoint.partition(':')[0]}", listener)
        return parts

    def _allow_descriptors(self, connections: int, web: int) -> None:
        """Take as many descriptors as connections may need, when the system's hard limit allows it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = connections * _DESCRIPTORS_A_CONNECTION + web + _DESCRIPTORS_BESIDE
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < needed:
            self._log.warn(
                "{allowed} open files are too few for max_connections={connections}, which may need {needed}",
                allowed=allowed,
                connections=connections,
                needed=needed,
            )

    def _database_changed(self, state: str, reason: str) -> None:
        level = self._log.info if state == "up" else self._log.warn
        level("The database is {state}: {reason}", state=state, reason=reason)

    def _follow(self, settings: Settings, changed: frozenset[str]) -> None:
        if self._logs is not None and "log_level" in changed:
            self._logs.set_level(settings.log_level)


class CrawlsockService(LifecycleService):
    """The server as a service: SIGHUP reads the configuration again; a failed start ends the process."""

    def __init__(self, crawlsock: Crawlsock, reactor: Any) -> None:
        lifecycle = Lifecycle(reactor, stop_deadline=crawlsock.settings.current.drain_timeout + 120.0)
        lifecycle.add("server", crawlsock)
        super().__init__(lifecycle, self._end)
        self.crawlsock = crawlsock
        self._reactor = reactor

    def startService(self) -> None:
        """Begin to start, and listen to SIGHUP."""
        super().startService()
        try:
            signal.signal(signal.SIGHUP, self._hang_up)
        except ValueError:
            # Not the main thread: whoever runs us there has signals of their own.
            pass

    def _hang_up(self, number: int, frame: Any) -> None:
        self._reactor.callFromThread(self.crawlsock.reload)

    def _end(self, failure: Failure) -> None:
        end_process(self._reactor, failure)


class _Schema:
    """The schema of the database as a part: migrated before anything reads it."""

    _log = Logger()

    def __init__(self, reactor: Any, database: Database) -> None:
        self._reactor = reactor
        self._database = database

    async def start(self) -> None:
        """Wait for the database, and migrate it."""
        waiting = self._reactor.callLater(_WORDS_FOR_WAITING, self._still_waiting)
        try:
            await self._database.when_up()
        finally:
            if waiting.active():
                waiting.cancel()
        await Migrator(self._database, crawlsock.__version__).apply()

    def stop(self) -> None:
        """Do nothing."""

    def _still_waiting(self) -> None:
        self._log.warn("The database cannot be reached yet: {reason}", reason=self._database.reason)


class _Store:
    """The store as a part: it hears of others once the schema is there; stopping waits for the last group commit."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def start(self) -> None:
        """Begin to hear of what others commit."""
        self._store.listen()

    def stop(self) -> Deferred[None]:
        """Fire when nothing is being written."""
        return self._store.when_idle()


class _Tokens:
    """The tokens of first start as a part."""

    def __init__(self, store: PostgresStore, directory: Path, masker: Masker) -> None:
        self._store = store
        self._directory = directory
        self._masker = masker

    async def start(self) -> None:
        """Make what is missing."""
        await ensure_tokens(self._store, self._directory, self._masker)

    def stop(self) -> None:
        """Do nothing."""


def _http_client(reactor: Any) -> Any:
    from treq.client import HTTPClient
    from twisted.web.client import Agent, HTTPConnectionPool

    # Twisted's web client is not typed.
    pool: Any = HTTPConnectionPool(reactor, persistent=False)  # type: ignore[no-untyped-call]
    agent: Any = Agent(reactor, connectTimeout=10.0, pool=pool)  # type: ignore[no-untyped-call]
    return HTTPClient(agent)


def make_service(loaded: Loaded, reactor: IReactorCore, logs: Logs | None = None) -> CrawlsockService:
    """Make the service of one server; nothing happens before it is started."""
    return CrawlsockService(Crawlsock(loaded, reactor, logs, Manager.from_environment(os.environ)), reactor)


def _settle_memory() -> None:
    """Let the garbage collector leave alone what is there now, and look at the rest less often.

    A message makes some tens of objects that reference counting frees; at the default thresholds the collector looks at
    all of them every few messages, a fifth of the time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
