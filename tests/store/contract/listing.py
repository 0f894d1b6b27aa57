"""Claims about lists, counts, trees, charts, and verbs done to all that match."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import attrs

from crawlsock.jobs import State
from crawlsock.store.listing_values import Minute
from crawlsock.store.values import Completion, Failure, JobFilter, JobRef, NewJob, Progress
from tests.store.contract.base import OTHER_SERVER, SERVER, StoreContract, fresh_id

QUEUED_LAST = sorted(State, key=lambda state: state is State.QUEUED)
"""A job that waits would be given out when another is brought on its way."""
ISSUES = {"issue": {"processed": 5, "failed": 1, "total": 10}}


class Lists(StoreContract):
    """A list shows every job that matches, once, in order."""

    async def all_pages(self, wanted: JobFilter) -> list[str]:
        """Return the ids of all pages."""
        found: list[str] = []
        cursor = wanted.cursor
        while True:
            page = await self.store.jobs(attrs.evolve(wanted, cursor=cursor))
            found += [job.job_id for job in page.jobs]
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def assert_found(self, expected: list[str], **filter: Any) -> None:
        """Assert what a filter finds, on pages of any size and in both orders."""
        for limit in (1, 2, 50):
            newest = await self.all_pages(JobFilter(limit=limit, **filter))
            self.assertEqual(newest, expected, (limit, filter))
            oldest = await self.all_pages(JobFilter(limit=limit, sort="oldest", **filter))
            self.assertEqual(oldest, expected[::-1], (limit, filter))

    async def test_filters_find_what_they_say(self) -> None:
        """Each filter, and several at a time, find exactly the jobs that they describe."""
        await self.account("team")
        made = []
        for number, fields in enumerate(
            (
                {"type": "crawl_group", "host": "one.test", "name": "The Compiler", "account": "team"},
                {"type": "crawl_project", "host": "two.test", "namespace_path": "tools/compiler"},
                {"type": "crawl_project", "host": "one.test", "entity_id": "4711"},
                {"type": "crawl_user", "host": "two.test", "account": "team"},
                {"type": "crawl_project", "host": "one.test", "account": "team"},
            )
        ):
            made.append(await self.submit(**fields))
            if number == 2:
                await self.store.pause(made[2], tree=False, reason=None, actor="test")
            await self.advance(1)
        a, b, c, d, e = made
        every = [e, d, c, b, a]
        for expected, filter in (
            (every, {}),
            (every, {"states": frozenset(state.value for state in State)}),
            ([e, c, b], {"type": "crawl_project"}),
            ([e, d, a], {"account": "team"}),
            ([e], {"account": "team", "type": "crawl_project"}),
            ([e, c, a], {"host": "one.test"}),
            ([c], {"states": frozenset({"paused"})}),
            ([e, d, b, a], {"states": frozenset({"queued", "running"})}),
            ([], {"states": frozenset({"paused"}), "account": "team"}),
            ([c], {"states": frozenset({"paused"}), "host": "one.test", "type": "crawl_project"}),
            ([b, a], {"search": "COMPILER"}),
            ([a], {"search": "compiler", "account": "team"}),
            ([b], {"search": "compiler", "states": frozenset({"queued"}), "account": "default"}),
            ([d], {"search": d}),
            ([], {"search": d, "type": "crawl_group"}),
            ([c], {"root_id": c}),
            ([], {"root_id": c, "account": "team"}),
            ([], {"parent_id": c}),
            ([], {"root_id": fresh_id()}),
            ([], {"root_id": "no id"}),
            ([e, d, a], {"accounts": frozenset({"team"})}),
            (every, {"accounts": frozenset({"team", "default"})}),
            ([], {"accounts": frozenset({"team"}), "account": "default"}),
            ([], {"accounts": frozenset()}),
            ([], {"crawler_id": "nobody"}),
            ([], {"error": "nothing"}),
        ):
            await self.assert_found(expected, **filter)

    async def test_a_filter_by_time_takes_the_beginning_and_not_the_end(self) -> None:
        """Jobs created at or after one moment, and before another, are found."""
        made = []
        for _ in range(4):
            made.append(await self.submit())
            await self.advance(10)
        moments = [(await self.store.job(each)).created_at for each in made]
        await self.assert_found([made[2], made[1]], created_after=moments[1], created_before=moments[3])
        await self.assert_found(made[:1], created_before=moments[1], states=frozenset({"queued"}))
        await self.assert_found(made[3:], created_after=moments[2] + timedelta(seconds=1), type="crawl_project")

    async def test_a_crawler_is_found_with_its_jobs(self) -> None:
        """A filter by crawler finds what it has now, and not what it had."""
        session = await self.session("busy")
        done, has = await self.running(session), await self.running(session)
        await self.running(await self.session("other"))
        await self.store.complete(done, Completion())
        await self.assert_found([has.job_id], crawler_id="busy")
        await self.assert_found([has.job_id], crawler_id="busy", states=frozenset({"running"}))
        await self.assert_found([], crawler_id="busy", states=frozenset({"assigned"}))

    async def test_held_jobs_are_told_apart(self) -> None:
        """Jobs that were given out and jobs that have begun are two lists."""
        given, begun = await self.held(), await self.running()
        await self.assert_found([given.job_id], states=frozenset({"assigned"}))
        await self.assert_found([begun.job_id], states=frozenset({"running"}))
        await self.assert_found([begun.job_id, given.job_id], states=frozenset({"running", "assigned"}))

    async def test_children_and_trees(self) -> None:
        """A filter by parent finds the jobs right below; one by root finds the whole tree."""
        session = await self.session()
        root = await self.running(session, type="discover_namespaces")
        await self.store.discover(root, [NewJob("crawl_group", entity_id="1")])
        (group,) = await self.assign(session)
        ref = JobRef(group.job_id, group.lease, group.session_id)
        await self.store.discover(ref, [NewJob("crawl_project", entity_id="2")])
        (project,) = await self.assign(session)
        await self.submit()
        await self.assert_found([group.job_id], parent_id=root.job_id)
        found = await self.all_pages(JobFilter(root_id=root.job_id))
        self.assertEqual(set(found), {project.job_id, group.job_id, root.job_id})
        await self.assert_found([project.job_id], root_id=root.job_id, type="crawl_project")

    async def test_the_order_of_the_queue(self) -> None:
        """Sorted as the queue, queued jobs stand in the order in which they are assigned, and only they."""
        last = await self.submit(priority=-5)
        later = await self.submit(run_at=self.in_(100))
        second, third = await self.submit(priority=7, run_at=self.in_(-5)), await self.submit()
        first = await self.submit(priority=7, run_at=self.in_(-50))
        await self.bring(State.PAUSED)
        for limit in (1, 2, 50):
            found = await self.all_pages(JobFilter(sort="queue", limit=limit))
            self.assertEqual(found, [first, second, third, later, last])
        self.assertEqual(await self.all_pages(JobFilter(sort="queue", states=frozenset({"paused"}))), [])
        self.assertEqual(await self.all_pages(JobFilter(sort="queue", search=second)), [second])

    async def test_a_cursor_belongs_to_its_list(self) -> None:
        """A cursor of another sort, or of none, is refused."""
        for _ in range(3):
            await self.submit()
        cursors = {}
        for sort in ("newest", "oldest", "queue"):
            cursors[sort] = (await self.store.jobs(JobFilter(sort=sort, limit=1))).next_cursor
        for sort in cursors:
            for cursor in (*(cursors[other] for other in cursors if other != sort), "", "x", ":::", "newest:1:2:3"):
                await self.refused("invalid_message", self.store.jobs(JobFilter(sort=sort, cursor=cursor)))  # type: ignore[arg-type]

    async def test_pages_are_whole_while_jobs_come_and_go(self) -> None:
        """Jobs that are there all the time come once, whatever is made and ended between two pages."""
        made = [await self.submit() for _ in range(7)]
        page = await self.store.jobs(JobFilter(limit=3))
        self.assertEqual([job.job_id for job in page.jobs], made[:3:-1])
        await self.submit()
        await self.store.cancel(made[0], tree=False, reason=None, actor="test")
        found = await self.all_pages(JobFilter(limit=3, cursor=page.next_cursor))
        self.assertEqual(found, made[3::-1])


class Counts(StoreContract):
    """Counts and sums agree with the jobs that there are."""

    async def test_a_census_counts_every_job_once(self) -> None:
        """Counts by account, type and state are what a list of all jobs says."""
        for state in QUEUED_LAST:
            await self.bring(state, type="crawl_group")
        await self.submit(account="locked")
        jobs = (await self.store.jobs(JobFilter(limit=500))).jobs
        expected = Counter((job.account, job.type, job.state) for job in jobs)
        counted = {(row.account, row.type, row.state): row.jobs for row in await self.store.census()}
        self.assertEqual(counted, dict(expected))

    async def test_items_are_summed_by_account(self) -> None:
        """What jobs report is summed over all types of entities, also of jobs that ended."""
        first, second = await self.running(), await self.running()
        await self.store.progress(first, Progress(1, "fetching", ISSUES))
        await self.store.complete(
            second, Completion({"issue": {"processed": 3}, "note": {"processed": 4, "failed": 2}})
        )
        await self.account("team")
        await self.submit(account="team")
        sums = {row.account: (row.processed, row.failed) for row in await self.store.item_sums()}
        self.assertEqual(sums["default"], (12, 3))
        self.assertEqual(sums.get("team", (0, 0)), (0, 0))

    async def test_only_jobs_with_a_crawler_have_a_pace(self) -> None:
        """The pace of a crawler is that of the jobs it has now."""
        self.assertEqual(await self.store.rates(), [])
        session = await self.session()
        ref = await self.running(session)
        await self.store.progress(ref, Progress(1, "fetching", ISSUES))
        for row in await self.store.rates():
            self.assertEqual((row.session_id, row.account), (session.session_id, "default"))
        await self.store.complete(ref, Completion())
        self.assertEqual(await self.store.rates(), [])

    async def test_the_oldest_queued_job(self) -> None:
        """The job that has been due for longest is found, whatever its priority; what is not due does not count."""
        self.assertIsNone(await self.store.oldest_queued(None))
        await self.account("team")
        await self.submit(run_at=self.in_(100))
        self.assertIsNone(await self.store.oldest_queued(None))
        await self.submit(priority=9)
        oldest = await self.submit(priority=-9, run_at=self.in_(-60))
        other = await self.submit(account="team", priority=3, run_at=self.in_(-30))
        await self.submit(account="team", run_at=self.in_(-10))
        for accounts, expected in ((None, oldest), (frozenset({"team"}), other)):
            found = await self.store.oldest_queued(accounts)
            assert found is not None
            self.assertEqual(found.job_id, expected)
        self.assertIsNone(await self.store.oldest_queued(frozenset({"nobody"})))

    async def test_activity_adds_up(self) -> None:
        """Minutes that servers have seen are summed, by account where asked, and forgotten when they are old."""
        now = self.now().replace(second=0, microsecond=0)
        minutes = [now - timedelta(minutes=number) for number in (3, 2, 1)]
        old = minutes[0]
        await self.store.add_activity(
            [Minute(minutes[0], "a", 1, 2, 30), Minute(minutes[1], "a", 1, 0, 5), Minute(minutes[1], "b", 2, 1, 7)],
            SERVER,
            old,
        )
        await self.store.add_activity([Minute(minutes[1], "a", 10, 0, 100)], SERVER, old)
        await self.store.add_activity([Minute(minutes[1], "a", 100, 0, 1000)], OTHER_SERVER, old)
        self.assertEqual(
            await self.store.activity(old, None),
            [Minute(minutes[0], "", 1, 2, 30), Minute(minutes[1], "", 113, 1, 1112)],
        )
        self.assertEqual(await self.store.activity(minutes[1], frozenset({"b"})), [Minute(minutes[1], "", 2, 1, 7)])
        self.assertEqual(await self.store.activity(minutes[2], None), [])
        await self.store.add_activity([], SERVER, minutes[1])
        self.assertEqual([each.minute for each in await self.store.activity(old, None)], minutes[1:2])


class Seeing(StoreContract):
    """What happens is counted where it passes through the store."""

    async def test_ends_and_items_are_counted_for_their_account(self) -> None:
        """Jobs that completed or failed for good, and the items of all reports, are there once, whoever sends twice."""
        await self.account("team")
        session = await self.session()
        first = await self.running(session, account="team")
        for done, seq in ((2, 1), (5, 2), (4, 3)):
            await self.store.progress(first, Progress(seq, "fetching", {"issue": {"processed": done, "failed": 1}}))
        for _ in range(2):
            await self.store.complete(first, Completion({"issue": {"processed": 9}}))
        second = await self.running(session)
        await self.store.fail(second, Failure("x", "y", False, entities={"note": {"failed": 3}}))
        third = await self.running(session)
        await self.store.fail(third, Failure("x", "y", True, retry_after=0.0))
        sums: dict[str, list[int]] = {}
        for _, account, *counts in self.store.seen.take():
            sums[account] = [a + b for a, b in zip(sums.get(account, [0, 0, 0]), counts, strict=True)]
        self.assertEqual(sums, {"team": [1, 0, 10], "default": [0, 1, 3]})
        self.assertEqual(self.store.seen.take(), [])

    async def test_what_an_earlier_attempt_counted_is_not_counted_again(self) -> None:
        """A second attempt counts from its first report on: where it began, nobody knows."""
        session = await self.session()
        ref = await self.running(session)
        await self.store.progress(ref, Progress(1, "fetching", {"issue": {"processed": 5}}))
        await self.store.fail(ref, Failure("x", "y", True, retry_after=0.0))
        again = await self.take(session, ref.job_id)
        for done in (5, 7):
            await self.store.progress(again, Progress(done, "fetching", {"issue": {"processed": done}}))
        self.assertEqual(sum(each.items for each in self.store.seen.take()), 7)
