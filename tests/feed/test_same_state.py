"""A late viewer and one that was always there end in the same state, whatever happens on the way."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.feed import Hub
from crawlsock.feed import channel as channel_module
from crawlsock.feed.filter import Filter
from crawlsock.store.values import (
    Completion,
    Demand,
    Failure,
    JobFilter,
    JobRef,
    NewJob,
    NewSession,
    Progress,
    Release,
    SealedCredential,
)
from crawlsock.testing import MemoryStore
from crawlsock.web import sse
from crawlsock.wire.errors import Refusal
from tests.feed import reducer
from tests.feed.viewers import Browser, last_progress

INTERLEAVINGS = int(os.environ.get("CRAWLSOCK_TEST_INTERLEAVINGS", "1500"))
ACCOUNTS = ("default", "team")
SERVER = "00000000-0000-4000-8000-00000000000a"


class LateStore(MemoryStore):
    """A store whose reads are answered when the dice say so, with what was true when they were asked."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(clock, **options)
        self.late: list[Callable[[], None]] = []
        self.is_late = False

    def _reads(self, answer: Deferred[Any]) -> Deferred[Any]:
        if not self.is_late:
            return answer
        later: Deferred[Any] = Deferred()

        def respond() -> None:
            answer.chainDeferred(later)

        self.late.append(respond)
        return later

    def events_after(self, position: str | None, limit: int) -> Deferred[Any]:
        return self._reads(super().events_after(position, limit))

    def event_head(self) -> Deferred[Any]:
        return self._reads(super().event_head())

    def jobs(self, filter: JobFilter) -> Deferred[Any]:
        return self._reads(super().jobs(filter))

    def job(self, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return self._reads(super().job(*args, **kwargs))


class Play:
    """One random history: crawlers work, people interfere, viewers come and go, servers die."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.store = LateStore(self.clock, random=dice.random)
        self.happened: list[Mapping[str, Any]] = []
        self.submitted: list[str] = []
        self.held: list[JobRef] = []
        self.seqs: dict[str, int] = {}
        self.refused: list[str] = []
        for account in ACCOUNTS:
            self.credential(account)
        self.sessions = [self.open_session() for _ in range(2)]
        self.submit()
        self.start_server()
        self.viewers: list[Browser] = []
        # The one that is always there is as any other; only, its link is never slow and never breaks.
        self.always = self.viewer(Filter(), most=10**9)
        self.come(self.always)

    # -- the store

    def open_session(self) -> str:
        number = str(self.dice.random())
        opened = self.ask("open_session", NewSession(f"c{number}", SERVER, number.encode(), 1e9, slots=100))
        return str(opened.session_id)

    def ask(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Have something done; what is refused is refused, as in life."""
        results: list[Any] = []
        answer: Deferred[Any] = getattr(self.store, verb)(*args, **kwargs)
        answer.addCallbacks(results.append, lambda failure: self.refused.append(failure.trap(Refusal).__name__))
        return results[0] if results else None

    def credential(self, account: str) -> None:
        sealed = SealedCredential(self.dice.randbytes(8))
        self.ask("put_credential", account, "gitlab.example", "personal", sealed, None, "test")

    def submit(self) -> None:
        jobs = [
            NewJob("crawl_user", account=self.dice.choice(ACCOUNTS), entity_id=str(self.dice.randrange(99)))
            for _ in range(self.dice.randrange(1, 4))
        ]
        self.submitted += [status.job_id for status in self.ask("submit", jobs, accounts=None)]

    def assign(self) -> None:
        demand = Demand(self.dice.choice(self.sessions), self.dice.randrange(1, 4))
        for job in self.ask("assign", [demand]):
            self.held.append(JobRef(job.job_id, job.lease, job.session_id))

    def with_job(self, act: Callable[[JobRef], None], *, ends: bool = False) -> None:
        if self.held:
            ref = self.dice.choice(self.held)
            if ends and self.dice.random() < 0.9:
                self.held.remove(ref)
            act(ref)

    def counts(self) -> dict[str, dict[str, int]]:
        kinds = self.dice.sample(["issue", "user", "commit"], self.dice.randrange(1, 3))
        return {kind: {"processed": self.dice.randrange(100), "total": 100} for kind in kinds}

    def report(self) -> None:
        def act(ref: JobRef) -> None:
            for _ in range(self.dice.choice((1, 1, 3))):
                self.seqs[ref.lease] = self.seqs.get(ref.lease, 0) + self.dice.choice((0, 1, 1, 1))
                message = self.dice.choice((None, "page"))
                stage = self.dice.choice(("discovering", "fetching"))
                self.ask("progress", ref, Progress(self.seqs[ref.lease], stage, self.counts(), message))
                self.clock.advance(self.dice.choice((0, 0.01, 0.3)))

        self.with_job(act)

    def start(self) -> None:
        self.with_job(lambda ref: self.ask("start", ref))

    def discover(self) -> None:
        def act(ref: JobRef) -> None:
            child = NewJob("crawl_project", entity_id=str(self.dice.randrange(1000)))
            for status in self.ask("discover", ref, [child]) or ():
                if status.status == "created":
                    self.submitted.append(status.job_id)

        self.with_job(act)

    def complete(self) -> None:
        counts = self.dice.choice((None, self.counts()))
        self.with_job(lambda ref: self.ask("complete", ref, Completion(entities=counts or {})), ends=True)

    def fail(self) -> None:
        again = self.dice.random() < 0.7
        failure = Failure("http_error", "it did not work", again, entities=self.dice.choice(({}, self.counts())))
        self.with_job(lambda ref: self.ask("fail", ref, failure), ends=True)

    def release(self) -> None:
        verb = self.dice.choice(("release", "cancelled"))
        self.with_job(lambda ref: self.ask(verb, ref, Release(entities=self.counts())), ends=True)

    def control(self) -> None:
        verb = self.dice.choice(("cancel", "pause", "pause", "resume", "resume", "retry", "retry"))
        tree = self.dice.random() < 0.3
        self.ask(verb, self.dice.choice(self.submitted), tree=tree, reason=None, actor="test")

    def queue(self) -> None:
        self.ask("pause_queue", "crawl_user", self.dice.random() < 0.5, None, "test")

    def refuse(self) -> None:
        account = self.dice.choice(ACCOUNTS)
        if self.dice.random() < 0.5:
            self.credential(account)
        else:
            generation = self.store._world.accounts[account].generation
            self.ask("refuse_credential", account, generation, "expired")

    def reap(self) -> None:
        session = self.sessions.pop(0)
        self.ask("reap", [session])
        self.sessions.append(self.open_session())

    def prune(self) -> None:
        now = datetime.fromtimestamp(self.clock.seconds(), timezone.utc)
        self.note()
        self.ask("prune", now - timedelta(seconds=self.dice.choice((-1, 0, 1, 5))), now - timedelta(days=1))

    def note(self) -> None:
        """Write down what the feed holds, before it is forgotten."""
        world = self.store._world
        known = len(self.happened) - world.forgotten
        self.happened += [dict(event) for event in world.events[known:]]

    # -- the server

    def start_server(self) -> None:
        self.hub = Hub(self.clock, self.store, pace=self.dice.choice((0.0, 0.02)))
        self.hub.start()
        self.channels = self.hub.channels(sse.delivery)

    def restart(self) -> None:
        """Kill the server: links break, what is under way is lost, and another one starts."""
        seated = [viewer for viewer in self.viewers if viewer.seat is not None]
        for viewer in seated:
            viewer.go()
        Deferred.fromCoroutine(self.hub.stop())
        self.store._event_observers.clear()
        self.start_server()
        for viewer in seated:
            self.come(viewer)

    # -- viewers

    def viewer(self, filter: Filter, most: int) -> Browser:
        viewer = Browser(filter, most_under_way=most)
        self.viewers.append(viewer)
        return viewer

    def newcomer(self) -> None:
        if len(self.viewers) < 8:
            job = self.dice.choice(self.submitted)
            filters = (
                Filter(),
                Filter(),
                Filter(account="team"),
                Filter(accounts=frozenset(ACCOUNTS)),
                Filter(job_id=job),
                Filter(root_id=job),
                Filter(kinds=frozenset({"job_progress", "job_completed"})),
            )
            self.come(self.viewer(self.dice.choice(filters), most=self.dice.choice((1, 2, 5, 1000))))

    def come(self, viewer: Browser) -> None:
        viewer.come(lambda: self.channels, self.state)

    def state(self) -> Deferred[list[Mapping[str, Any]]]:
        """Read all jobs, as a page does."""
        return self.store.jobs(JobFilter(limit=500)).addCallback(lambda page: [job.as_json() for job in page.jobs])

    def read_again(self) -> None:
        viewer = self.dice.choice(self.viewers)
        if viewer.position is not None:
            viewer.read(self.state)

    def come_or_go(self) -> None:
        viewer = self.dice.choice(self.viewers)
        if viewer is not self.always:
            if viewer.seat is None:
                self.come(viewer)
            else:
                viewer.go()

    def arrive(self) -> None:
        for _ in range(4):
            self.dice.choice(self.viewers).arrive()

    def ping(self) -> None:
        self.dice.choice(self.viewers).ping()

    def answer(self) -> None:
        # Connections of a pool answer in any order.
        if self.store.late:
            self.store.late.pop(self.dice.randrange(len(self.store.late)))()

    def wait(self) -> None:
        self.clock.advance(self.dice.choice((0.001, 0.05, 0.25, 1)))

    def run(self) -> None:
        """Let it all happen."""
        self.store.is_late = self.dice.random() < 0.8
        work = [self.submit, self.assign, self.assign, self.start, *[self.report] * 5, self.discover, self.complete]
        people = [self.fail, self.release, self.control, self.control, self.queue, self.refuse]
        looking = [self.newcomer, *[self.come_or_go] * 3, *[self.arrive] * 6, self.ping, self.read_again]
        world = [*[self.answer] * 8, *[self.wait] * 3]
        steps: list[Callable[[], None]] = [*work, *people, *looking, *world]
        rare = (self.prune, self.reap, self.restart)
        for _ in range(self.dice.randrange(20, 300)):
            self.dice.choice(rare if self.dice.random() < 0.02 else steps)()

    def end(self) -> None:
        """Let everybody come back, and everything arrive."""
        self.store.is_late = False
        for _ in range(40):
            while self.store.late:
                self.store.late.pop(0)()
            for viewer in self.viewers:
                if viewer.seat is None:
                    self.come(viewer)
                while viewer.under_way:
                    viewer.arrive()
            self.clock.advance(0.3)
        self.note()
        Deferred.fromCoroutine(self.hub.stop())
        self.store.stop()


class SameStateTests(unittest.TestCase):
    """Over thousands of random interleavings of commits, reconnects, gaps, slow links and restarts."""

    def play(self, seed: int) -> Play:
        """Play one history and hold its viewers to the promise."""
        play = Play(random.Random(seed))
        play.run()
        play.end()
        truth = {job_id: reducer.view(job.as_json()) for job_id, job in self.jobs(play).items()}
        for viewer in play.viewers:
            self.assertEqual(viewer.refusals, [], seed)
            if viewer.filter.kinds is None:
                self.check_state(play, viewer, truth, seed)
            self.check_order(play, viewer, seed)
        return play

    def jobs(self, play: Play) -> dict[str, Any]:
        found = self.successResultOf(play.store.jobs(JobFilter(limit=500))).jobs
        return {job.job_id: job for job in found}

    def check_state(self, play: Play, viewer: Browser, truth: reducer.Jobs, seed: int) -> None:
        about = [
            job_id for job_id, job in truth.items() if viewer.filter.matches({"kind": "", "job_id": job_id, **job})
        ]
        expected = reducer.shown(truth, about)
        self.assertEqual(reducer.shown(viewer.jobs, about), expected, f"seed {seed}, {viewer.filter}")

    def check_order(self, play: Play, viewer: Browser, seed: int) -> None:
        """Each delivery is what happened between two positions: in order, once, of each job the last progress."""
        for before, after, delivery in viewer.heard:
            if delivery is not None and delivery.get("snapshot"):
                continue
            between = play.happened[int(before) : int(after)]
            happened = last_progress([event for event in between if viewer.filter.matches(dict(event))])
            heard = [] if delivery is None else delivery["events"]
            self.assertEqual(heard, happened, f"seed {seed}, {viewer.filter}, {before} to {after}")

    def test_any_interleaving(self) -> None:
        """Whoever comes, whenever, knows in the end what the store knows, and heard it once and in order."""
        gaps = deliveries = 0
        for seed in range(INTERLEAVINGS):
            play = self.play(seed)
            heard = [delivery for viewer in play.viewers for _, _, delivery in viewer.heard if delivery is not None]
            gaps += sum(bool(delivery.get("gap")) for delivery in heard)
            deliveries += len(heard)
        self.assertGreater(gaps, INTERLEAVINGS // 20)
        self.assertGreater(deliveries, 8 * INTERLEAVINGS)

    def test_far_behind(self) -> None:
        """It holds, too, when those who are a little behind are given a snapshot instead of all that happened."""
        self.patch(channel_module, "REPLAY_PAGES", 1)
        for seed in range(INTERLEAVINGS // 5):
            self.play(seed)
