"""The rules of a session, on both ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import ROLES, Catalog
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.message import Message
from crawlsock.wire.session import ClientSession, Requests, ServerSession, agree, negotiate

CATALOG = Catalog.load()


class NegotiationTests(SynchronousTestCase):
    """Versions and features."""

    def test_highest_common_version(self) -> None:
        """The highest version that both speak is taken, in whatever order they are offered."""
        self.assertEqual(negotiate([3, 1, 2], (1, 2)), 2)
        self.assertEqual(negotiate([1]), 1)

    def test_no_common_version(self) -> None:
        """Without a common version the refusal names those spoken here."""
        with self.assertRaises(Refusal) as caught:
            negotiate([7], (1, 2))
        self.assertEqual(caught.exception.code, ErrorCode.UNSUPPORTED_VERSION)
        self.assertIn("1, 2", caught.exception.message)

    def test_features(self) -> None:
        """Only features of both sides are agreed."""
        self.assertEqual(agree(["b", "x", "a"], ["a", "b", "c"]), ("a", "b"))
        self.assertEqual(agree(["anything"]), ())


class ServerSessionTests(SynchronousTestCase):
    """What the server hears."""

    def refused(self, session: ServerSession, message: Message, code: ErrorCode) -> Refusal:
        """Assert that a message is refused with this code."""
        with self.assertRaises(Refusal) as caught:
            session.received(message)
        self.assertEqual(caught.exception.code, code)
        refusal: Refusal = caught.exception
        return refusal

    def test_hello_first(self) -> None:
        """Before hello nothing is heard, not even a reply."""
        for name, kind in CATALOG.types.items():
            if name != "hello":
                session = ServerSession(CATALOG)
                message = Message(name, None if kind.is_reply else 1, 1 if kind.is_reply else None)
                self.refused(session, message, ErrorCode.NOT_AUTHENTICATED)

    def test_each_role_its_requests(self) -> None:
        """A welcomed peer may send the requests of its role and replies, and nothing else."""
        for role in ROLES:
            for name, kind in CATALOG.types.items():
                session = ServerSession(CATALOG)
                session.received(Message("hello", 1))
                session.welcomed(role)
                if kind.is_reply:
                    session.received(Message(name, re=1))
                elif name == "hello":
                    self.refused(session, Message(name, 2), ErrorCode.INVALID_STATE)
                elif role in kind.requests_from:
                    session.received(Message(name, 2))
                else:
                    self.refused(session, Message(name, 2), ErrorCode.FORBIDDEN)

    def test_ids_rise(self) -> None:
        """An id that does not rise is refused, and the session goes on as if it had not come."""
        session = ServerSession(CATALOG)
        session.received(Message("hello", 5))
        session.welcomed("monitor")
        for id in (1, 5, None):
            refusal = self.refused(session, Message("ping", id), ErrorCode.INVALID_MESSAGE)
            self.assertEqual(refusal.pointer, "/id")
        session.received(Message("ping", 6))
        self.refused(session, Message("ping", 6), ErrorCode.INVALID_MESSAGE)
        session.received(Message("ping", 2**53 - 1))

    def test_hello_twice_before_welcome(self) -> None:
        """A second hello while the first is being judged needs an id that rises, as any request."""
        session = ServerSession(CATALOG)
        session.received(Message("hello", 1))
        self.refused(session, Message("hello", 1), ErrorCode.INVALID_MESSAGE)

    def test_hello_again(self) -> None:
        """After its session has expired a peer may say hello again, and nothing else until it is welcomed."""
        session = ServerSession(CATALOG)
        session.received(Message("hello", 1))
        session.welcomed("crawler")
        session.expired()
        self.refused(session, Message("heartbeat", 2), ErrorCode.NOT_AUTHENTICATED)
        session.received(Message("hello", 3))


class ClientSessionTests(SynchronousTestCase):
    """What a client hears, and what it waits for."""

    def welcomed(self, role: str = "crawler") -> ClientSession:
        """Return the session of a client that was welcomed."""
        session = ClientSession(CATALOG, role)
        self.assertEqual(session.requests.opened("hello"), 1)
        self.assertEqual(session.received(Message("welcome", re=1)), (1,))
        return session

    def test_pushes_of_the_role(self) -> None:
        """A client takes the pushes of its role and refuses every other message."""
        for role in ROLES:
            for name, kind in CATALOG.types.items():
                session = self.welcomed(role)
                if kind.is_reply:
                    continue
                if role in kind.pushed_to:
                    self.assertEqual(session.received(Message(name, 1)), ())
                else:
                    self.assertRaises(Refusal, session.received, Message(name, 1))

    def test_nothing_before_welcome(self) -> None:
        """Before welcome only replies and shutdown are taken."""
        session = ClientSession(CATALOG, "crawler")
        self.assertRaises(Refusal, session.received, Message("job_assignment"))
        session.received(Message("shutdown"))
        session.received(Message("error"))

    def test_ids_of_pushes_rise(self) -> None:
        """A push whose id does not rise is refused; one without id is fine."""
        session = self.welcomed()
        session.received(Message("ping", 3))
        session.received(Message("job_assignment"))
        self.assertRaises(Refusal, session.received, Message("ping", 3))

    def test_replies_meet_requests(self) -> None:
        """A reply settles what it answers, once; a late one is ignored; a wrong one is refused."""
        requests = Requests(CATALOG)
        ids = [requests.opened("job_progress") for _ in range(3)]
        listing = requests.opened("job_list")
        self.assertEqual(ids, [1, 2, 3])
        self.assertEqual(requests.settle(Message("ack", re=(1, 3))), (1, 3))
        self.assertEqual(requests.settle(Message("ack", re=(1, 3))), ())
        self.assertRaises(Refusal, requests.settle, Message("ack", re=listing))
        self.assertEqual(requests.settle(Message("job_list_response", re=listing)), (listing,))
        self.assertEqual(requests.settle(Message("error", re=2)), (2,))
        self.assertEqual(requests.settle(Message("error")), ())
        requests.forget(requests.opened("ping"))
        self.assertEqual(len(requests), 0)
