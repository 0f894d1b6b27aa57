"""A server in memory, and the command line run against it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import frozen
from click.testing import CliRunner
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from crawlsock.cli.command import Invocation
from crawlsock.cli.root import run
from crawlsock.sdk import JobManager
from crawlsock.testing.harness import WireHarness, WirePeer

T = TypeVar("T")


@frozen
class Ended:
    """How a command ended: its exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        (found,) = self.objects
        return found


class MemoryRuntime:
    """Run commands on the harness's clock.

    :ivar steps: called one after the other, one a tenth of a second, while a command waits.
    """

    connect_deadline = 5.0

    def __init__(self, harness: WireHarness) -> None:
        self.harness = harness
        self.steps: list[Callable[[], object]] = []
        self.token: str | None = None
        self._running: Deferred[Any] | None = None

    def interrupt(self) -> None:
        """Do as Ctrl-C does."""
        assert self._running is not None
        self._running.cancel()

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Let time pass until there is a result."""
        results: list[Any] = []
        self._running = Deferred.fromCoroutine(work(self.harness.clock))
        self._running.addBoth(results.append)
        for _ in range(3000):
            if results:
                break
            self.harness.advance(0.1, 0.1)
            if self.steps:
                self.steps.pop(0)()
        if not results:
            raise AssertionError("the command did not end within 300 seconds")
        if isinstance(results[0], Failure):
            if results[0].check(CancelledError):
                raise SystemExit(130)
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]

    def manager(self, invocation: Invocation, role: str) -> JobManager:
        """Connect to the harness."""
        token = self.token or self.harness.token(role)
        return JobManager(self.harness.endpoint(), token, role=role, reactor=self.harness.clock)


class World:
    """A harness, and commands against it."""

    def __init__(self) -> None:
        self.harness = WireHarness()
        self.runtime = MemoryRuntime(self.harness)
        self.environ: dict[str, str] = {}

    def invoke(self, *arguments: str, input: str | None = None) -> Ended:
        """Run a command as a person would."""
        return invoke(arguments, Invocation(environ=self.environ, make_runtime=lambda: self.runtime), input)

    def submit(self, *more: str, type: str = "crawl_project") -> str:
        """Submit a job; return its id."""
        ended = self.invoke("submit", type, "--host", "gitlab.example.com", *more)
        assert ended.code == 0, ended
        return ended.out.strip()

    def crawler(self, slots: int = 1, **hello: Any) -> tuple[WirePeer, list[dict[str, Any]]]:
        """Connect a crawler that takes jobs; return it and the jobs."""
        peer = self.harness.connect("crawler", **hello)
        return peer, self.request(peer, "job_request", {"slots": slots})["jobs"]

    def request(self, peer: WirePeer, type: str, data: dict[str, Any], **envelope: Any) -> dict[str, Any]:
        """Send a request and return the data of its reply."""
        results: list[Any] = []
        peer.request(type, data, **envelope).addBoth(results.append)
        self.harness.settle()
        if isinstance(results[0], Failure):
            results[0].raiseException()
        data_of_reply: dict[str, Any] = results[0].data or {}
        return data_of_reply

    def say(self, peer: WirePeer, type: str, job: dict[str, Any], **data: Any) -> None:
        """Say something about a job that the crawler has."""
        self.request(peer, type, data, job_id=job["job_id"], lease=job["lease"])


def invoke(arguments: tuple[str, ...], invocation: Invocation, input: str | None = None) -> Ended:
    """Run a command with streams of its own."""
    with CliRunner().isolation(input=input) as streams:
        code = run(arguments, invocation)
        sys.stdout.flush()
        sys.stderr.flush()
        return Ended(int(code), streams[0].getvalue().decode(), streams[1].getvalue().decode())
