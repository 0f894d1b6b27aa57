"""Claims about a crawler as a process of its own, on a real Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from crawlsock.wire.message import Message
from crawlsock.wire.netstring import NetstringParser
from tests.sdk.fake import CODEC, JOB, assignment

ROOT = Path(__file__).resolve().parents[2]
reactor: Any = installed

WELCOME = {
    "version": 1,
    "features": [],
    "session_id": "s",
    "ticket": "t",
    "resumed": False,
    "leases_kept": [],
    "leases_lost": [],
    "heartbeat_interval": 10,
    "lease_length": 30,
    "progress_interval": 1,
    "limits": {"max_frame": 1 << 20, "max_in_flight": 100, "requests_per_second": 0},
    "server_time": "2026-11-23T10:15:30Z",
    "server": {"name": "fake", "version": "0", "server_id": "x"},
}


class SocketServer(Protocol):
    """The smallest server that a crawler can work for: one job, and an ack for everything."""

    def __init__(self, job: dict[str, Any], heard: DeferredQueue[Message]) -> None:
        self._parser = NetstringParser(1 << 20)
        self._jobs = [{"job_id": JOB.format(1), "lease": "l", **job}]
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed(data)
        for frame in self._parser.frames():
            message = CODEC.decode(frame)
            if message.type == "hello":
                self._say("welcome", WELCOME, message)
            elif message.type == "job_request":
                jobs, self._jobs = self._jobs, []
                self._say("job_response", {"jobs": jobs}, message)
            else:
                self._say("ack", None, message)
            self._heard.put(message)

    def _say(self, type: str, data: dict[str, Any] | None, to: Message) -> None:
        assert self.transport is not None
        self.transport.write(CODEC.encode(type, data, re=to.id))


class Child(ProcessProtocol):
    """A crawler process; `ended` fires with its exit code, or minus the signal that killed it."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()
        self.errors = b""

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        value = reason.value
        if isinstance(value, ProcessDone):
            self.ended.callback(0)
        elif isinstance(value, ProcessTerminated):
            self.ended.callback(value.exitCode if value.signal is None else -value.signal)


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"<p>hello</p>"


STUBBORN = """
import os
from twisted.internet.defer import Deferred
from crawlsock.sdk import Job, JobExecutor

executor = JobExecutor(os.environ["CRAWLSOCK_CONNECT"])

@executor.job("fetch_page")
async def wait(job: Job) -> None:
    job.report.save({"page": 7})
    await job.report.flush()
    await Deferred()

executor.run()
"""


class Processes(TestCase):
    timeout = 30

    def setUp(self) -> None:
        # A short path: the socket's address has room for about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="sdk"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.heard: DeferredQueue[Message] = DeferredQueue()

    def serve(self, **job: Any) -> None:
        def build() -> Protocol:
            return SocketServer(assignment(type="fetch_page", **job), self.heard)

        port = reactor.listenUNIX(str(self.folder / "s"), Factory.forProtocol(build))
        self.addCleanup(port.stopListening)

    def crawl(self, *arguments: str) -> Child:
        child = Child()
        environment = {
            **os.environ,
            "CRAWLSOCK_CONNECT": f"unix:{self.folder / 's'}",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, *arguments]
        process = reactor.spawnProcess(child, command[0], command, environment, str(self.folder))
        self.process = process

        def end() -> None:
            if process.pid is not None:
                process.signalProcess("KILL")

        self.addCleanup(end)
        return child

    async def next(self, type: str) -> Message:
        while True:
            message = await self.heard.get()
            if message.type == type:
                return message

    async def test_tiny_crawler(self) -> None:
        """The twenty-line crawler fetches a page into a file, and leaves with exit code 0 on SIGTERM."""
        site = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
        self.addCleanup(site.stopListening)
        self.serve(payload={"url": f"http://127.0.0.1:{site.getHost().port}/"})
        child = self.crawl(str(ROOT / "examples" / "tiny_crawler.py"))
        completed = await self.next("job_completed")
        name = f"{JOB.format(1)}.html"
        self.assertEqual(completed.data["files"], [{"path": name, "items": 1, "bytes": 12}])
        self.assertEqual(completed.data["entities"], {"page": {"processed": 1}})
        self.assertEqual((self.folder / name).read_bytes(), b"<p>hello</p>")
        self.process.signalProcess("TERM")
        self.assertEqual(await child.ended, 0, child.errors)

    async def test_two_signals(self) -> None:
        """The first signal drains; the second hands a job back at once that reaches no checkpoint."""
        self.serve()
        (self.folder / "c.py").write_text(STUBBORN)
        child = self.crawl("c.py")
        await self.next("job_progress")
        self.process.signalProcess(signal.SIGTERM)
        withdrawn = await self.next("job_request")
        while withdrawn.data["slots"] != 0:
            withdrawn = await self.next("job_request")
        self.process.signalProcess(signal.SIGTERM)
        released = await self.next("job_released")
        self.assertEqual(released.data["resume_state"], {"page": 7})
        self.assertEqual(await child.ended, 0, child.errors)
