"""Claims about requests: one answer to each, whatever happens to the link."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.sdk import NotAnswered, NotConnected, Refused
from crawlsock.sdk.outbox import Request
from crawlsock.wire.message import Message
from tests.sdk.fake import JOB
from tests.sdk.test_connection import ConnectionCase


class Asking(ConnectionCase):
    def test_one_write(self) -> None:
        """What is asked in one turn leaves in one write."""
        self.begin()
        before = self.server.link.writes
        asked = [self.started(n) for n in range(20)]
        self.server.turn()
        self.assertEqual(self.server.link.writes - before, 1)
        for answer in asked:
            self.successResultOf(answer)

    def test_before_the_connection(self) -> None:
        """What is asked before there is a connection leaves when there is one."""
        self.connection.start()
        asked = self.started()
        self.server.turn()
        self.successResultOf(asked)

    def test_resent_in_order(self) -> None:
        """Unanswered requests are sent again after a lost link, in their order, before later ones, with fresh ids."""
        self.begin()
        self.server.silent.add("job_started")
        asked = [self.started(n) for n in range(3)]
        self.server.turn()
        asked.append(self.started(3))
        self.server.silent.clear()
        self.server.heard.clear()
        self.server.drop()
        self.server.turn()
        self.assertEqual([m.lease for m in self.server.heard], ["l0", "l1", "l2", "l3"])
        self.assertEqual([m.id for m in self.server.heard], [2, 3, 4, 5])
        for answer in asked:
            self.successResultOf(answer)

    def test_lost_again_and_again(self) -> None:
        """A request survives any number of lost links and is answered once."""
        self.begin()
        self.server.silent.add("job_started")
        asked = self.started()
        for _ in range(5):
            self.server.turn()
            self.server.drop()
            self.server.pass_time(0.5)
        self.server.silent.clear()
        self.server.drop()
        self.server.pass_time(5)
        self.successResultOf(asked)

    def test_not_kept(self) -> None:
        """A request that is not kept fails with its link and is not sent again."""
        self.begin()
        self.server.silent.add("heartbeat")
        heard: list[Any] = []
        beat = {"status": "idle", "active_jobs": []}
        self.requests.send(Request("heartbeat", beat, None, None, lambda m, e: heard.append(e), keep=False))
        self.server.turn()
        self.server.heard.clear()
        self.server.drop()
        self.server.turn()
        self.assertIsInstance(heard[0], NotConnected)
        self.assertNotIn("heartbeat", self.server.types())

    def test_grouped_acks(self) -> None:
        """One ack answers many requests."""
        self.begin()
        self.server.silent.add("job_started")
        asked = [self.started(n) for n in range(5)]
        self.server.turn()
        self.server.say("ack", re=[m.id for m in self.server.heard])
        self.server.turn()
        for answer in asked:
            self.successResultOf(answer)
        self.assertEqual(len(self.requests.outbox), 0)

    def test_cut_anywhere(self) -> None:
        """Wherever the answers' bytes are cut, each request gets its answer."""
        for size in range(1, 40):
            self.setUp()
            self.server.cut_bytes = size
            self.begin()
            asked = [self.started(n) for n in range(3)]
            self.server.turn()
            for answer in asked:
                self.successResultOf(answer)

    def test_unknown_ack(self) -> None:
        """An ack for what was never asked, or was answered, changes nothing."""
        self.begin()
        self.server.say("ack", re=[77, 78])
        self.server.say("ack", re=1)
        asked = self.started()
        self.server.turn()
        self.successResultOf(asked)

    def test_not_now(self) -> None:
        """While the server is unavailable nothing is sent; afterwards everything, in its order."""
        self.begin()
        self.server.rules["job_started"] = lambda m: self.server.refuse(m, "unavailable", retry_after=2)
        asked = [self.started(n) for n in range(2)]
        self.server.turn()
        asked.append(self.started(2))
        del self.server.rules["job_started"]
        self.server.heard.clear()
        self.server.pass_time(1.9)
        self.assertEqual(self.server.heard, [])
        self.server.pass_time(1.2)
        self.assertEqual([m.lease for m in self.server.heard], ["l0", "l1", "l2"])
        for answer in asked:
            self.successResultOf(answer)

    def test_queue_full(self) -> None:
        """A full queue holds back the request that met it and no other."""
        self.begin()
        self.server.rules["jobs_discovered"] = lambda m: self.server.refuse(m, "queue_full", retry_after=2)
        jobs = {"jobs": [{"type": "crawl", "entity_id": "1"}]}
        found = self.requests.ask("jobs_discovered", jobs, job_id=JOB.format(1), lease="l1")
        self.server.turn()
        self.successResultOf_after(self.started())
        self.assertNoResult(found)
        del self.server.rules["jobs_discovered"]
        self.server.pass_time(3.1)
        self.successResultOf(found)

    def successResultOf_after(self, asked: Deferred[Message]) -> None:
        self.server.turn()
        self.successResultOf(asked)

    def test_internal_error(self) -> None:
        """A request that the server stumbles over is sent again a few times, and then fails."""
        self.begin()
        self.server.rules["job_started"] = lambda m: self.server.refuse(m, "internal")
        asked = self.started()
        self.server.pass_time(30, 0.5)
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "internal")
        self.assertEqual(len(self.server.of("job_started")), 6)

    def test_refusal(self) -> None:
        """A refusal reaches whoever asked, with code, sentence and pointer."""
        self.begin()
        self.server.rules["job_started"] = lambda m: self.server.refuse(m, "forbidden", pointer="/type")
        asked = self.started()
        self.server.turn()
        error = self.failureResultOf(asked, Refused).value
        self.assertEqual((error.code, error.message, error.pointer), ("forbidden", "no: forbidden", "/type"))

    def test_deadline(self) -> None:
        """A request with a deadline fails when it passes, and is not sent again."""
        self.begin()
        self.server.silent.add("job_started")
        asked = self.requests.ask("job_started", job_id=JOB.format(1), lease="l", deadline=5)
        self.server.pass_time(6, 0.5)
        self.failureResultOf(asked, NotAnswered)
        self.assertEqual(len(self.requests.outbox), 0)

    def test_deadline_of_what_was_refused_all_the_time(self) -> None:
        """A request that was told "not now" until its deadline fails with that refusal, not with silence."""
        self.begin()
        self.server.rules["job_started"] = lambda m: self.server.refuse(m, "queue_full")
        asked = self.requests.ask("job_started", job_id=JOB.format(1), lease="l", deadline=5)
        self.server.pass_time(6, 0.5)
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "queue_full")
        self.assertEqual(len(self.requests.outbox), 0)

    def test_giving_up(self) -> None:
        """Cancelling the Deferred of a request forgets the request."""
        self.begin()
        self.server.silent.add("job_started")
        asked = self.started()
        self.server.turn()
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.assertEqual(len(self.requests.outbox), 0)

    def test_in_flight(self) -> None:
        """No more requests are in flight than the server allows."""
        self.server.welcome["limits"] = {"max_frame": 1 << 20, "max_in_flight": 3, "requests_per_second": 0}
        self.begin()
        self.server.silent.add("job_started")
        for n in range(10):
            self.started(n)
        self.server.turn()
        self.assertEqual(len(self.server.heard), 3)
        self.server.silent.clear()
        self.server.say("ack", re=[m.id for m in self.server.heard])
        self.server.turn()
        self.assertEqual(len(self.server.heard), 10)

    def test_unknown_type(self) -> None:
        """A request of a type that the protocol does not know is refused here."""
        self.begin()
        asked = self.requests.ask("job_paint")
        self.server.turn()
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "invalid_message")

    def test_rate(self) -> None:
        """No more is sent than the server's rate allows, a second's worth at once."""
        self.server.welcome["limits"] = {"max_frame": 1 << 20, "max_in_flight": 999, "requests_per_second": 100}
        self.begin()
        asked = [self.started(n) for n in range(300)]
        self.server.turn()
        self.assertEqual(len(self.server.heard), 100)
        self.server.pass_time(1)
        self.assertTrue(195 <= len(self.server.heard) <= 201, len(self.server.heard))
        self.server.pass_time(2)
        for answer in asked:
            self.successResultOf(answer)

    def test_backpressure(self) -> None:
        """While the transport has enough nothing is written; afterwards everything."""
        self.begin()
        self.server.link.protocol.pauseProducing()
        asked = self.started()
        self.server.turn()
        self.assertEqual(self.server.heard, [])
        self.server.link.protocol.resumeProducing()
        self.server.turn()
        self.successResultOf(asked)

    def test_too_large(self) -> None:
        """A message beyond the server's frame limit is refused here, and the link stays."""
        self.server.welcome["limits"] = {"max_frame": 300, "max_in_flight": 9, "requests_per_second": 0}
        self.begin()
        data = {"reason": "x" * 400}
        asked = self.requests.ask("job_released", data, job_id=JOB.format(1), lease="l")
        after = self.started()
        self.server.turn()
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "frame_too_large")
        self.successResultOf(after)

    def test_room(self) -> None:
        """With a full outbox callers wait until answers have come."""
        self.begin()
        self.server.silent.add("job_started")
        for n in range(50):
            self.started(n)
        self.server.turn()
        room = self.requests.room()
        self.assertNoResult(room)
        self.server.say("ack", re=[self.server.heard[0].id])
        self.server.turn()
        self.successResultOf(room)
