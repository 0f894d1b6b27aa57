"""What the crawler's tests put around it: a server that remembers, a GitLab without a network, a disk that fails.

The job is the SDK's real one; only its link to the server is ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson
from attrs import define, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from crawlsock.demo.gitlab.application import Application, Ask
from crawlsock.gitlab import ClientSettings, CrawlSettings, GitLabCrawler, Settings
from crawlsock.gitlab.disk import Disk
from crawlsock.gitlab.transport import Answer, NetworkFailed
from crawlsock.sdk import Credential, Job, JobResult, LeaseLost

T = TypeVar("T")
ORIGIN = "http://127.0.0.1:8080"
START = 1_700_000_000.0


class Crash(BaseException):
    """The process ends here."""


@define
class Assigned:
    """What the server knows about a job; the next attempt is given `resume_state`."""

    id: str
    fields: dict[str, Any]
    attempt: int = 0
    resume_state: dict[str, Any] | None = None
    entities: dict[str, dict[str, Any]] = field(factory=dict)


@define
class FakeServer:
    """Be a `JobLink`: answer what jobs say, and keep what a server would keep.

    `before` is called with the type of every message before it counts, `after` when it has; both may raise.
    """

    clock: IReactorTime
    progress_interval: float = 1.0
    credential: Credential | None = None
    renew: Callable[[Credential], Credential] | None = None
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    refreshes: list[int] = field(factory=list)
    found: dict[tuple[str, str], dict[str, Any]] = field(factory=dict)
    areas: dict[tuple[str, str], dict[str, Any]] = field(factory=dict)
    assigned: dict[str, Assigned] = field(factory=dict)
    lost: set[tuple[str, int]] = field(factory=set)
    messages: list[tuple[str, dict[str, Any]]] = field(factory=list)

    def job(self, type: str, entity_id: str | None = None, **fields: Any) -> Job:
        """Assign a new job."""
        number = len(self.assigned) + 1
        known = Assigned(
            f"{number:08d}-0000-7000-8000-000000000000",
            {"type": type, "account": "default", "host": ORIGIN, "entity_id": entity_id, **fields},
        )
        self.assigned[known.id] = known
        return self.again(known.id)

    def again(self, job_id: str) -> Job:
        """Assign a job once more, with the resume state that its earlier attempts made durable."""
        known = self.assigned[job_id]
        known.attempt += 1
        fields = {**known.fields, "attempt": known.attempt}
        if known.resume_state is not None:
            fields["resume_state"] = orjson.loads(orjson.dumps(known.resume_state))
        return Job(self, known.id, f"lease-{known.id}-{known.attempt}", fields)

    def lose(self, job: Job) -> None:
        """Take a job's lease away without telling it."""
        self.lost.add((job.id, job.attempt))

    def tell(
        self,
        job: Job,
        type: str,
        data: dict[str, Any],
        done: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self.before(type)
        refusal = None
        if (job.id, job.attempt) in self.lost:
            refusal = LeaseLost("lost")
        elif type == "job_progress":
            known = self.assigned[job.id]
            known.entities = data.get("entities", known.entities)
            known.resume_state = data.get("resume_state", known.resume_state)
        self.messages.append((type, data))
        self.after(type)
        if done is not None:
            done(refusal)

    def ask(self, job: Job, type: str, data: dict[str, Any]) -> Deferred[dict[str, Any]]:
        self.before(type)
        if (job.id, job.attempt) in self.lost:
            return fail(LeaseLost("lost"))
        self.messages.append((type, data))
        if type == "discovery":
            for area in data["areas"]:
                self.areas[area["kind"], area["entity_id"]] = area
            return succeed({})
        items = []
        for child in data["jobs"]:
            key = (child["type"], child["entity_id"])
            items.append({"status": "duplicate" if key in self.found else "created", "job_id": child["job_id"]})
            self.found.setdefault(key, child)
        return succeed({"items": items})

    def credential_of(self, account: str) -> Credential | None:
        return self.credential

    def refresh(self, job: Job, stale: Credential) -> Deferred[Credential]:
        if self.credential is not None and self.credential.generation > stale.generation:
            return succeed(self.credential)
        self.refreshes.append(stale.generation)

        def renew() -> Credential:
            assert self.renew is not None
            self.credential = self.renew(stale)
            return self.credential

        return maybeDeferred(renew)

    def counts(self, job_id: str) -> dict[str, int]:
        """Return what a job has reported as processed, by entity type."""
        entities = self.assigned[job_id].entities
        return {name: counters["processed"] for name, counters in entities.items() if counters.get("processed")}


@define
class SampleTransport:
    """Fetch from a sample GitLab that runs in memory; every answer takes `latency` seconds of the clock."""

    application: Application
    clock: Clock
    latency: float
    requests: list[str] = field(factory=list)
    under_way: int = 0
    most: int = 0
    change: Callable[[str, Answer], Answer] = lambda _, answer: answer

    def get(self, url: str, headers: Mapping[str, str]) -> Deferred[Answer]:
        self.requests.append(url)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        waiting: Deferred[Answer] = Deferred(lambda _: call.cancel())
        call = self.clock.callLater(self.latency, self._answer, url, headers, waiting)
        return waiting

    def _answer(self, url: str, headers: Mapping[str, str], waiting: Deferred[Answer]) -> None:
        self.under_way -= 1
        parts = urlsplit(url)
        reply = self.application.answer(
            Ask(
                "GET",
                f"{parts.scheme}://{parts.netloc}",
                parts.path,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in headers.items()},
            ),
            self.clock.seconds(),
        )
        found = {name.lower(): value for name, value in reply.headers.items()}
        waiting.callback(self.change(url, Answer(reply.status, found, reply.body)))


@define
class TableTransport:
    """Answer from a list of answers for each URL path (with query), the last one for ever; or fail."""

    table: dict[str, list[Answer | NetworkFailed]]
    requests: list[tuple[str, Mapping[str, str]]] = field(factory=list)

    def get(self, url: str, headers: Mapping[str, str]) -> Deferred[Answer]:
        self.requests.append((url, headers))
        answers = self.table[url]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return fail(answer) if isinstance(answer, NetworkFailed) else succeed(answer)


class QuickDisk(Disk):
    """A disk that does not wait for its platters."""

    def sync(self, file: int) -> None:
        os.fstat(file)


@define
class CrashDisk(QuickDisk):
    """A disk on which the process dies at step number `at`; nothing can be done with it afterwards.

    `power_cut`: what was written and not synced is gone then, too.
    """

    at: int = -1
    power_cut: bool = False
    steps: int = 0
    names: list[str] = field(factory=list)
    _written: dict[int, int] = field(factory=dict)
    _synced: dict[int, int] = field(factory=dict)

    def _step(self, name: str) -> None:
        if 0 <= self.at <= self.steps:
            raise Crash(name)
        self.steps += 1
        self.names.append(name)

    def write(self, file: int, data: bytes, place: int) -> None:
        self._step("write")
        super().write(file, data, place)
        self._written[os.dup(file)] = place

    def copy(self, source: int, target: int, size: int) -> None:
        self._step("copy")
        super().copy(source, target, size)
        self._written[os.dup(target)] = 0

    def sync(self, file: int) -> None:
        self._step("sync")
        super().sync(file)
        self._synced[os.fstat(file).st_ino] = os.fstat(file).st_size

    def rename(self, name: str, folder: int, new_name: str, new_folder: int) -> None:
        self._step("rename")
        super().rename(name, folder, new_name, new_folder)

    def make_folder(self, name: str, folder: int) -> None:
        self._step("make_folder")
        super().make_folder(name, folder)

    def create(self, name: str, folder: int) -> int:
        self._step("create")
        return super().create(name, folder)

    def remove(self, name: str, folder: int) -> None:
        self._step("remove")
        super().remove(name, folder)

    def remove_folder(self, name: str, folder: int) -> None:
        self._step("remove_folder")
        super().remove_folder(name, folder)

    def after_crash(self) -> None:
        """Do to the files what the crash does."""
        for file in self._written:
            if self.power_cut:
                os.ftruncate(file, self._synced.get(os.fstat(file).st_ino, 0))
            os.close(file)
        self._written.clear()


def here(work: Callable[[], T]) -> Deferred[T]:
    """Run what would block in this thread: tests have no other."""
    return maybeDeferred(work)


def crawler(
    transport: Any, output: str, clock: Clock, *, disk: Disk | None = None, per_page: int = 100, **crawl: Any
) -> GitLabCrawler:
    """Build a crawler around a transport, with jitter and time under control."""
    made = GitLabCrawler.of(
        transport,
        output,
        clock,
        here,
        [ORIGIN],
        Settings(ClientSettings(per_page=per_page), CrawlSettings(**crawl)),
    )
    made.wall_clock = clock.seconds
    made.root.disk = disk or QuickDisk()
    return made


def drive(clock: Clock, work: Any, step: float = 0.01, steps: int = 200_000) -> Any:
    """Run a coroutine to its end, letting time pass; return its result or raise its failure."""
    running: Deferred[Any] = Deferred.fromCoroutine(work)
    outcome: list[Any] = []
    failures: list[Any] = []
    running.addCallbacks(outcome.append, failures.append)
    for _ in range(steps):
        if outcome or failures:
            break
        clock.advance(step)
    if failures:
        failures[0].raiseException()
    assert outcome, "did not end"
    return outcome[0]


def crawl_everything(server: FakeServer, made: GitLabCrawler, clock: Clock) -> list[JobResult]:
    """Discover, then do every job that is found on the way, one after the other."""
    results = [drive(clock, made.handle(server.job("discover_namespaces")))]
    done: set[tuple[str, str]] = set()
    while todo := [key for key in server.found if key not in done]:
        for key in todo:
            done.add(key)
            child = server.found[key]
            job = server.job(key[0], key[1], namespace_path=child.get("namespace_path"))
            results.append(drive(clock, made.handle(job)))
    return results
