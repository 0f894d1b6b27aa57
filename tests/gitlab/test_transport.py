"""Requests over real connections, and a whole crawl through them."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Faults, Options, SampleGitLab
from crawlsock.gitlab import ClientSettings, GitLabCrawler, Settings, TreqTransport, threads_of
from crawlsock.gitlab.transport import NetworkFailed
from crawlsock.sdk import Credential
from tests.gitlab.fakes import FakeServer

reactor: Any = the_reactor


class Scripted(Protocol):
    """Answer every request with the same bytes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None and isinstance(self.factory, ScriptedFactory)
        self.factory.requests.append(data)
        for chunk in self.factory.answer:
            self.transport.write(chunk)
        if self.factory.hang_up:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert isinstance(self.factory, ScriptedFactory)
        self.factory.lost.callback(None)


class ScriptedFactory(Factory):
    """Make servers that answer from a script, and know how many connections there were."""

    protocol = Scripted

    def __init__(self, *answer: bytes, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.requests: list[bytes] = []
        self.connections = 0
        self.lost: Deferred[None] = Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        self.connections += 1
        return super().buildProtocol(addr)


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Write an HTTP response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("ascii") + body


class TransportTests(TestCase):
    """One transport and one scripted server."""

    def serve(self, *answer: bytes, hang_up: bool = False, **settings: Any) -> str:
        """Start a server; return its URL."""
        self.factory = ScriptedFactory(*answer, hang_up=hang_up)
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        known = {"connections": 4, "timeout": 5.0, "body_limit": 1000, **settings}
        self.transport = TreqTransport.on(reactor, **known)
        self.addCleanup(self.transport.close)
        return f"http://127.0.0.1:{port.getHost().port}/x?y=1"

    async def test_answer(self) -> None:
        """Status, headers and body come back, and the connection is used again."""
        url = self.serve(response(b"[]", "X-Total: 3", "Link: <a>", status="203 Fine"))
        for _ in range(3):
            answer = await self.transport.get(url, {"PRIVATE-TOKEN": "secret"})
        self.assertEqual((answer.status, answer.body), (203, b"[]"))
        self.assertEqual((answer.headers["x-total"], answer.headers["link"]), ("3", "<a>"))
        self.assertEqual(self.factory.connections, 1)
        self.assertIn(b"secret", self.factory.requests[0])
        self.assertTrue(self.factory.requests[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n"))

    async def test_compressed(self) -> None:
        """A compressed body is unpacked."""
        url = self.serve(response(gzip.compress(b"[1]"), "Content-Encoding: gzip"))
        self.assertEqual((await self.transport.get(url, {})).body, b"[1]")

    async def test_redirect(self) -> None:
        """A redirect is handed back, not followed."""
        url = self.serve(response(b"", "Location: http://127.0.0.1:1/", status="302 Found"))
        answer = await self.transport.get(url, {"PRIVATE-TOKEN": "secret"})
        self.assertEqual((answer.status, answer.headers["location"]), (302, "http://127.0.0.1:1/"))
        self.assertEqual(len(self.factory.requests), 1)

    async def test_too_large(self) -> None:
        """A body above the limit is refused as it arrives, a compressed one by its unpacked size."""
        bodies = (response(b"x" * 2000), response(gzip.compress(b"x" * 100_000), "Content-Encoding: gzip"))
        for body in bodies:
            url = self.serve(body)
            with self.assertRaises(NetworkFailed):
                await self.transport.get(url, {})
            # The client is still in the middle of its input, and would keep the connection behind our back.
            await deferLater(reactor, 0.0)

    async def test_endless(self) -> None:
        """The connection of a body that does not end is closed at the limit."""
        url = self.serve(response(b"x" * 2000).replace(b": 2000", b": 99999999"))
        with self.assertRaises(NetworkFailed):
            await self.transport.get(url, {})
        await self.factory.lost

    async def test_cut_off(self) -> None:
        """A body that ends before its length is no answer, nor is nonsense."""
        for broken in (response(b"[]" * 100)[:-5], b"nonsense\r\n\r\n", b""):
            url = self.serve(broken, hang_up=True)
            with self.assertRaises(NetworkFailed):
                await self.transport.get(url, {})

    async def test_silent(self) -> None:
        """A server that never answers is given up after the timeout."""
        url = self.serve(timeout=0.05)
        with self.assertRaises(NetworkFailed):
            await self.transport.get(url, {})

    async def test_refused(self) -> None:
        """A connection that is refused is no answer."""
        self.serve()
        with self.assertRaises(NetworkFailed):
            await self.transport.get("http://127.0.0.1:1/", {})

    async def test_cancelled(self) -> None:
        """A request that nobody waits for any more is dropped."""
        waiting = self.transport_of_silent()
        waiting.cancel()
        with self.assertRaises(CancelledError):
            await waiting

    def transport_of_silent(self) -> Deferred[Any]:
        url = self.serve()
        return self.transport.get(url, {})


class RealCrawlTests(TestCase):
    """A crawl over TCP, with threads and a real disk."""

    async def test_everything(self) -> None:
        """A crawl with faults, expiring tokens and real connections writes exactly what the sample counts."""
        dataset = Dataset.generate(5, 3, 500)
        faults = Faults(too_many_requests=0.01, server_error=0.02, retry_after=0)
        sample = SampleGitLab(reactor, dataset, Options(token_requests=100, faults=faults))
        url = await sample.listen()
        self.addCleanup(sample.close)
        transport = TreqTransport.on(reactor, connections=8, timeout=10.0, body_limit=1 << 24)
        self.addCleanup(transport.close)
        server = FakeServer(reactor, credential=Credential(sample.oauth.access_token, "oauth", 1))
        tokens = [sample.oauth.refresh_token]

        def renew(stale: Credential) -> Credential:
            form = {"grant_type": "refresh_token", "refresh_token": tokens[-1]}
            pair = sample.tokens.refresh(form, reactor.seconds())
            tokens.append(str(pair["refresh_token"]))
            return Credential(str(pair["access_token"]), "oauth", stale.generation + 1)

        server.renew = renew
        settings = Settings(ClientSettings(per_page=20, backoff_base=0.01))
        crawler = GitLabCrawler.of(transport, self.mktemp(), reactor, threads_of(reactor), [url], settings)
        self.addCleanup(crawler.root.close)
        jobs = [server.job("discover_namespaces", host=url)]
        await crawler.handle(jobs[0])
        for type, entity in server.found:
            job = server.job(type, entity, host=url)
            jobs.append(job)
            await crawler.handle(job)
        counts: Counter[str] = Counter()
        for job in jobs:
            job.finish()
            counts.update(server.counts(job.id))
        self.assertEqual(dict(counts), {name: n for name, n in dataset.counts().items() if n})
        self.assertGreater(len(tokens), 1)
