"""Put the parts of the server together around a store.

The law: which part knows which is decided here, and nothing else is. The service and the in-memory harness both use
this, so a test meets the same server that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from crawlsock import handlers
from crawlsock.config import LiveSettings, Settings
from crawlsock.duties.chronicle import INTERVAL as CHRONICLE_INTERVAL
from crawlsock.duties.chronicle import Chronicle
from crawlsock.duties.oauth import Poster
from crawlsock.duties.pruner import INTERVAL as PRUNE_INTERVAL
from crawlsock.duties.pruner import Pruner
from crawlsock.duties.reaper import Reaper
from crawlsock.duties.refresh import STOP_SECONDS, Refresher
from crawlsock.handlers.context import Context
from crawlsock.incidents.notifier import INTERVAL as NOTIFY_INTERVAL
from crawlsock.incidents.notifier import Notifier
from crawlsock.incidents.watch import IncidentWatch
from crawlsock.interfaces import IMessagePlugin, IMiddleware, INotifier
from crawlsock.lifecycle import Duty, Lifecycle
from crawlsock.masking import Masker
from crawlsock.secrets import Vault
from crawlsock.server import middleware, notices, routes
from crawlsock.server.admission import Admission
from crawlsock.server.calls import Calls
from crawlsock.server.census import Census
from crawlsock.server.checks import Checks
from crawlsock.server.credentials import CredentialKeeper
from crawlsock.server.dispatcher import Dispatcher
from crawlsock.server.factory import CrawlsockFactory
from crawlsock.server.feeds import FeedKeeper, Hub
from crawlsock.server.health import HealthMonitor
from crawlsock.server.lag import INTERVAL as LAG_INTERVAL
from crawlsock.server.lag import ReactorLag
from crawlsock.server.logins import LoginDesk
from crawlsock.server.operations import OperationsDesk
from crawlsock.server.orders import OrderDelivery
from crawlsock.server.overview import Overview
from crawlsock.server.peer_credentials import ProcessWatcher
from crawlsock.server.pool import ConnectionPool
from crawlsock.server.pulse import INTERVAL as PULSE_INTERVAL
from crawlsock.server.pulse import Pulse
from crawlsock.server.revocations import INTERVAL as REVOCATIONS_INTERVAL
from crawlsock.server.revocations import Revocations
from crawlsock.server.router import MessageRouter, plugin_handlers
from crawlsock.server.sessions import SessionKeeper
from crawlsock.server.symptoms import Symptoms
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

_REFRESH_INTERVAL: Final = 5.0
_DRAIN_SLACK: Final = 10.0


class Server:
    """All parts of one server, connected and not started.

    :param clock: tells the time for every deadline, and watches processes if it is a reactor that can.
    :param hub: gives subscribers the feed.
    :param http: asks GitLab hosts for new tokens, and posts webhooks.
    :param notifiers: further channels by which people are told.
    :param verify: check our own messages against the schemas, too; for tests.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        settings: LiveSettings,
        *,
        vault: Vault,
        masker: Masker,
        hub: Hub,
        http: Poster,
        server_id: str,
        plugins: Sequence[IMessagePlugin] = (),
        notifiers: Sequence[INotifier] = (),
        verify: bool = False,
    ) -> None:
        self.clock = clock
        self.store = store
        self.settings = settings
        self.server_id = server_id
        self.timing = middleware.Timing()
        self.pool = ConnectionPool(clock)
        self.router = self._make_router(plugins, verify)
        self.health = HealthMonitor(clock, self.pool, self._now().heartbeat_interval)
        self.orders = OrderDelivery(store, self.pool, server_id)
        self.credentials = CredentialKeeper(store, vault, masker, self.pool, self.orders, self._now)
        self.refresher = Refresher(clock, store, self.credentials, http, self._now, server_id)
        self.credentials.renewer = self.refresher
        self.dispatcher = Dispatcher(store, self.pool, self.credentials)
        self.sessions = SessionKeeper(
            clock,
            store,
            self.pool,
            self.router,
            self.health,
            self.orders,
            self.dispatcher,
            ProcessWatcher(clock),
            self._now,
            server_id,
        )
        self.hub = hub
        self.feeds = FeedKeeper(hub, store, self.pool)
        self.census = Census(clock, store)
        self.pulse = Pulse(clock, store, settings.current.data_dir)
        self.lag = ReactorLag(clock)
        self.checks = Checks()
        self.checks.use(Symptoms(self).lines)
        self.revocations = Revocations(store, self.pool)
        self.operations = OperationsDesk(
            clock,
            store,
            self.pool,
            self.dispatcher,
            settings,
            self.timing,
            masker,
            server_id,
            self.census,
            self.checks,
            self.revocations,
        )
        self.overview = Overview(clock, store, self.census, self.operations)
        self.logins = LoginDesk(store, self._now)
        self.notifier = Notifier(clock, store, self._now, http, masker, notifiers)
        self.checks.use(lambda: notices.lines(self.notifier))
        self.admission = Admission(clock, store, lambda: self._now().queue_limit)
        self.factory = CrawlsockFactory(clock, self.pool, self.router, self._now, self._context)
        self.calls = Calls(clock, self.router, self._context)
        self.chronicle = Chronicle(clock, store, server_id)
        self.duties = self._make_duties()
        self.notifier.wake = self.duties["notify"].wake
        self.operations.report(self._status)
        settings.subscribe(self._settings_changed)
        store.on_work(self.dispatcher.wake)
        store.on_orders(self.orders.wake)

    def add_to(self, lifecycle: Lifecycle) -> None:
        """Add the parts to a lifecycle, behind the store and before what listens."""
        lifecycle.add("chronicle", self.chronicle)
        lifecycle.add("refreshes", self.refresher, STOP_SECONDS)
        lifecycle.add("sessions", self.sessions)
        lifecycle.add("dispatcher", self.dispatcher)
        lifecycle.add("health monitor", self.health)
        for name, duty in self.duties.items():
            lifecycle.add(f"duty {name}", duty)
        lifecycle.add("connections", _Connections(self.factory), self._now().drain_timeout + _DRAIN_SLACK)

    def _now(self) -> Settings:
        return self.settings.current

    def _context(self, peer: Any) -> Context:
        return Context(
            peer,
            self.store,
            self.settings,
            self.dispatcher,
            self.orders,
            self.sessions,
            self.credentials,
            self.feeds,
            self.operations,
            self.admission,
            self.overview,
            self.logins,
            self.notifier,
        )

    def _make_router(self, plugins: Sequence[IMessagePlugin], verify: bool) -> MessageRouter:
        catalog = Catalog.load(*(plugin.schemas for plugin in plugins if plugin.schemas is not None))
        router = MessageRouter(catalog, Codec(catalog, verify=verify), self._now().max_in_flight)
        for name, handler in routes.find_handlers(*handlers.modules()).items():
            router.register(handler, name)
        for name, handler in plugin_handlers(plugins).items():
            router.register(handler, name)
        own: tuple[IMiddleware, ...] = (
            self.timing,
            middleware.RequestLog(),
            middleware.Authentication(),
            middleware.Roles(),
            middleware.RateLimit(
                self.clock,
                lambda: (self._now().rate_limit_requests, self._now().rate_limit_burst),
                lambda: self._now().rate_limit_hello,
            ),
            middleware.Draining(lambda: self.factory.draining),
        )
        for each in own:
            router.use(each)
        for plugin in plugins:
            for each in plugin.middleware():
                router.use(each)
        router.freeze()
        return router

    def _make_duties(self) -> dict[str, Duty]:
        settings = self._now()
        reaper = Reaper(self.clock, self.store, self.sessions, self.orders.deliver, lambda: self._now().reap_interval)
        pruner = Pruner(self.clock, self.store, self._now)
        watch = IncidentWatch(self.clock, self.store, self._now, self.notifier.channels, lambda: self.notifier.wake())
        works: dict[str, tuple[float, Any]] = {
            "reap": (settings.reap_interval, reaper.run),
            "poll": (settings.poll_interval, self._poll),
            "refresh": (_REFRESH_INTERVAL, self.refresher.run),
            "prune": (PRUNE_INTERVAL, pruner.run),
            "chronicle": (CHRONICLE_INTERVAL, self.chronicle.run),
            "incidents": (settings.incident_interval, watch.run),
            "notify": (NOTIFY_INTERVAL, self.notifier.run),
            "revocations": (REVOCATIONS_INTERVAL, self.revocations.run),
            "pulse": (PULSE_INTERVAL, self.pulse.run),
            "lag": (LAG_INTERVAL, self.lag.run),
        }
        return {name: Duty(name, interval, work, self.clock) for name, (interval, work) in works.items()}

    def _status(self) -> dict[str, Any]:
        """Say how the parts are that have a figure, for ``status_response``."""
        return {
            "reactor": {"lag": self.lag.last, "recent": self.lag.recent},
            "duties": {name: asdict(duty.statistics) for name, duty in self.duties.items()},
            "feed": dict(self.hub.statistics()),
        }

    async def _poll(self) -> None:
        """Look for what a lost notification would have told, and for what none tells."""
        if self.store.state == "up":
            self.dispatcher.wake()
            self.orders.wake()
            await self.credentials.look()

    def _settings_changed(self, settings: Settings, changed: frozenset[str]) -> None:
        self.router.max_in_flight = settings.max_in_flight
        self.duties["reap"].interval = settings.reap_interval
        self.duties["poll"].interval = settings.poll_interval
        self.duties["incidents"].interval = settings.incident_interval


class _Connections:
    """The connections as a part of the lifecycle: they begin by themselves, and stopping leads them out."""

    def __init__(self, factory: CrawlsockFactory) -> None:
        self._factory = factory

    def start(self) -> None:
        """Take connections again after a stop."""
        self._factory.draining = None

    def stop(self) -> Deferred[None]:
        """Tell everybody that the server leaves; fire when all are gone."""
        return self._factory.drain("the server is stopping")
