"""Telling people: what is sent, how often, and by whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial import unittest
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http_headers import Headers
from zope.interface import implementer

from crawlsock.config import LiveSettings, load
from crawlsock.incidents import payload
from crawlsock.incidents.notifier import MOST_ANSWERED, ChannelError, Notifier
from crawlsock.interfaces import INotifier
from crawlsock.masking import Masker
from crawlsock.server import notices
from crawlsock.store.records_values import Finding, NotificationView
from crawlsock.testing import MemoryStore
from crawlsock.wire.errors import Refusal

SECRET = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
URL = "https://hooks.example.com/T000/verysecretpath"


@define
class Response:
    """A receiver's answer, whose body comes when the test wants."""

    code: int = 204
    headers: Headers = field(factory=Headers)
    body: bytes = b""
    aborted: bool = False
    ends: bool = True

    def deliverBody(self, protocol: Any) -> None:
        """Deliver all of it."""
        protocol.makeConnection(self)
        for _ in range(0, len(self.body), 4096):
            if self.aborted:
                return
            protocol.dataReceived(b"x" * 4096)
        if self.ends:
            protocol.connectionLost(Failure(ResponseDone()))

    def abortConnection(self) -> None:
        """Note that nothing more is wanted."""
        self.aborted = True

    loseConnection = abortConnection


class Receiver:
    """Stands for treq: keeps what is posted, and answers what the test put ready."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.answers: list[Any] = []

    def post(self, url: str, **kwargs: Any) -> Deferred[Any]:
        """Take a post."""
        self.posts.append({"url": url, **kwargs})
        answer = self.answers.pop(0) if self.answers else Response()
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


@implementer(INotifier)
class Chat:
    """A channel of a plugin."""

    def __init__(self, name: str = "chat", error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    async def deliver(self, notification_id: str, message: Mapping[str, Any]) -> None:
        """Take a message, or fail."""
        self.told.append((notification_id, message))
        if self.error is not None:
            raise self.error


class NotifierCase(unittest.TestCase):
    plugins: tuple[Any, ...] = ()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.store = MemoryStore(self.clock)
        self.addCleanup(self.store.stop)
        self.receiver = Receiver()
        self.masker = Masker()
        environment = {"CRAWLSOCK_WEBHOOK_SECRET": SECRET, "CRAWLSOCK_WEBHOOK_URL": URL}
        options = {"profile": "test", "data_dir": "/nonexistent/crawlsock", "server_name": "north"}
        self.settings = LiveSettings(load(options, environment))
        self.notifier = self.make()

    def make(self) -> Notifier:
        """Return the notifier of one server."""
        return Notifier(
            self.clock,
            self.store,
            lambda: self.settings.current,
            self.receiver,
            self.masker,
            self.plugins,
            dice=lambda: 0.0,
        )

    def incident(self, **fields: Any) -> None:
        """Put one incident into the outbox."""
        found = Finding("crawler_lost", "warning", "A crawler was lost", detail="c1", next_step="Look.", **fields)
        self.successResultOf(self.store.record_incidents([found], (), self.notifier.channels(), 0.0))

    def run_once(self, notifier: Notifier | None = None) -> None:
        """Let the duty run once."""
        self.successResultOf(Deferred.fromCoroutine((notifier or self.notifier).run()))

    def shown(self) -> NotificationView:
        """Return the one notification there is."""
        (view,) = self.successResultOf(self.store.notifications()).notifications
        return view


class WebhookTests(NotifierCase):
    def test_a_webhook_is_signed_and_complete(self) -> None:
        """What is posted carries the incident, its id, and a signature that the secret verifies and others do not."""
        self.incident(account=None)
        self.run_once()
        (post,) = self.receiver.posts
        self.assertEqual((post["url"], post["allow_redirects"]), (URL, False))
        headers, body = post["headers"], post["data"]
        self.assertEqual(headers["webhook-id"], self.shown().notification_id)
        self.assertEqual(headers["webhook-timestamp"], "1700000000")
        signed = Webhook(SECRET).sign(headers["webhook-id"], _moment(1_700_000_000), body.decode())
        self.assertEqual(headers["webhook-signature"], signed)
        other = "whsec_" + "b3RoZXIgb3RoZXIgb3RoZXI="
        with self.assertRaises(WebhookVerificationError):
            Webhook(other).verify(body, {**headers, "webhook-timestamp": str(int(_now()))})
        told = json.loads(body)
        self.assertEqual(told["type"], "incident.opened")
        self.assertEqual(told["timestamp"], "2023-11-14T22:13:20.000000Z")
        self.assertEqual(
            {
                name: told["data"][name]
                for name in ("kind", "severity", "title", "detail", "next_step", "count", "server")
            },
            {
                "kind": "crawler_lost",
                "severity": "warning",
                "title": "A crawler was lost",
                "detail": "c1",
                "next_step": "Look.",
                "count": 1,
                "server": "north",
            },
        )
        self.assertEqual((self.shown().state, self.shown().attempts), ("sent", 1))

    def test_a_failed_try_is_repeated_under_the_same_id_and_body(self) -> None:
        """A receiver that fails gets the same again, later and later, until it takes it."""
        self.receiver.answers = [Response(503), Response(500), Response(200)]
        self.incident()
        for waited in (0, 5, 10):
            self.clock.advance(waited - 0.5 if waited else 0)
            before = len(self.receiver.posts)
            if waited:
                self.run_once()
                self.assertEqual(len(self.receiver.posts), before, "too early")
                self.clock.advance(0.5)
            self.run_once()
            line = next(iter(notices.lines(self.notifier)))
            self.assertEqual(line.state, "ok" if waited == 10 else "warn")
        first, _, last = self.receiver.posts
        self.assertEqual(first["data"], last["data"])
        self.assertEqual(first["headers"]["webhook-id"], last["headers"]["webhook-id"])
        self.assertNotEqual(first["headers"]["webhook-timestamp"], last["headers"]["webhook-timestamp"])
        self.assertEqual((self.shown().state, self.shown().attempts), ("sent", 3))

    def test_there_is_an_end(self) -> None:
        """After notify_attempts tries it is given up, and says why."""
        self.settings.set("notify_attempts", "3")
        self.receiver.answers = [Response(500)] * 5
        self.incident()
        for _ in range(5):
            self.run_once()
            self.clock.advance(10_000)
        self.assertEqual(len(self.receiver.posts), 3)
        self.assertEqual((self.shown().state, self.shown().last_error), ("failed", "the receiver answered 500"))

    def test_a_receiver_that_is_gone_is_not_asked_again(self) -> None:
        """410 says that nobody listens there any more."""
        self.receiver.answers = [Response(410)]
        self.incident()
        self.run_once()
        self.assertEqual((self.shown().state, self.shown().attempts), ("failed", 1))

    def test_a_redirect_is_a_failure(self) -> None:
        """A redirect is not followed: what is signed for one address goes to no other."""
        self.receiver.answers = [Response(302, Headers({"Location": ["https://elsewhere.example/"]}))]
        self.incident()
        self.run_once()
        self.assertEqual((self.shown().state, self.shown().last_error), ("waiting", "the receiver answered 302"))
        self.assertEqual(len(self.receiver.posts), 1)

    def test_no_answer_is_a_failure(self) -> None:
        """No connection, and no answer in time, are failed tries; what is kept of them names no address."""
        refused = ResponseNeverReceived([Failure(ConnectionRefusedError(URL))])
        for answer, name in ((refused, "ConnectionRefusedError"), (Deferred(), "TimeoutError")):
            self.receiver.answers = [answer]
            self.incident(subject=name)
            under_way = Deferred.fromCoroutine(self.notifier.run())
            self.clock.advance(self.settings.current.webhook_timeout + 0.1)
            self.successResultOf(under_way)
            view = self.successResultOf(self.store.notifications()).notifications[0]
            self.assertEqual(view.last_error, f"no answer from the receiver ({name})")
            self.clock.advance(10_000)
            self.run_once()

    def test_a_long_answer_is_cut_off(self) -> None:
        """A receiver that answers without end is hung up on; its status has said all."""
        answer = Response(200, body=b"x" * (MOST_ANSWERED * 2))
        self.receiver.answers = [answer]
        self.incident()
        self.run_once()
        self.assertTrue(answer.aborted)
        self.assertEqual(self.shown().state, "sent")

    def test_an_answer_that_does_not_end(self) -> None:
        """A receiver that begins to answer and does not end is hung up on when its time is over."""
        answer = Response(200, body=b"x", ends=False)
        self.receiver.answers = [answer]
        self.incident()
        under_way = Deferred.fromCoroutine(self.notifier.run())
        self.assertFalse(answer.aborted)
        self.clock.advance(self.settings.current.webhook_timeout + 0.1)
        self.successResultOf(under_way)
        self.assertTrue(answer.aborted)
        self.assertEqual(self.shown().last_error, "no answer from the receiver (TimeoutError)")

    def test_a_receiver_may_ask_for_time(self) -> None:
        """Retry-After is heeded, up to an hour."""
        self.receiver.answers = [Response(429, Headers({"Retry-After": ["120"]})), Response(200)]
        self.incident()
        self.run_once()
        self.clock.advance(119)
        self.run_once()
        self.assertEqual(len(self.receiver.posts), 1)
        self.clock.advance(1)
        self.run_once()
        self.assertEqual(len(self.receiver.posts), 2)

    def test_two_servers_send_one_once(self) -> None:
        """What one server is sending is not sent by another one; if it dies, it is, after a while."""
        self.receiver.answers = [Deferred()]
        self.incident()
        dying = Deferred.fromCoroutine(self.notifier.run())
        other = self.make()
        self.run_once(other)
        self.assertEqual(len(self.receiver.posts), 1)
        dying.addErrback(lambda _: None)
        dying.cancel()
        self.clock.advance(100)
        self.run_once(other)
        self.assertEqual(len(self.receiver.posts), 2)
        self.assertEqual(self.shown().state, "sent")

    def test_secrets_are_hidden_from_logs(self) -> None:
        """The secret and the address are hidden from then on wherever they turn up."""
        self.incident()
        self.run_once()
        for text in (SECRET, URL):
            self.assertNotIn(text, self.masker.mask(f"posting {text} now"))
        shown = {name: value for name, (value, _) in self.settings.loaded.masked().items()}
        self.assertEqual(
            (shown["webhook_secret"], shown["webhook_url"]), ("[hidden]", "https://hooks.example.com/[hidden]")
        )

    def test_without_channels_nothing_is_sent(self) -> None:
        """With the webhook turned off nothing is sent, and a test is refused."""
        self.settings.set("webhook_url", "none")
        self.incident()
        self.run_once()
        self.assertEqual(self.receiver.posts, [])
        refusal = self.failureResultOf(self.notifier.test("ann"), Refusal).value
        self.assertEqual(refusal.code.value, "invalid_state")

    def test_a_test_is_sent(self) -> None:
        """A test goes the way of every notification."""
        woken: list[bool] = []
        self.notifier.wake = lambda: woken.append(True)
        (made,) = self.successResultOf(self.notifier.test("ann"))
        self.assertEqual((made["channel"], woken), ("webhook", [True]))
        self.run_once()
        told = json.loads(self.receiver.posts[0]["data"])
        self.assertEqual((told["type"], told["data"]["title"]), ("test", "A test, asked for by ann"))

    def test_many_are_sent_in_one_run(self) -> None:
        """One run empties the outbox."""
        for number in range(45):
            self.incident(subject=str(number))
        self.run_once()
        self.assertEqual(len(self.receiver.posts), 45)

    def test_the_store_may_go_away(self) -> None:
        """While the store is away nothing is sent and nothing breaks."""
        self.incident()
        self.store.take_down()
        self.run_once()
        self.assertEqual(self.receiver.posts, [])


class ChannelTests(NotifierCase):
    def setUp(self) -> None:
        self.chat = Chat()
        self.broken = Chat("pager", ValueError("no"))
        self.plugins = (self.chat, self.broken)
        super().setUp()

    def test_plugins_are_told(self) -> None:
        """A plugin's channel is told the same; one that fails is tried again, and hurts no other."""
        self.assertEqual(self.notifier.channels(), ["webhook", "chat", "pager"])
        self.incident()
        self.run_once()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        ((notification_id, told),) = self.chat.told
        self.assertEqual(told["type"], "incident.opened")
        states = {
            each.channel: (each.state, each.notification_id == notification_id)
            for each in self.successResultOf(self.store.notifications()).notifications
        }
        self.assertEqual(states, {"webhook": ("sent", False), "chat": ("sent", True), "pager": ("waiting", False)})

    def test_names_are_checked(self) -> None:
        """Two channels of one name, or one without a proper name, stop the server at start."""
        for names in (("chat", "chat"), ("webhook",), ("Not This",), ("",)):
            self.plugins = tuple(Chat(name) for name in names)
            self.assertRaises(ChannelError, self.make)


class PauseTests(unittest.TestCase):
    @given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
    def test_pauses_grow_and_end(self, attempt: int, asked_for: float | None, dice: float) -> None:
        """A pause is never shorter than the one before without dice, and never longer than an hour and a quarter."""
        pause = payload.pause(attempt, asked_for, dice)
        self.assertGreaterEqual(pause, payload.FIRST_PAUSE)
        self.assertLessEqual(pause, payload.LONGEST_PAUSE * 1.25)
        self.assertLessEqual(payload.pause(attempt, None, 0), payload.pause(attempt + 1, None, 0))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _now() -> float:
    return datetime.now(timezone.utc).timestamp()
