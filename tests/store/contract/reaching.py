"""Claims about trees, about verbs done to all that match, and about what keeps a job from running."""

from __future__ import annotations

from typing import Any

from crawlsock.jobs import State
from crawlsock.store.values import Completion, Failure, JobFilter, JobRef, NewJob, Order
from tests.store.contract.base import StoreContract, fresh_id
from tests.store.contract.listing import ISSUES, QUEUED_LAST


class Trees(StoreContract):
    """A tree is shown level by level, with the sums of what is below."""

    async def test_children_come_oldest_first_with_their_sums(self) -> None:
        """Each child carries the counts of itself and all below it, on whatever page it stands."""
        session = await self.session()
        root = await self.running(session)
        await self.store.discover(root, [NewJob("crawl_group", entity_id=str(n)) for n in range(3)])
        groups = await self.assign(session, 3)
        refs = {each.job_id: JobRef(each.job_id, each.lease, each.session_id) for each in groups}
        order = [job.job_id for job in (await self.store.jobs(JobFilter(parent_id=root.job_id, sort="oldest"))).jobs]
        first = refs[order[0]]
        await self.store.discover(
            first, [NewJob("crawl_project", entity_id="p"), NewJob("crawl_project", entity_id="q")]
        )
        (project, _) = await self.assign(session, 2)
        await self.store.complete(JobRef(project.job_id, project.lease, project.session_id), Completion(ISSUES))
        await self.store.complete(first, Completion({"issue": {"processed": 1}}))
        seen, cursor = [], None
        while True:
            page = await self.store.job_tree(root.job_id, 2, cursor)
            seen += page.children
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assertEqual([branch.job.job_id for branch in seen], order)
        below = seen[0].as_json()["below"]
        self.assertEqual(below["jobs"], {"completed": 2, "assigned": 1})
        self.assertEqual((below["descendants"], below["processed"], below["failed"]), (2, 6, 1))
        self.assertLess(below["percent"], 100)
        self.assertEqual(seen[1].as_json()["below"]["descendants"], 0)
        self.assertTrue(all(branch.whole for branch in seen))

    async def test_a_job_without_children_has_an_empty_tree(self) -> None:
        """A leaf has no page to show, and a job that is not there is refused."""
        page = await self.store.job_tree(await self.submit(), 10)
        self.assertEqual((page.children, page.next_cursor), ([], None))
        for unknown in (fresh_id(), "no id"):
            await self.refused("unknown_job", self.store.job_tree(unknown, 10))


class Matching(StoreContract):
    """A verb done to all that match does to each what it does inside a tree."""

    async def every(self, verb: Any, **filter: Any) -> tuple[int, list[Order]]:
        """Do a verb to all, some at a time; return how many it changed, and the orders."""
        affected, cursor = 0, None
        orders: list[Order] = []
        while True:
            done = await self.store.control_jobs(
                verb, JobFilter(limit=2, cursor=cursor, **filter), reason="why", actor="carol"
            )
            affected += done.affected
            orders += done.orders
            cursor = done.next_cursor
            if cursor is None:
                return affected, orders

    async def test_each_verb_changes_what_it_can(self) -> None:
        """Of jobs in all states, each verb changes those that it may, and passes over the others."""
        expected = {
            "cancel": {"queued": "cancelled", "paused": "cancelled", "waiting_credential": "cancelled"},
            "pause": {"queued": "paused", "waiting_credential": "paused"},
            "resume": {"paused": "queued"},
            "retry": {"failed": "queued", "cancelled": "queued"},
        }
        for verb, changes in expected.items():
            kind = f"crawl_{verb}"
            subjects = {state.value: await self.bring(state, type=kind) for state in QUEUED_LAST}
            affected, orders = await self.every(verb, type=kind)
            held = 2 if verb in ("cancel", "pause") else 0
            self.assertEqual((affected, len(orders)), (len(changes) + held, held), verb)
            for state, subject in subjects.items():
                self.assertEqual(await self.state(subject.job_id), changes.get(state, state), (verb, state))
            self.assertEqual((await self.every(verb, type=kind))[0], 0, verb)
            await self.every("cancel", states=frozenset({"queued"}))

    async def test_only_what_matches_is_touched(self) -> None:
        """Jobs that a filter does not find, or that the actor may not see, stay as they are."""
        await self.account("team")
        mine, other = await self.submit(account="team"), await self.submit()
        found = await self.every("cancel", accounts=frozenset({"team"}))
        self.assertEqual(found[0], 1)
        self.assertEqual(await self.states([mine, other]), ["cancelled", "queued"])
        self.assertEqual((await self.every("retry", states=frozenset({"failed"})))[0], 0)
        self.assertEqual(await self.state(mine), "cancelled")

    async def test_orders_reach_those_who_hold_the_jobs(self) -> None:
        """Jobs with a lease keep it, are asked for, and have their order."""
        ref = await self.running()
        done = await self.store.control_jobs("pause", JobFilter(), reason="why", actor="carol")
        (order,) = done.orders
        self.assertEqual((order.kind, order.job_id, order.lease, order.reason), ("pause", ref.job_id, ref.lease, "why"))
        self.assertTrue((await self.view(ref.job_id)).pause_requested)

    async def test_it_is_in_the_audit_and_in_the_feed(self) -> None:
        """What changed is told to everybody, and who did it is written down."""
        job_id = await self.submit()
        await self.every("cancel")
        self.assertIn(("carol", "job_cancel", None), await self.audited())
        self.assertEqual((await self.kinds(job_id))[-1], "job_cancelled")

    async def test_a_taken_key_is_passed_over(self) -> None:
        """A retry leaves a job alone whose key a live job has taken."""
        first = await self.submit(job_key="nightly")
        await self.store.cancel(first, tree=False, reason=None, actor="test")
        second = await self.submit(job_key="nightly")
        self.assertEqual((await self.every("retry"))[0], 0)
        await self.store.cancel(second, tree=False, reason=None, actor="test")
        self.assertEqual((await self.every("retry"))[0], 1)

    async def test_retried_jobs_are_given_out(self) -> None:
        """What a retry queued is assigned like any other job."""
        subject = await self.bring(State.FAILED)
        await self.every("retry")
        await self.take(await self.session(), subject.job_id)


class Standings(StoreContract):
    """What keeps a job from running is known."""

    async def test_how_many_go_first(self) -> None:
        """Due jobs of a higher priority, or due for longer, count; those that cannot run now do not."""
        await self.submit(priority=5)
        await self.submit(run_at=self.in_(-10))
        await self.submit(priority=9, run_at=self.in_(100))
        await self.submit("crawl_user", priority=9)
        await self.bring(State.PAUSED)
        await self.store.pause_queue("crawl_user", True, "full", "carol")
        job_id = await self.submit()
        standing = await self.store.standing(job_id)
        self.assertEqual((standing.ahead, standing.job.job_id), (2, job_id))
        self.assertEqual([(each.job_type, each.actor) for each in standing.queues], [("crawl_user", "carol")])
        self.assertLess(abs((standing.at - self.now()).total_seconds()), 60)

    async def test_who_paused_it(self) -> None:
        """A paused job says who paused it, or a tree above it, last."""
        session = await self.session()
        root = await self.running(session)
        await self.store.discover(root, [NewJob("crawl_group", entity_id="1")])
        ((child,)) = (await self.store.jobs(JobFilter(parent_id=root.job_id))).jobs
        await self.store.pause(root.job_id, tree=True, reason=None, actor="alice")
        self.assertEqual((await self.store.standing(child.job_id)).held_by, "alice")
        await self.store.resume(child.job_id, tree=False, reason=None, actor="alice")
        self.assertIsNone((await self.store.standing(child.job_id)).held_by)
        await self.store.pause(child.job_id, tree=False, reason=None, actor="bob")
        standing = await self.store.standing(child.job_id)
        self.assertEqual(standing.held_by, "bob")
        self.assertIsNotNone(standing.held_at)

    async def test_the_last_error_and_the_account(self) -> None:
        """A job that failed says with what; one that waits for a credential says why."""
        ref = await self.running()
        await self.store.fail(ref, Failure("HTTPError", "500", recoverable=False))
        error = (await self.store.standing(ref.job_id)).error
        assert error is not None
        self.assertEqual((error["error_type"], error["message"]), ("HTTPError", "500"))
        waiting = await self.bring(State.WAITING_CREDENTIAL)
        account = (await self.store.standing(waiting.job_id)).account
        self.assertEqual((account.account, account.state, account.reason), ("locked", "refused", "revoked"))
        await self.refused("unknown_job", self.store.standing(fresh_id()))
