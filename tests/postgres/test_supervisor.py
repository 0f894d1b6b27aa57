"""When the supervisor starts and stops a server, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.postgres import Cluster, PostgresSupervisor, StartFailed
from crawlsock.postgres.supervisor import POLL_SECONDS

CLUSTER = Cluster(
    data_dir=Path("/data"),
    socket_dir=Path("/data/socket"),
    port=5432,
    database="crawlsock",
    user="crawlsock",
    password_file=Path("/data/password"),
    bin_dir=Path("/bin"),
    version="15.18",
)


class ThreadlessReactor(Clock):
    """A clock whose threads are the caller's own."""

    def getThreadPool(self) -> ThreadlessReactor:
        return self

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], object], function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        try:
            result = function(*args, **kwargs)
        except Exception:
            from twisted.python.failure import Failure

            on_result(False, Failure())
        else:
            on_result(True, result)

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)


class FakeEmbedded:
    """Count what it is told; `error` is what starting meets."""

    def __init__(self) -> None:
        self.starts = 0
        self.stops = 0
        self.running = False
        self.error: Exception | None = None

    def start(self) -> Cluster:
        self.starts += 1
        if self.error is not None:
            raise self.error
        self.running = True
        return CLUSTER

    def stop(self) -> bool:
        self.stops += 1
        self.running = False
        return True

    def is_running(self) -> bool:
        return self.running


class Supervising(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ThreadlessReactor()
        self.embedded = FakeEmbedded()
        self.supervisor = PostgresSupervisor(self.reactor, self.embedded)

    def test_life(self) -> None:
        """The server starts and stops with the service, once each, and nothing is left on the clock."""
        ready = self.supervisor.when_ready()
        self.supervisor.startService()
        self.supervisor.startService()
        self.assertEqual(self.successResultOf(ready), CLUSTER)
        self.assertEqual(self.successResultOf(self.supervisor.when_ready()), CLUSTER)
        self.reactor.advance(60)
        self.successResultOf(self.supervisor.stopService())
        self.successResultOf(self.supervisor.stopService())
        self.assertEqual((self.embedded.starts, self.embedded.stops), (1, 1))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_death(self) -> None:
        """A server that died is started again at the next look."""
        self.supervisor.startService()
        self.embedded.running = False
        self.reactor.advance(POLL_SECONDS)
        self.assertTrue(self.embedded.running)
        self.assertEqual(self.supervisor.restarts, 1)

    def test_first_start_fails(self) -> None:
        """Who waits for the first start is told why it failed; the supervisor tries on, ever more rarely."""
        self.embedded.error = StartFailed("disk full")
        ready = self.supervisor.when_ready()
        self.supervisor.startService()
        self.failureResultOf(ready, StartFailed)
        self.failureResultOf(self.supervisor.when_ready(), StartFailed)
        self.reactor.pump([POLL_SECONDS] * 100)
        self.assertLess(self.embedded.starts, 12)
        self.embedded.error = None
        self.reactor.pump([POLL_SECONDS] * 16)
        self.assertEqual(self.successResultOf(self.supervisor.when_ready()), CLUSTER)

    def test_restart_fails(self) -> None:
        """A failing restart is repeated until it succeeds."""
        self.supervisor.startService()
        self.embedded.running = False
        self.embedded.error = StartFailed("not yet")
        self.reactor.advance(POLL_SECONDS)
        self.embedded.error = None
        self.reactor.pump([POLL_SECONDS] * 4)
        self.assertTrue(self.embedded.running)
