"""A claim about everything at once: whatever is done in whatever order, jobs go where the rules say."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.jobs import HELD, LIVE, Action, JobFacts, State, WrongState, apply
from crawlsock.store.values import Backoff, Completion, Failure, JobRef, JobView, Release, SessionView
from crawlsock.wire.errors import Refusal
from tests.store.contract.base import StoreContract

STEPS = 120


class Wandering(StoreContract):
    """Random lives of a few jobs and crawlers, held to the rules step by step."""

    async def test_random_lives_follow_the_rules(self) -> None:
        """Every step of a random life leads to the state that the rules give, and old leases change nothing."""
        for seed in (1, 2, 3):
            await self._wander(Random(seed))
            self.store = await self.make_store()

    async def _wander(self, random: Random) -> None:
        self.leases: dict[str, JobRef] = {}
        self.lost: list[JobRef] = []
        self.crawlers = [await self.session() for _ in range(3)]
        jobs = [await self.submit(max_attempts=2, backoff=Backoff(0.0, 0.0), job_key=f"k{n}") for n in range(4)]
        acts = [self._give, self._speak, self._steer, self._stale, self._reap]
        for _ in range(STEPS):
            act = random.choices(acts, (4, 6, 4, 2, 1))[0]
            await act(random, jobs)
        await self._consistent(jobs)

    async def _give(self, random: Random, jobs: list[str]) -> None:
        await self.advance(1)
        waiting = [job_id for job_id in jobs if await self.state(job_id) == "queued"]
        given = await self.assign(random.choice(self.crawlers), random.randint(1, 2))
        self.assertLessEqual({assignment.job_id for assignment in given}, set(waiting))
        self.assertEqual(bool(given), bool(waiting))
        for assignment in given:
            self.leases[assignment.job_id] = JobRef(assignment.job_id, assignment.lease, assignment.session_id)

    def _words(self, ref: JobRef) -> dict[Action, Callable[[], Deferred[Any]]]:
        return {
            Action.START: lambda: self.store.start(ref),
            Action.COMPLETE: lambda: self.store.complete(ref, Completion()),
            Action.FAIL: lambda: self.store.fail(ref, Failure("x", "y", True)),
            Action.RELEASE: lambda: self.store.release(ref, Release("drain")),
            Action.CANCELLED: lambda: self.store.cancelled(ref, Release("asked")),
        }

    def _facts(self, job: JobView) -> JobFacts:
        return JobFacts(
            State(job.state),
            failures=job.failures,
            max_attempts=job.max_attempts,
            releases=job.releases,
            losses=job.losses,
            # What is left of a wish after the end is a memory, not a wish.
            cancel_requested=job.cancel_requested and State(job.state) in HELD,
            pause_requested=job.pause_requested,
        )

    async def _check(self, action: Action, before: JobView, word: Callable[[], Deferred[Any]]) -> None:
        """Do something to a job and compare with the rules; forget its lease when it has ended."""
        case = f"{action.value} when {before.state}"
        try:
            expected = apply(action, self._facts(before))
        except WrongState:
            await self.refused("invalid_state", word())
            self.assertEqual(await self.view(before.job_id), before, case)
            return
        await word()
        after = await self.view(before.job_id)
        counters = (after.state, after.failures, after.releases, after.losses)
        wanted = (expected.state.value, expected.failures, expected.releases, expected.losses)
        self.assertEqual(counters, wanted, case)
        if before.job_id in self.leases and not expected.holds_lease:
            self.lost.append(self.leases.pop(before.job_id))

    async def _speak(self, random: Random, jobs: list[str]) -> None:
        if self.leases:
            ref = self.leases[random.choice(sorted(self.leases))]
            words = self._words(ref)
            action = random.choice(list(words))
            await self._check(action, await self.view(ref.job_id), words[action])

    async def _steer(self, random: Random, jobs: list[str]) -> None:
        job_id = random.choice(jobs)
        verbs = {
            Action.CANCEL: self.store.cancel,
            Action.PAUSE: self.store.pause,
            Action.RESUME: self.store.resume,
            Action.RETRY: self.store.retry,
        }
        action = random.choice(list(verbs))
        await self._check(
            action,
            await self.view(job_id),
            lambda: verbs[action](job_id, tree=False, reason=None, actor="test"),
        )

    async def _stale(self, random: Random, jobs: list[str]) -> None:
        """Say anything under a lease that has ended: refused or accepted, it changes nothing."""
        if self.lost:
            ref = random.choice(self.lost)
            before = await self.view(ref.job_id)
            try:
                await random.choice(list(self._words(ref).values()))()
            except Refusal as refusal:
                self.assertEqual(refusal.code.value, "lease_lost")
            self.assertEqual(await self.view(ref.job_id), before)

    async def _reap(self, random: Random, jobs: list[str]) -> None:
        number = random.randrange(len(self.crawlers))
        session: SessionView = self.crawlers[number]
        held = [ref for ref in self.leases.values() if ref.session_id == session.session_id]
        before = {ref.job_id: await self.view(ref.job_id) for ref in held}
        (reaped,) = await self.store.reap([session.session_id])
        self.assertEqual(reaped.jobs, len(held))
        for ref in held:
            expected = apply(Action.LOSE, self._facts(before[ref.job_id]))
            after = await self.view(ref.job_id)
            self.assertEqual((after.state, after.losses), (expected.state.value, expected.losses))
            self.lost.append(self.leases.pop(ref.job_id))
        self.crawlers[number] = await self.session()

    async def _consistent(self, jobs: list[str]) -> None:
        """Compare what is shown in different places."""
        told: dict[str, str] = {}
        for event in await self.events():
            if "job_id" in event and "state" in event:
                told[event["job_id"]] = event["state"]
        for number, job_id in enumerate(jobs):
            job = await self.view(job_id)
            rows = job.assignments or []
            self.assertEqual(told[job_id], job.state)
            self.assertEqual([row["attempt"] for row in rows], list(range(1, job.attempt + 1)))
            unended = [row for row in rows if "outcome" not in row]
            self.assertEqual(len(unended), int(State(job.state) in HELD))
            self.assertEqual(job_id in self.leases, State(job.state) in HELD)
            errors = [row for row in rows if row.get("outcome") == "failed"]
            self.assertEqual(len(job.errors or []), len(errors))
            if State(job.state) in LIVE:
                self.assertEqual(job.job_key, f"k{number}")
        counts = await self.store.job_counts()
        self.assertEqual(sum(counts.values()), len(jobs))
        held = sum(counts[state.value] for state in HELD)
        self.assertEqual(sum(session.jobs for session in await self.store.sessions()), held)
