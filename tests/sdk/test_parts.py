"""Claims about the SDK's smaller parts: outbox, batches, masks, heartbeats, endpoints."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import TestCase

from crawlsock.sdk import HostBudget, Job
from crawlsock.sdk.batches import batches
from crawlsock.sdk.outbox import Outbox, Request
from crawlsock.sdk.reconnect import client_endpoint
from tests.sdk.test_executor_jobs import ExecutorCase


class OutboxOrder(TestCase):
    @given(st.lists(st.sampled_from(["put", "take", "answer", "aside", "again", "cut"]), max_size=60))
    def test_order(self, moves: list[str]) -> None:
        """Whatever happens to links and answers, what waits stands in the order in which it was asked."""
        outbox = Outbox()
        put = answered = 0
        for move in moves:
            if move == "put":
                put += 1
                outbox.put(Request(str(put), {}))
            elif move == "take" and outbox.waiting:
                outbox.take()
            elif move in ("answer", "aside") and outbox.in_flight:
                request = outbox.answered(next(iter(outbox.in_flight)))
                assert request is not None
                if move == "aside":
                    outbox.put_aside(request)
                else:
                    answered += 1
            elif move == "again":
                outbox.again()
            elif move == "cut":
                self.assertEqual(outbox.cut(), [])
            orders = [request.order for request in outbox.waiting]
            self.assertEqual(orders, sorted(orders))
            self.assertEqual(len(outbox), put - answered)

    def test_ids_begin_anew(self) -> None:
        """After a lost link ids begin at 1 again."""
        outbox = Outbox()
        outbox.next_id()
        outbox.put(Request("a", {}))
        self.assertEqual(outbox.take().id, 2)
        outbox.cut()
        self.assertEqual(outbox.next_id(), 1)
        self.assertEqual(outbox.take().id, 2)

    def test_giving_up(self) -> None:
        """A request can be given up wherever it stands, and more than once."""
        outbox = Outbox()
        requests = [Request(str(n), {}) for n in range(3)]
        for request in requests:
            outbox.put(request)
        outbox.take()
        outbox.take()
        outbox.answered(2)
        outbox.put_aside(requests[1])
        for request in requests * 2:
            outbox.give_up(request)
        outbox.again(requests[1])
        self.assertEqual(len(outbox), 0)


class Batches(TestCase):
    @given(st.lists(st.integers(0, 400), max_size=50))
    def test_nothing_lost(self, sizes: list[int]) -> None:
        """Batches hold every item once, in order, and are small enough unless one item alone is larger."""
        items = [{"x": "y" * size} for size in sizes]
        made = list(batches(items, limit=500))
        self.assertEqual([item for batch in made for item in batch], items)
        for batch in made:
            self.assertTrue(len(batch) == 1 or sum(len(item["x"]) + 9 for item in batch) <= 500)

    def test_thousand(self) -> None:
        """A batch has a thousand items at most."""
        self.assertEqual([len(batch) for batch in batches({} for _ in range(2001))], [1000, 1000, 1])


class Endpoints(TestCase):
    def test_path(self) -> None:
        """A string without a colon is the path of a Unix socket; an endpoint is taken as it is."""
        endpoint = client_endpoint(MemoryReactor(), "/run/crawlsock/socket")
        self.assertIsInstance(endpoint, UNIXClientEndpoint)
        self.assertIs(client_endpoint(MemoryReactor(), endpoint), endpoint)
        self.assertIsInstance(client_endpoint(MemoryReactor(), "unix:/run/x"), UNIXClientEndpoint)

    def test_listening_string(self) -> None:
        """The string that a server listens on will do to connect to it."""
        reactor = MemoryReactor()
        endpoint = client_endpoint(reactor, "unix:/run/crawlsock.sock:mode=660:backlog=4096")
        endpoint.connect(Factory())
        self.assertEqual(reactor.unixClients[0][0], "/run/crawlsock.sock")

    def test_unchecked_tls(self) -> None:
        """A string that would check nobody's certificate is refused with the one that does."""
        error = self.assertRaises(ValueError, client_endpoint, MemoryReactor(), "ssl:crawl.example.org:8421")
        self.assertIn("tls:host:port", str(error))


class Heartbeats(ExecutorCase):
    def test_interval(self) -> None:
        """A heartbeat is sent at once and then at the server's interval, with how the crawler is."""
        ends: list[Deferred[None]] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            job.report.stage("discovering")
            job.report.count("issue", processed=3)
            ends.append(Deferred())
            await ends[-1]

        self.executor.start()
        self.server.turn()
        job_id, _ = self.server.assign(1)
        self.server.turn()
        self.server.pass_time(10.1, 0.1)
        ends[0].callback(None)
        self.server.turn()
        self.server.assign(2)
        self.server.turn()
        ends[1].errback(RuntimeError("oh"))
        self.server.pass_time(10, 0.1)
        first, second, third = (message.data for message in self.server.of("heartbeat"))
        self.assertEqual((first["status"], first["active_jobs"]), ("idle", []))
        self.assertEqual((second["status"], second["active_jobs"]), ("discovering", [job_id]))
        self.assertEqual(second["totals"], {"completed": 0, "failed": 0, "items": 3})
        self.assertEqual((third["status"], third["totals"]["failed"]), ("error", 1))
        self.assertEqual(third["totals"], {"completed": 1, "failed": 1, "items": 6})
        self.assertGreater(second["uptime_seconds"], 9)
        self.assertIn("cpu_percent", second)
        if os.path.exists("/proc/self/statm"):
            self.assertGreater(second["memory_bytes"], 1 << 20)

    def test_hosts(self) -> None:
        """What hosts allow is asked for at every heartbeat, and told as the protocol writes it."""
        until = datetime(2026, 11, 23, 10, 16, 30, tzinfo=timezone(timedelta(hours=1)))
        budgets = [HostBudget("g.example.com", 600, 5, until)] + [HostBudget(f"h{n}") for n in range(99)]
        self.executor.report_hosts(lambda: budgets)
        self.executor.start()
        self.server.turn()
        budgets.clear()
        self.server.pass_time(10.1, 0.1)
        first, second = (message.data for message in self.server.of("heartbeat"))
        told = {"host": "g.example.com", "limit": 600, "remaining": 5, "resets_at": "2026-11-23T09:16:30.000Z"}
        self.assertEqual((first["hosts"][0], len(first["hosts"])), (told, 64))
        self.assertNotIn("hosts", second)

    def test_hosts_untold(self) -> None:
        """A crawler whose function for that fails keeps its heartbeat."""

        def broken() -> list[HostBudget]:
            raise RuntimeError("oh")

        self.executor.report_hosts(broken)
        self.executor.start()
        self.server.turn()
        (beat,) = self.server.of("heartbeat")
        self.assertNotIn("hosts", beat.data)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_no_budget(self) -> None:
        """A budget that no server would take is refused where it is made."""
        until = datetime(2026, 11, 23, tzinfo=timezone.utc)
        self.assertRaises(ValueError, HostBudget, "a\nb")
        self.assertRaises(ValueError, HostBudget, "h", -1)
        self.assertRaises(ValueError, HostBudget, "h", resets_at=until.replace(tzinfo=None))

    def test_not_while_away(self) -> None:
        """Without a link no heartbeats pile up."""
        self.begin()
        self.server.unreachable.extend([ConnectionError()] * 9999)
        self.server.drop()
        self.server.pass_time(100, 1)
        self.assertEqual(len(self.executor.connection.requests.outbox), 0)
