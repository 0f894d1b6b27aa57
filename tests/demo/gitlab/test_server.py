"""The sample GitLab behind ``twisted.web``."""

from __future__ import annotations

import http.client
import io
import tempfile
from typing import Any
from urllib.parse import urlsplit

import orjson
from twisted.internet import defer, task
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from crawlsock.demo.gitlab import Dataset, Faults, Options, SampleGitLab

DATASET = Dataset.generate(2, 4, 400)


class InMemory:
    """One client connection to a sample GitLab, on a clock that stands still until told otherwise."""

    def __init__(self, options: Options | None = None) -> None:
        self.clock = task.Clock()
        self.clock.advance(1_000_000)
        self.sample = SampleGitLab(self.clock, DATASET, options)
        self.transport = StringTransport()
        self.protocol: Any = Site(self.sample.resource(), reactor=self.clock).buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> None:
        """Send one request with the personal token."""
        shown = {"Host": "sample.test", "PRIVATE-TOKEN": self.sample.personal_token, **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in shown.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.protocol.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def received(self) -> bytes:
        """Return what came back since the last time."""
        value: bytes = self.transport.value()
        self.transport.clear()
        return value


def _parse(raw: bytes) -> http.client.HTTPResponse:
    class _Socket:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(raw)

    response = http.client.HTTPResponse(_Socket())  # type: ignore[arg-type]
    response.begin()
    return response


class ResourceTests(TestCase):
    """Requests and answers as bytes."""

    def test_answer(self) -> None:
        """A request is answered with JSON, its length, and links to the host that the client named."""
        client = InMemory()
        client.send("/api/v4/projects?per_page=1")
        response = _parse(client.received())
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["Content-Type"], "application/json")
        self.assertIn("<http://sample.test/api/v4/projects?page=2&per_page=1>", response.headers["Link"])
        self.assertEqual(orjson.loads(response.read())[0]["id"], 4)

    def test_encoded_paths(self) -> None:
        """A slash encoded in a path stays part of its name."""
        client = InMemory()
        client.send(f"/api/v4/projects/{DATASET.world.project_path(3).replace('/', '%2F')}")
        self.assertEqual(orjson.loads(_parse(client.received()).read())["id"], 3)

    def test_keep_alive_and_pipelining(self) -> None:
        """One connection carries many requests, answered in their order."""
        client = InMemory()
        for project in (1, 2, 3):
            client.send(f"/api/v4/projects/{project}")
        answers = client.received().split(b"HTTP/1.1 200 OK")[1:]
        self.assertEqual([orjson.loads(one.partition(b"\r\n\r\n")[2])["id"] for one in answers], [1, 2, 3])
        self.assertFalse(client.transport.disconnecting)

    def test_head(self) -> None:
        """HEAD answers with the headers of GET alone."""
        client = InMemory()
        client.send("/api/v4/projects", method="HEAD")
        head, _, body = client.received().partition(b"\r\n\r\n")
        self.assertIn(b"X-Total: 4", head)
        self.assertEqual(body, b"")

    def test_refresh_over_http(self) -> None:
        """A refresh posted as a form gives a new pair."""
        client = InMemory()
        body = f"grant_type=refresh_token&refresh_token={client.sample.oauth.refresh_token}".encode()
        client.send("/oauth/token", "POST", body, **{"Content-Type": "application/x-www-form-urlencoded"})
        response = _parse(client.received())
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        self.assertNotEqual(orjson.loads(response.read())["access_token"], client.sample.oauth.access_token)
        self.assertEqual(client.sample.statistics.refreshes, 1)

    def test_latency(self) -> None:
        """With latency an answer comes when its time has passed, and not before."""
        client = InMemory(Options(latency=0.05, faults=Faults(slow=1.0, slow_by=1.0)))
        client.send("/api/v4/projects")
        client.clock.advance(1.04)
        self.assertEqual((client.received(), client.sample.statistics.in_flight), (b"", 1))
        client.clock.advance(0.02)
        self.assertEqual(_parse(client.received()).status, 200)
        self.assertEqual(client.sample.statistics.in_flight, 0)

    def test_peak(self) -> None:
        """The statistics know how many requests were under way at once."""
        client = InMemory(Options(latency=1.0))
        site = client.sample.site()
        for _ in range(3):
            client.transport = StringTransport()
            client.protocol = site.buildProtocol(None)
            client.protocol.makeConnection(client.transport)
            client.send("/api/v4/version")
        client.clock.advance(1)
        self.assertEqual((client.sample.statistics.peak, client.sample.statistics.in_flight), (3, 0))

    def test_client_gone(self) -> None:
        """An answer whose client went away is dropped and counted as such."""
        client = InMemory(Options(latency=1.0))
        client.send("/api/v4/projects")
        client.protocol.connectionLost(Failure(ConnectionLost()))
        client.clock.advance(2)
        self.assertEqual((client.sample.statistics.disconnected, client.sample.statistics.in_flight), (1, 0))

    def test_token_expires_on_the_clock(self) -> None:
        """An OAuth token is refused as soon as its seconds are over."""
        client = InMemory(Options(token_seconds=10))
        bearer: Any = {"PRIVATE-TOKEN": "", "Authorization": f"Bearer {client.sample.oauth.access_token}"}
        client.send("/api/v4/version", **bearer)
        self.assertEqual(_parse(client.received()).status, 200)
        client.clock.advance(10)
        client.send("/api/v4/version", **bearer)
        self.assertEqual(_parse(client.received()).status, 401)

    def test_any_bytes(self) -> None:
        """Paths and queries that are no text are refused like any other unknown address."""
        client = InMemory()
        for target, status in (
            ("/api/v4/projects/%ff%00", 404),
            ("/api/v4/users?username=%ff", 200),
            ("/%", 404),
        ):
            client.send(target)
            self.assertEqual(_parse(client.received()).status, status, target)


class ListeningTests(TestCase):
    """A real port."""

    async def test_listen_and_close(self) -> None:
        """It listens on a port of its own, keeps connections, and closing it, even twice, ends them all."""
        from twisted.internet import reactor

        sample = SampleGitLab(reactor, DATASET)
        url = await sample.listen()
        self.assertTrue(url.startswith("http://127.0.0.1:"))
        host = urlsplit(url).netloc
        connection = http.client.HTTPConnection(host, timeout=10)

        def twice() -> list[int]:
            found = []
            for _ in range(2):
                connection.request("GET", "/api/v4/projects", headers={"PRIVATE-TOKEN": sample.personal_token})
                found.append(len(orjson.loads(connection.getresponse().read())))
            return found

        self.assertEqual(await deferToThread(twice), [4, 4])
        self.assertEqual(len(sample.resource().channels), 1)
        await sample.close()
        await sample.close()
        refused: Deferred[Any] = deferToThread(http.client.HTTPConnection(host, timeout=10).connect)
        await self.assertFailure(refused, ConnectionRefusedError)
        connection.close()

    async def test_tcp_alone(self) -> None:
        """An endpoint without a URL is refused with a sentence that shows one that has."""
        from twisted.internet import reactor

        with tempfile.TemporaryDirectory() as folder:
            sample = SampleGitLab(reactor, DATASET)
            refused = Deferred.fromCoroutine(sample.listen(f"unix:{folder}/socket"))
            error = await self.assertFailure(refused, ValueError)
            self.assertIn("tcp:0:interface=127.0.0.1", str(error))
            await sample.close()

    def test_description(self) -> None:
        """The description for other processes has the address, the tokens and the counts to expect."""
        sample = SampleGitLab(task.Clock(), DATASET, Options(oauth_grants=2))
        described = sample.description()
        self.assertEqual(described["items_expected"], 400)
        self.assertEqual(described["counts"], DATASET.counts())
        self.assertEqual(len(described["oauth"]), 2)  # type: ignore[arg-type]
        self.assertEqual(orjson.loads(orjson.dumps(described)), described)
        self.assertIsNone(self.successResultOf(defer.ensureDeferred(sample.close())))
