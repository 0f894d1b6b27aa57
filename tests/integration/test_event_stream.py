"""The event stream of a real server over real sockets: killed servers, slow readers, many viewers, ended tokens."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

import psutil
import psycopg2
from twisted.internet.protocol import ClientCreator, Protocol
from twisted.python.failure import Failure

from crawlsock.sdk import NewJob
from tests.feed.viewers import parse
from tests.integration.processes import reactor, until
from tests.integration.web_case import WebCase

VIEWERS = 200


class Follower(Protocol):
    """A browser's event stream: it remembers the last id, and comes back with it when its link breaks."""

    transport: Any

    def __init__(self, case: StreamCase, header: str, query: str = "") -> None:
        self.case = case
        self.header = header
        self.query = query
        self.position: str | None = None
        self.status: int | None = None
        self.deliveries: list[dict[str, Any]] = []
        self.ends: list[str] = []
        self.greeted = 0
        self.lost = 0
        self.comes_back = True
        self._head = True
        self._raw = b""
        self._text = b""

    def open(self) -> Follower:
        """Connect, until it succeeds."""
        self._head, self._raw, self._text = True, b"", b""
        creator = ClientCreator(reactor, lambda: self)
        creator.connectTCP("127.0.0.1", self.case.port).addErrback(self._again)
        return self

    def _again(self, _: Failure) -> None:
        if self.comes_back:
            self.case.later(0.1, self.open)

    def connectionMade(self) -> None:
        """Ask for the stream."""
        back = f"Last-Event-ID: {self.position}\r\n" if self.position is not None else ""
        self.transport.write(
            f"GET /api/v1/events{self.query} HTTP/1.1\r\nHost: localhost:{self.case.port}\r\n{back}"
            f"{self.header}\r\n\r\n".encode()
        )

    def dataReceived(self, data: bytes) -> None:
        """Take the stream apart."""
        self._raw += data
        if self._head:
            head, found, rest = self._raw.partition(b"\r\n\r\n")
            if not found:
                return
            self._head, self._raw = False, rest
            self.status = int(head.split(b" ")[1])
        while self.status == 200:
            size, line, rest = self._raw.partition(b"\r\n")
            if not line or len(rest) < int(size, 16) + 2:
                break
            self._text += rest[: int(size, 16)]
            self._raw = rest[int(size, 16) + 2 :]
        whole, found, self._text = self._text.rpartition(b"\n\n")
        for event, position, told in parse(whole + found):
            self._message(event, position, told)

    def _message(self, event: str | None, position: str | None, told: Any) -> None:
        self.position = position or self.position
        if event == "hello":
            self.greeted += 1
        elif event == "events":
            self.deliveries.append(told)
        elif event == "end":
            self.ends.append(told["reason"])

    def connectionLost(self, reason: Any = None) -> None:
        """Come back a little later."""
        self.lost += 1
        if self.comes_back:
            self.case.later(0.1, self.open)

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """Everything that was heard."""
        return [event for delivery in self.deliveries for event in delivery["events"]]

    def created(self) -> list[str]:
        """Return the jobs that it heard were made, in order, with repetitions."""
        return [event["job_id"] for event in self.events if event["kind"] == "job_created"]


class StreamCase(WebCase):
    """A server, and followers that leave with the test."""

    def setUp(self) -> None:
        super().setUp()
        self.followers: list[Follower] = []
        self.addCleanup(self.leave)

    def later(self, seconds: float, call: Any) -> None:
        """Call later."""
        reactor.callLater(seconds, call)

    async def leave(self) -> None:
        for follower in self.followers:
            follower.comes_back = False
            if follower.transport is not None:
                follower.transport.abortConnection()
        gone = [follower for follower in self.followers if follower.transport is not None]
        await until("all followers have left", lambda: all(not each.transport.connected for each in gone))

    async def follow(self, query: str = "", token: str | None = None) -> Follower:
        """Open a stream, and wait until it says hello."""
        follower = Follower(self, f"Authorization: Bearer {token or self.token('monitor')}", query).open()
        self.followers.append(follower)
        await until("the stream says hello", lambda: follower.greeted or follower.status not in (None, 200))
        return follower

    def submit_in_sql(self, count: int) -> list[str]:
        """Submit as a web application may, whether a server runs or not."""
        assert self.dsn is not None
        connection = psycopg2.connect(self.dsn)
        made = []
        try:
            for _ in range(count):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT id::text FROM crawlsock.submit('nobody_does_this')")
                    made.append((cursor.fetchone() or ("",))[0])
                connection.commit()
        finally:
            connection.close()
        return made


class RealStreamTests(StreamCase):
    """What a browser lives through."""

    async def test_the_server_is_killed(self) -> None:
        """Through kill -9 after kill -9, with jobs made meanwhile, a viewer hears of each job once, and in order."""
        server = await self.serve()
        viewers = [await self.follow(), await self.follow("?account=default")]
        made = self.submit_in_sql(20)
        for _ in range(3):
            await until("what was made is heard of", partial(heard, viewers[0], len(made)))
            server.kill()
            made += self.submit_in_sql(10)
            server = await self.serve()
            made += self.submit_in_sql(10)
        for viewer in viewers:
            await until("all is heard of", partial(heard, viewer, len(made)))
            self.assertEqual(viewer.created(), made)
            self.assertEqual([each for each in viewer.deliveries if each.get("gap")], [])
            self.assertEqual(viewer.lost, 3)

    async def test_the_server_stops(self) -> None:
        """A server that is asked to stop says goodbye to its viewers, and ends soon."""
        server = await self.serve()
        viewers = [await self.follow() for _ in range(5)]
        for viewer in viewers:
            viewer.comes_back = False
        server.signal(signal.SIGTERM)
        self.assertEqual(await server.ended(10), -signal.SIGTERM)
        self.assertEqual([viewer.ends for viewer in viewers], [["stopping"]] * 5)

    async def test_a_token_is_revoked(self) -> None:
        """A stream ends within five seconds of the end of its token, said at another door, and does not come back."""
        await self.serve()
        manager = await self.manager("admin")
        made = (await manager.request("token_create", {"role": "monitor", "name": "for a while"})).data
        viewer, other = await self.follow(token=made["token"]), await self.follow()
        began = reactor.seconds()
        await manager.request("token_revoke", {"token_id": made["token_id"]})
        await until("the stream ends", lambda: viewer.ends, 6)
        self.assertLess(reactor.seconds() - began, 5)
        await until("it is refused", lambda: viewer.status == 401)
        self.assertEqual((other.ends, other.lost), ([], 0))

    async def test_a_signed_out_browser(self) -> None:
        """A stream that was opened with a cookie ends with the session."""
        await self.serve()
        cookie = await self.sign_in()
        viewer = Follower(self, f"Cookie: {cookie}")
        viewer.comes_back = False
        self.followers.append(viewer.open())
        await until("the stream says hello", lambda: viewer.greeted)
        left = await self.http("DELETE", "/api/v1/session", {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
        self.assertEqual(left.status, 204)
        await until("the stream ends", lambda: viewer.ends, 5)

    async def test_a_slow_reader(self) -> None:
        """A client that reads nothing costs little memory and is sent away; those beside it notice nothing."""
        server = await self.serve()
        quick = await self.follow()
        process = psutil.Process(server.pid)
        manager = await self.manager()
        await manager.submit([NewJob("nobody_does_this", name="x" * 200) for _ in range(1000)])
        await until("the jobs are heard of", lambda: len(quick.created()) == 1000)
        lazy = [self.lazy() for _ in range(10)]
        await until("the lazy ones look on", lambda: self.viewers() == 11)
        before = process.memory_info().rss
        for round in range(2, 12):
            await manager.submit([NewJob("nobody_does_this", name="x" * 200) for _ in range(1000)])
            await until("the jobs are heard of", partial(heard, quick, 1000 * round))
        self.assertLess(process.memory_info().rss - before, 60e6)
        await until("the lazy ones are sent away", lambda: self.viewers() == 1, 15)
        self.assertEqual(quick.lost, 0)
        told = await self.in_thread(read_all, lazy[0])
        self.assertLess(len(told), 10_000_000)

    def lazy(self) -> socket.socket:
        """Open a stream with the smallest of buffers, and read nothing from it."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(
            b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % self.token("monitor").encode()
        )
        return connection

    def viewers(self) -> int:
        """Count the connections that the server has on its port for HTTP."""
        (server,) = [child for child in self.children.children if child.alive]
        found = psutil.Process(server.pid).net_connections()
        return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == self.port for each in found)

    async def test_many_viewers(self) -> None:
        """Two hundred viewers of six kinds hear of everything that concerns them, once, through a kill -9 as well."""
        limits: dict[str, Any] = {"http_max_streams": 1000, "http_max_streams_per_caller": 1000}
        server = await self.serve(**limits)
        (root,) = self.submit_in_sql(1)
        queries = ("", "?account=default", "?kinds=job_created", f"?root_id={root}", f"?job_id={root}", "?account=none")
        bearer = f"Authorization: Bearer {self.token('monitor')}"
        for number in range(VIEWERS):
            self.followers.append(Follower(self, bearer, queries[number % len(queries)]).open())
        await until("all look on", lambda: all(each.greeted for each in self.followers), 30)
        made = self.submit_in_sql(30)
        wide = [each for number, each in enumerate(self.followers) if number % len(queries) < 3]
        await until("all have heard", lambda: all(len(each.created()) >= 30 for each in wide))
        server.kill()
        made += self.submit_in_sql(30)
        await self.serve(**limits)
        await until("all look on again", lambda: all(each.greeted == 2 for each in self.followers), 30)
        manager = await self.manager()
        await manager.pause(root)
        await until("all have heard again", lambda: all(len(each.created()) >= 60 for each in wide))
        await until("the pause is heard of", lambda: all(kinds(each) == ["job_paused"] for each in self.narrow()))
        for follower in self.followers:
            self.assertEqual(follower.created(), made if follower in wide else [])
            self.assertEqual(kinds(follower) == ["job_paused"], follower in self.narrow())

    def narrow(self) -> list[Follower]:
        """Return those who follow one job or tree."""
        return [each for each in self.followers if each.query.startswith(("?root_id", "?job_id"))]


def heard(follower: Follower, count: int) -> bool:
    """Tell whether it has heard of so many jobs that were made."""
    return len(follower.created()) >= count


def kinds(follower: Follower) -> list[str]:
    """Return the kinds of all events that were heard."""
    return [event["kind"] for event in follower.events]


def read_all(connection: socket.socket) -> bytes:
    """Read until the other end closes, or cuts the connection off."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except OSError:
        pass
    return data
