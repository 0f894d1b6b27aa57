"""A server in memory that can be brought into trouble, and that Prometheus looks at before and after.

What is scraped twice is played to promtool as if it had lasted: `prom.held` for a state that stays, `prom.repeated` for
events that go on happening.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from crawlsock.metrics.database import DatabaseMetrics
from crawlsock.server.pulse import Disk
from crawlsock.store.values import Pruned
from crawlsock.store.vitals import Vitals
from crawlsock.testing import MemoryStore
from crawlsock.testing.harness import WireHarness
from tests.metrics import prom
from tests.metrics.engine import Engine
from tests.server.base import HarnessCase

Play = Callable[[prom.Scrape, prom.Scrape], dict[str, str]]


class TroubledStore(MemoryStore):
    """A store with the troubles that a database in memory does not have by itself."""

    held_back = 0.0
    connections = 1
    broken = False

    def vitals(self) -> Deferred[Vitals]:
        """Say what the test wants of the database."""
        return super().vitals().addCallback(attrs.evolve, held_back=self.held_back, connections=self.connections)

    def prune(self, before_events: Any, before_jobs: Any) -> Deferred[Pruned]:
        """Fail, when it is broken, as no store may."""
        return fail(ZeroDivisionError()) if self.broken else super().prune(before_events, before_jobs)

    def live_jobs(self) -> Deferred[int]:
        """Fail in the same way."""
        return fail(ZeroDivisionError()) if self.broken else super().live_jobs()


class LiveCase(HarnessCase):
    """A server in memory, its parts to the database included, that Prometheus looks at."""

    settings = {"max_connections": "12", "queue_limit": "100000"}

    def setUp(self) -> None:
        clock = Clock()
        self.store = TroubledStore(clock)
        self.harness = WireHarness(self.settings, clock=clock, store=self.store)
        self.addCleanup(self.end)
        self.engine = Engine(clock)
        self.engine.start()
        self.addCleanup(self.engine.stop)
        self.harness.web.metrics.use(DatabaseMetrics(self.engine, self.engine.group).collect)
        self.pass_time(20)
        self.harness.server.pulse.disk = Disk(80, 100)

    def pass_time(self, seconds: float) -> None:
        """Let time pass as on a machine that is not busy: in steps, on which every timer is punctual."""
        for _ in range(int(seconds * 4)):
            self.harness.clock.advance(0.25)

    def scrape(self) -> prom.Scrape:
        """Ask as Prometheus does."""
        answer = self.successResultOf(self.harness.http("GET", "/metrics", token=self.harness.token("monitor")))
        self.assertEqual(answer.status, 200, answer.body)
        return prom.read(answer.body.decode())

    async def fires(
        self,
        alerts: str | tuple[str, ...],
        trouble: Coroutine[Any, Any, None] | Callable[[], Any],
        play: Play = prom.held,
    ) -> None:
        """Scrape, make trouble, scrape again: the alerts fire on that, and would not have on the first alone."""
        names = (alerts,) if isinstance(alerts, str) else alerts
        before = self.scrape()
        if callable(trouble):
            trouble()
        else:
            await trouble
        after = self.scrape()
        self.assertEqual(prom.check(dict.fromkeys(names, prom.held(before, before)), loud=False), "")
        self.assertEqual(prom.check(dict.fromkeys(names, play(before, after)), loud=True), "")
