"""Claims about connections: the greeting, coming back, and what becomes of requests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.sdk import Connection, NotConnected, Refused, Welcome
from crawlsock.sdk.outbox import Request
from crawlsock.wire.message import Message
from tests.sdk.fake import CODEC, JOB, SHUTDOWN, FakeServer, absent, busy


class FakePeer:
    """A peer that writes down what it hears."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.leases: list[str] = []
        self.role = "crawler"
        self.messages: list[Message] = []

    def introduction(self) -> dict[str, Any]:
        return {"role": self.role, "crawler_id": "c"} if self.role == "crawler" else {"role": self.role}

    def held(self) -> Sequence[str]:
        return self.leases

    def welcomed(self, welcome: Welcome) -> None:
        self.log.append("welcomed")

    def session_lost(self) -> None:
        self.log.append("session lost")

    def link_lost(self) -> None:
        self.log.append("link lost")

    def pushed(self, message: Message) -> None:
        self.messages.append(message)

    def turn_ends(self) -> None: ...

    def refused(self, reason: Exception) -> None:
        self.log.append(f"refused: {reason}")


class ConnectionCase(TestCase):
    """A connection and a scripted server on one clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeServer(self.clock)
        self.peer = FakePeer()
        self.connection = Connection(
            self.server, self.peer, reactor=self.clock, codec=CODEC, random=Random(7), outbox_limit=50
        )
        self.requests = self.connection.requests

    def begin(self) -> None:
        self.connection.start()
        self.server.turn()
        self.server.heard.clear()

    def started(self, number: int = 1) -> Deferred[Message]:
        return self.requests.ask("job_started", job_id=JOB.format(number), lease=f"l{number}")


class Greeting(ConnectionCase):
    def test_welcome(self) -> None:
        """Starting connects at once and fires with what the server agreed to."""
        started = self.connection.start()
        self.server.turn()
        welcome = self.successResultOf(started)
        self.assertEqual((welcome.version, welcome.heartbeat_interval), (1, 10))
        self.assertEqual(self.server.attempts, [0.0])
        self.assertTrue(self.connection.connected)

    def test_starting_twice(self) -> None:
        """Starting twice is one start."""
        first, second = self.connection.start(), self.connection.start()
        self.server.turn()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(len(self.server.hellos), 1)

    def test_final_refusals(self) -> None:
        """A refusal that will not change ends the connection and reaches whoever started it."""
        for code in ("authentication_failed", "unsupported_version", "duplicate_crawler", "forbidden"):
            self.setUp()
            self.server.refuse_hello.append({"code": code, "message": "no"})
            started = self.connection.start()
            asked = self.started()
            self.server.turn()
            self.assertEqual(self.failureResultOf(started, Refused).value.code, code)
            self.failureResultOf(asked, Refused)
            self.assertEqual(self.peer.log, [f"refused: {code}: no"])
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.server.pass_time(60, 1)
            self.assertEqual(len(self.server.attempts), 1)

    def test_foreign_version(self) -> None:
        """A server that chooses a version not offered is refused by the client."""
        self.server.welcome["version"] = 2
        started = self.connection.start()
        self.server.turn()
        self.assertEqual(self.failureResultOf(started, Refused).value.code, "unsupported_version")

    def test_passing_refusals(self) -> None:
        """A server that is unavailable is asked again after the time it names."""
        self.server.refuse_hello.append({"code": "unavailable", "message": "no database", "retry_after": 4})
        started = self.connection.start()
        self.server.turn()
        self.server.pass_time(3.9)
        self.assertNoResult(started)
        self.assertEqual(len(self.server.attempts), 1)
        self.server.pass_time(2.2)
        self.successResultOf(started)

    def test_silent_server(self) -> None:
        """A server that accepts and never answers hello is left after ten seconds."""
        self.server._greet = lambda hello: None  # type: ignore[method-assign]
        self.connection.start()
        self.server.pass_time(11, 0.5)
        self.assertGreaterEqual(len(self.server.attempts), 2)

    def test_deadline(self) -> None:
        """With a deadline, starting fails when nobody was there, and says why."""
        self.server.unreachable.extend(absent() for _ in range(1000))
        started = self.connection.start(deadline=3)
        self.server.pass_time(4)
        failure = self.failureResultOf(started, NotConnected)
        self.assertIn("No such file", str(failure.value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_restart(self) -> None:
        """A connection that was stopped can be started again, even while its old link still closes."""
        self.begin()
        stopped = self.connection.stop()
        started = self.connection.start()
        self.server.turn()
        self.successResultOf(stopped)
        self.successResultOf(started)
        self.assertEqual(len(self.server.hellos), 2)
        self.assertNotIn("resume", self.server.hellos[1].data)

    def test_stopping(self) -> None:
        """Stopping closes the link, fails what is unanswered, and leaves nothing behind."""
        self.begin()
        self.server.silent.add("job_started")
        asked = self.started()
        self.server.turn()
        stopped = self.connection.stop()
        self.failureResultOf(asked, NotConnected)
        self.assertNoResult(stopped)
        self.server.turn()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.started(), NotConnected)

    def test_stopping_before_starting(self) -> None:
        """Stopping what was not started, and stopping twice, both work."""
        self.successResultOf(self.connection.stop())
        self.begin()
        self.connection.stop()
        last = self.connection.stop()
        self.server.turn()
        self.successResultOf(last)

    def test_stubborn_link(self) -> None:
        """A link that does not close is cut after five seconds."""
        self.begin()
        stopped = self.connection.stop()
        self.clock.advance(5)
        self.assertTrue(self.server.link.aborted)
        self.successResultOf(stopped)


class ComingBack(ConnectionCase):
    def test_jitter(self) -> None:
        """The waits between tries are drawn from the whole range below a cap that grows to 5 seconds."""
        self.server.unreachable.extend(absent() for _ in range(40))
        self.connection.start()
        self.server.pass_time(400)
        times = self.server.attempts[:41]
        waits = [later - earlier for earlier, later in pairwise(times)]
        self.assertLess(waits[0], 0.5)
        self.assertLessEqual(max(waits), 5.1)
        late = waits[8:]
        self.assertLess(min(late), 1)
        self.assertGreater(max(late), 4)
        self.assertTrue(self.connection.connected)

    def test_busy_server(self) -> None:
        """A server whose listen queue is full is tried again within a blink, however often."""
        self.server.unreachable.extend(busy() for _ in range(30))
        self.connection.start()
        self.server.pass_time(30 * 0.05 + 0.5, 0.01)
        self.assertTrue(self.connection.connected)

    def test_resume(self) -> None:
        """After a lost link the client comes back at once, with its ticket and the leases in hand."""
        self.begin()
        self.peer.leases = ["a", "b"]
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.server.hellos[1].data["resume"], {"ticket": "ticket-1", "leases": ["a", "b"]})
        self.assertEqual(self.peer.log, ["welcomed", "link lost", "welcomed"])

    def test_too_many_leases(self) -> None:
        """Leases that do not fit into hello are not named, which means all of them."""
        self.begin()
        self.peer.leases = [f"lease-{n:020d}" for n in range(500)]
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.server.hellos[1].data["resume"], {"ticket": "ticket-1"})

    def test_session_expired_on_resume(self) -> None:
        """When the session is over, hello is said again without the ticket, and the peer drops its jobs."""
        self.begin()
        self.server.refuse_hello.append({"code": "session_expired", "message": "too late"})
        self.server.drop()
        self.server.turn()
        self.assertNotIn("resume", self.server.hellos[2].data)
        self.assertEqual(self.peer.log, ["welcomed", "link lost", "session lost", "welcomed"])
        self.assertEqual(self.server.hellos[2].id, 2)

    def test_not_resumed(self) -> None:
        """A welcome that does not resume means the old session's jobs are lost."""
        self.begin()
        self.server.welcome["resumed"] = False
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.peer.log[-2:], ["session lost", "welcomed"])

    def test_session_expired_later(self) -> None:
        """A request answered session_expired begins a new session on a new link."""
        self.begin()
        self.server.rules["heartbeat"] = lambda m: self.server.refuse(m, "session_expired")
        self.requests.send(Request("heartbeat", {"status": "idle", "active_jobs": []}, keep=False))
        self.server.turn()
        self.assertNotIn("resume", self.server.hellos[1].data)
        self.assertEqual(self.peer.log, ["welcomed", "session lost", "link lost", "welcomed"])

    def test_shutdown(self) -> None:
        """After a shutdown push the client stays away for its own delay, once."""
        self.begin()
        self.server.say("shutdown", SHUTDOWN)
        self.server.turn()
        self.server.pass_time(2.4)
        self.assertEqual(len(self.server.attempts), 1)
        self.server.pass_time(0.2)
        self.assertEqual(len(self.server.attempts), 2)
        self.server.drop()
        self.server.turn()
        self.assertEqual(len(self.server.attempts), 3)

    def test_farewell(self) -> None:
        """After a shutdown push the client hears the answers that it waits for, closes, and asks the rest later."""
        self.begin()
        self.server.silent.add("job_get")
        answers = [self.requests.ask("job_get", job_id=JOB.format(1))]
        self.server.turn()
        self.server.say("shutdown", SHUTDOWN)
        self.server.turn()
        answers.append(self.requests.ask("ping"))
        self.server.turn()
        self.assertFalse(self.server.link.gone)
        self.assertNotIn("ping", self.server.types())
        self.server.refuse(self.server.heard[-1], "unknown_job")
        self.server.turn()
        self.failureResultOf(answers[0], Refused)
        self.assertTrue(self.server.link.gone)
        self.server.pass_time(2.6)
        self.successResultOf(answers[1])
        self.assertEqual(self.peer.log, ["welcomed", "link lost", "welcomed"])

    def test_silence(self) -> None:
        """A server that says nothing for three intervals is asked for a sign of life, then left."""
        self.begin()
        self.server.silent.add("ping")
        self.server.pass_time(29, 1)
        self.assertIn("ping", self.server.types())
        self.assertEqual(len(self.server.hellos), 1)
        self.server.pass_time(3, 1)
        self.assertEqual(len(self.server.hellos), 2)

    def test_standing_still(self) -> None:
        """A client that stood still itself listens first, before it gives the server up."""
        self.begin()
        self.clock.advance(500)
        self.server.turn()
        self.assertEqual(len(self.server.hellos), 1)
        self.assertIn("ping", self.server.types())

    def test_quiet_but_alive(self) -> None:
        """A server that answers pings is never left."""
        self.begin()
        self.server.pass_time(300, 1)
        self.assertEqual(len(self.server.hellos), 1)

    def test_pings_are_answered(self) -> None:
        """A ping, and any other push with an id, is acknowledged; several in one turn together."""
        self.begin()
        ids = [self.server.push("ping"), self.server.push("crawler_pause")]
        self.server.turn()
        self.assertEqual([m.re for m in self.server.of("ack")], [tuple(ids)])
        self.assertEqual([m.type for m in self.peer.messages], ["crawler_pause"])

    def test_broken_frame(self) -> None:
        """A server that sends no netstring is left, and found again."""
        self.begin()
        self.server.link.protocol.dataReceived(b"garbage")
        self.server.turn()
        self.assertEqual(len(self.server.hellos), 2)
        self.flushLoggedErrors()

    def test_unknown_push(self) -> None:
        """A push of an unknown type changes nothing."""
        self.begin()
        self.server.link.protocol.dataReceived(b'22:{"type":"novel_thing"},12:{"type":"x"},')
        asked = self.started()
        self.server.turn()
        self.successResultOf(asked)

    def test_bad_answer(self) -> None:
        """An answer that is not understood reaches whoever asked, as a refusal."""
        self.begin()
        asked = self.requests.ask("job_request", {"slots": 1})
        self.server.rules["job_request"] = lambda m: None
        self.server.turn()
        payload = b'{"type":"job_response","re":%d,"data":{"jobs":7}}' % (self.server.heard[0].id or 0)
        self.server.link.protocol.dataReceived(b"%d:%s," % (len(payload), payload))
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "internal")
