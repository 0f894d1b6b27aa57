"""Claims about cancel, pause, resume and retry: of a job and of a tree, in every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.jobs import HELD, Action, JobFacts, State, WrongState, apply
from crawlsock.store.values import Backoff, Completion, Control, Failure, JobRef, NewJob, Progress
from tests.store.contract.base import SERVER, StoreContract, Subject

CONTROLS = (Action.CANCEL, Action.PAUSE, Action.RESUME, Action.RETRY)


class Controlling(StoreContract):
    """People steer jobs; what that does depends on the state alone."""

    def control(self, action: Action, job_id: str, *, tree: bool = False) -> Deferred[Control]:
        """Steer a job."""
        verbs: dict[Action, Callable[..., Deferred[Control]]] = {
            Action.CANCEL: self.store.cancel,
            Action.PAUSE: self.store.pause,
            Action.RESUME: self.store.resume,
            Action.RETRY: self.store.retry,
        }
        return verbs[action](job_id, tree=tree, reason="because", actor="webapp")

    async def wish(self, subject: Subject, *, cancel: bool, pause: bool) -> None:
        """Ask for a pause, then a cancel, of a job that is with a crawler."""
        if pause:
            await self.control(Action.PAUSE, subject.job_id)
        if cancel:
            await self.control(Action.CANCEL, subject.job_id)

    async def test_every_action_in_every_state(self) -> None:
        """Each of the four does to a job in each state what the rules say, tells its crawler, or is
        refused."""
        for action in CONTROLS:
            for state in State:
                wishes = [(c, p) for c in (False, True) for p in (False, True)] if state in HELD else [(False, False)]
                for cancel, pause in wishes:
                    await self._check(action, state, cancel, pause)

    async def _check(self, action: Action, state: State, cancel: bool, pause: bool) -> None:
        case = f"{action.value} when {state.value}, cancel {cancel}, pause {pause}"
        subject = await self.bring(state)
        await self.wish(subject, cancel=cancel, pause=pause)
        before = await self.view(subject.job_id)
        facts = JobFacts(
            state,
            cancel_requested=cancel,
            pause_requested=pause,
            credential_refused=state is State.WAITING_CREDENTIAL,
        )
        try:
            expected = apply(action, facts)
        except WrongState:
            await self.refused("invalid_state", self.control(action, subject.job_id))
            self.assertEqual(await self.view(subject.job_id), before, case)
        else:
            answer = await self.control(action, subject.job_id)
            after = await self.view(subject.job_id)
            self.assertEqual(after.state, expected.state.value, case)
            self.assertEqual(answer.affected, int(expected.changed), case)
            if expected.state in HELD:
                flags = (expected.cancel_requested, expected.pause_requested)
                self.assertEqual((after.cancel_requested, after.pause_requested), flags, case)
            orders = [(order.kind, order.job_id) for order in answer.orders]
            self.assertEqual(orders, [(expected.order, subject.job_id)] if expected.order else [], case)
            if not expected.changed:
                self.assertEqual(after, before, case)
        await self._clear(subject)

    async def _clear(self, subject: Subject) -> None:
        """Leave an empty queue for the next case."""
        if subject.ref is not None:
            await self.store.reap([subject.ref.session_id])
        if await self.state(subject.job_id) not in ("completed", "failed"):
            await self.control(Action.CANCEL, subject.job_id)

    async def test_said_twice_it_acts_once(self) -> None:
        """The same wish again changes nothing, and is accepted as long as it makes sense."""
        cases = (
            (Action.CANCEL, State.RUNNING),
            (Action.CANCEL, State.QUEUED),
            (Action.PAUSE, State.RUNNING),
            (Action.PAUSE, State.QUEUED),
            (Action.RESUME, State.PAUSED),
            (Action.RETRY, State.FAILED),
        )
        for action, state in cases:
            subject = await self.bring(state)
            self.assertEqual((await self.control(action, subject.job_id)).affected, 1)
            before = await self.view(subject.job_id)
            again = await self.control(action, subject.job_id)
            self.assertEqual((again.affected, again.orders), (0, []), (action, state))
            self.assertEqual(await self.view(subject.job_id), before, (action, state))
            await self._clear(subject)

    async def test_an_order_names_the_lease(self) -> None:
        """The order for a crawler says which session and lease it is for, and why."""
        ref = await self.running()
        (order,) = (await self.control(Action.CANCEL, ref.job_id)).orders
        self.assertEqual((order.kind, order.reason), ("cancel", "because"))
        self.assertEqual((order.job_id, order.lease, order.session_id), tuple(ref))

    async def test_orders_are_listed_for_the_server_of_the_session(self) -> None:
        """Whoever gave the order, the server that holds the crawler finds it, and no other."""
        called: list[int] = []
        self.store.on_orders(lambda: called.append(1))
        here = await self.running()
        there = await self.running(await self.session(server_id="00000000-0000-4000-8000-00000000000b"))
        await self.control(Action.CANCEL, here.job_id)
        await self.control(Action.PAUSE, there.job_id)
        self.assertTrue(called)
        orders = await self.store.pending_orders(SERVER)
        self.assertEqual([(order.kind, order.job_id, order.lease) for order in orders], [("cancel", *here[:2])])

    async def test_wishes_are_listed_while_they_hold(self) -> None:
        """A wish is listed again and again until it is taken back or a stronger one replaces it."""
        ref = await self.running()
        await self.control(Action.PAUSE, ref.job_id)
        for _ in range(2):
            orders = await self.store.pending_orders(SERVER)
            self.assertEqual([(order.kind, order.lease) for order in orders], [("pause", ref.lease)])
        await self.control(Action.RESUME, ref.job_id)
        self.assertEqual(await self.store.pending_orders(SERVER), [])
        await self.control(Action.PAUSE, ref.job_id)
        await self.control(Action.CANCEL, ref.job_id)
        orders = await self.store.pending_orders(SERVER)
        self.assertEqual([order.kind for order in orders], ["cancel"])

    async def test_orders_end_with_the_lease(self) -> None:
        """When the lease has ended there is nothing left to tell its crawler."""
        ref = await self.running()
        await self.control(Action.PAUSE, ref.job_id)
        await self.store.complete(ref, Completion())
        self.assertEqual(await self.store.pending_orders(SERVER), [])

    async def test_a_paused_crawler_keeps_its_lease(self) -> None:
        """While a running job is held its crawler may still save, and end it."""
        ref = await self.running()
        await self.control(Action.PAUSE, ref.job_id)
        await self.store.progress(ref, Progress(1, "fetching", resume_state={"page": 3}))
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.pause_requested), ("running", True))
        await self.store.complete(ref, Completion())
        self.assertEqual(await self.state(ref.job_id), "completed")

    async def test_retry_starts_afresh_from_where_it_stopped(self) -> None:
        """A retried job has all its attempts again, is due now, and keeps its resume state."""
        session = await self.session()
        ref = await self.running(session, max_attempts=1)
        await self.store.fail(ref, Failure("x", "y", True, resume_state={"page": 9}))
        self.assertEqual(await self.state(ref.job_id), "failed")
        await self.control(Action.RETRY, ref.job_id)
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.failures, job.losses, job.finished_at), ("queued", 0, 0, None))
        (given,) = await self.assign(session)
        self.assertEqual((given.attempt, given.resume_state), (2, {"page": 9}))

    async def test_retry_needs_the_key(self) -> None:
        """A job whose key a live job has taken cannot be retried; in a tree it is passed over."""
        failed = await self.bring(State.FAILED, job_key="k")
        taken = await self.submit(job_key="k")
        refusal = await self.refused("duplicate", self.control(Action.RETRY, failed.job_id))
        self.assertEqual((refusal.details or {}).get("job_id"), taken)
        self.assertEqual((await self.control(Action.RETRY, failed.job_id, tree=True)).affected, 0)
        await self.control(Action.CANCEL, taken)
        self.assertEqual((await self.control(Action.RETRY, failed.job_id)).affected, 1)
        (status,) = await self.store.submit([NewJob("crawl_user", job_key="k")], accounts=None)
        self.assertEqual((status.status, status.job_id), ("duplicate", failed.job_id))

    async def test_retry_of_a_poisoned_job_forgets_its_losses(self) -> None:
        """A job parked as poison gets three lives again."""
        job_id = await self.submit()
        for _ in range(3):
            ref = await self.take(await self.session(), job_id)
            await self.store.reap([ref.session_id])
        self.assertEqual(await self.state(job_id), "failed")
        await self.control(Action.RETRY, job_id)
        ref = await self.take(await self.session(), job_id)
        await self.store.reap([ref.session_id])
        self.assertEqual(await self.state(job_id), "queued")

    async def family(self) -> dict[str, Subject]:
        """Make a tree: a running root; queued, paused, running, completed and failed children; a
        grandchild; a stranger."""
        session = await self.session()
        root = await self.running(session, type="crawl_group", backoff=Backoff(0.0, 0.0))
        tree: dict[str, Subject] = {"root": Subject(root.job_id, root)}
        for name in ("completed", "failed", "running", "paused", "queued"):
            tree[name] = await self._child(session, root, name)
        running = tree["running"].ref
        assert running is not None
        (status,) = await self.store.discover(running, [NewJob("crawl_user", entity_id="grandchild")])
        tree["grandchild"] = Subject(status.job_id or "")
        tree["stranger"] = Subject(await self.submit())
        return tree

    async def _child(self, session: Any, root: JobRef, name: str) -> Subject:
        (status,) = await self.store.discover(root, [NewJob("crawl_project", entity_id=name)])
        job_id = status.job_id or ""
        if name == "paused":
            await self.control(Action.PAUSE, job_id)
        if name in ("paused", "queued"):
            return Subject(job_id)
        ref = await self.take(session, job_id)
        await self.store.start(ref)
        if name == "completed":
            await self.store.complete(ref, Completion())
        elif name == "failed":
            await self.store.fail(ref, Failure("x", "y", False))
        return Subject(job_id, ref)

    async def shown(self, tree: dict[str, Subject]) -> dict[str, str]:
        """Return the states of a family by name."""
        return {name: await self.state(subject.job_id) for name, subject in tree.items()}

    async def test_cancelling_a_tree(self) -> None:
        """All that has not ended is cancelled or told to stop; what has ended, and strangers, stay."""
        tree = await self.family()
        answer = await self.control(Action.CANCEL, tree["root"].job_id, tree=True)
        self.assertEqual(answer.affected, 5)
        told = {order.job_id for order in answer.orders if order.kind == "cancel"}
        self.assertEqual(told, {tree["root"].job_id, tree["running"].job_id})
        states = await self.shown(tree)
        self.assertEqual((states["queued"], states["paused"], states["grandchild"]), ("cancelled",) * 3)
        self.assertEqual((states["root"], states["running"]), ("running", "running"))
        self.assertEqual((states["completed"], states["failed"]), ("completed", "failed"))
        self.assertEqual(states["stranger"], "queued")

    async def test_cancelling_a_branch_leaves_the_rest(self) -> None:
        """A tree control acts below the job that it names, not above or beside it."""
        tree = await self.family()
        answer = await self.control(Action.CANCEL, tree["running"].job_id, tree=True)
        self.assertEqual(answer.affected, 2)
        self.assertEqual((await self.view(tree["root"].job_id)).cancel_requested, False)
        self.assertEqual((await self.shown(tree))["queued"], "queued")

    async def test_pausing_and_resuming_a_tree(self) -> None:
        """A tree that is paused gives out nothing, and goes on when it is resumed."""
        tree = await self.family()
        await self.control(Action.CANCEL, tree["stranger"].job_id)
        answer = await self.control(Action.PAUSE, tree["root"].job_id, tree=True)
        self.assertEqual((answer.affected, len(answer.orders)), (4, 2))
        self.assertEqual(await self.assign(await self.session(), 9), [])
        answer = await self.control(Action.RESUME, tree["root"].job_id, tree=True)
        self.assertEqual([order.kind for order in answer.orders], ["resume", "resume"])
        self.assertEqual(answer.affected, 5)
        given = await self.assign(await self.session(), 9)
        expected = {tree[name].job_id for name in ("paused", "queued", "grandchild")}
        self.assertEqual({assignment.job_id for assignment in given}, expected)

    async def test_retrying_a_tree(self) -> None:
        """Retrying a tree brings back what failed or was cancelled in it, and nothing else."""
        tree = await self.family()
        await self.control(Action.CANCEL, tree["queued"].job_id)
        answer = await self.control(Action.RETRY, tree["root"].job_id, tree=True)
        self.assertEqual((answer.affected, answer.orders), (2, []))
        states = await self.shown(tree)
        self.assertEqual((states["failed"], states["queued"]), ("queued", "queued"))
        self.assertEqual((states["completed"], states["paused"]), ("completed", "paused"))

    async def test_steering_a_finished_tree_is_no_error(self) -> None:
        """A tree in which there is nothing to do is no error: nothing is affected."""
        subject = await self.bring(State.COMPLETED)
        for action in CONTROLS:
            self.assertEqual((await self.control(action, subject.job_id, tree=True)).affected, 0, action)

    async def test_who_steered_is_written_down(self) -> None:
        """The audit names who cancelled, paused, resumed and retried which job."""
        subject = await self.bring(State.QUEUED)
        for action in (Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY):
            await self.control(action, subject.job_id)
        entries = [entry for entry in await self.audited() if entry[0] == "webapp"]
        self.assertEqual(
            entries,
            [("webapp", f"job_{name}", subject.job_id) for name in ("pause", "resume", "cancel", "retry")],
        )
