"""Claims about submitting jobs and reading them."""

from __future__ import annotations

from crawlsock.jobs import LIVE, State
from crawlsock.store.values import Backoff, Completion, JobFilter, NewJob
from tests.store.contract.base import StoreContract, fresh_id


class Submitting(StoreContract):
    """A submitted job exists once, exactly as it was asked for."""

    async def test_a_submitted_job_is_queued_and_is_its_own_root(self) -> None:
        """A job that was submitted waits in the queue, without a parent, as its own root."""
        job_id = await self.submit()
        job = await self.store.job(job_id, frozenset())
        self.assertEqual((job.state, job.root_id, job.parent_id), ("queued", job_id, None))
        self.assertEqual((job.attempt, job.failures, job.releases, job.losses), (0, 0, 0, 0))
        self.assertEqual((job.account, job.priority, job.max_attempts), ("default", 0, 5))

    async def test_every_field_comes_back(self) -> None:
        """What a job was asked to be is what is read."""
        job_id = await self.submit(
            type="crawl_group",
            host="gitlab.test",
            entity_id="42",
            namespace_path="top/sub",
            name="Sub",
            priority=7,
            run_at=self.in_(60),
            max_attempts=2,
            backoff=Backoff(1.0, 2.0),
            labels=("big", "eu"),
            job_key="nightly",
            payload={"deep": [1, {"text": "ä"}]},
            estimated_size=12,
        )
        job = await self.store.job(job_id, frozenset())
        self.assertEqual((job.type, job.host, job.entity_id), ("crawl_group", "gitlab.test", "42"))
        self.assertEqual((job.namespace_path, job.name, job.priority), ("top/sub", "Sub", 7))
        self.assertEqual((job.max_attempts, sorted(job.labels), job.job_key), (2, ["big", "eu"], "nightly"))
        self.assertEqual((job.payload, job.estimated_size), ({"deep": [1, {"text": "ä"}]}, 12))
        self.assertApproximates((job.run_at - self.in_(60)).total_seconds(), 0.0, 5.0)

    async def test_live_jobs_are_those_not_finished(self) -> None:
        """Every job counts as live until it is completed, failed or cancelled."""
        # The queued one last: it would be what is assigned on the way to other states.
        for state in sorted(State, key=lambda each: each is State.QUEUED):
            await self.bring(state)
        self.assertEqual(await self.store.live_jobs(), len(LIVE))

    async def test_the_same_id_again_makes_nothing(self) -> None:
        """An item sent twice with its id is created once and answered the same."""
        item = NewJob("crawl_project", job_id=fresh_id(), name="first")
        first = await self.store.submit([item], accounts=None)
        before = await self.view(item.job_id or "")
        head = await self.store.event_head()
        again = await self.store.submit([item], accounts=None)
        self.assertEqual(first, again)
        self.assertEqual((again[0].status, again[0].job_id), ("created", item.job_id))
        self.assertEqual(await self.view(item.job_id or ""), before)
        self.assertEqual((await self.store.events_after(head, 10)).events, [])

    async def test_the_same_id_is_created_also_when_the_job_has_ended(self) -> None:
        """A resend that comes after the job's whole life is still answered `created`."""
        ref = await self.running(job_id=fresh_id(), job_key="k")
        await self.store.complete(ref, Completion())
        item = NewJob("crawl_project", job_id=ref.job_id, job_key="k")
        (status,) = await self.store.submit([item], accounts=None)
        self.assertEqual((status.status, status.job_id), ("created", ref.job_id))
        self.assertEqual(await self.state(ref.job_id), "completed")

    async def test_the_same_item_twice_in_one_message(self) -> None:
        """Two items with one id in one message make one job and are both `created`."""
        item = NewJob("crawl_project", job_id=fresh_id())
        statuses = await self.store.submit([item, item], accounts=None)
        self.assertEqual([status.status for status in statuses], ["created", "created"])
        self.assertEqual((await self.store.job_counts())["queued"], 1)

    async def test_an_id_of_another_account_is_refused(self) -> None:
        """An id that another account's job has is `invalid`, and tells nothing about that job."""
        await self.account("other")
        job_id = await self.submit(account="other")
        (status,) = await self.store.submit([NewJob("crawl_project", job_id=job_id)], accounts=None)
        self.assertEqual((status.status, status.job_id), ("invalid", None))
        assert status.error is not None
        self.assertEqual(status.error.code, "duplicate")

    async def test_a_key_is_unique_among_live_jobs(self) -> None:
        """A second job with the key of a live one is `duplicate` and names the first, in every live state."""
        for state in (State.QUEUED, State.ASSIGNED, State.RUNNING, State.PAUSED):
            key = f"key-{state.value}"
            subject = await self.bring(state, job_key=key)
            (status,) = await self.store.submit([NewJob("crawl_user", job_key=key)], accounts=None)
            self.assertEqual((status.status, status.job_id), ("duplicate", subject.job_id), state)
            await self.store.cancel(subject.job_id, tree=False, reason=None, actor="test")

    async def test_a_key_is_free_again_when_its_job_has_ended(self) -> None:
        """Whatever way a job ends, its key may be used again."""
        for state in (State.COMPLETED, State.FAILED, State.CANCELLED):
            subject = await self.bring(state, job_key="again")
            (status,) = await self.store.submit([NewJob("crawl_project", job_key="again")], accounts=None)
            self.assertEqual(status.status, "created", state)
            self.assertNotEqual(status.job_id, subject.job_id)
            await self.store.cancel(status.job_id or "", tree=False, reason=None, actor="test")

    async def test_a_key_belongs_to_an_account(self) -> None:
        """Two accounts may use the same key at the same time."""
        await self.account("other")
        first = await self.submit(job_key="k")
        second = await self.submit(job_key="k", account="other")
        self.assertNotEqual(first, second)

    async def test_two_items_with_one_key_in_one_message(self) -> None:
        """Within one message too the first item with a key wins."""
        items = [NewJob("crawl_project", job_key="k"), NewJob("crawl_project", job_key="k")]
        first, second = await self.store.submit(items, accounts=None)
        self.assertEqual((first.status, second.status), ("created", "duplicate"))
        self.assertEqual(second.job_id, first.job_id)

    async def test_bad_items_do_not_fail_their_neighbours(self) -> None:
        """Items are answered in order, each by itself."""
        await self.account("other")
        items = [
            NewJob("crawl_project"),
            NewJob("crawl_project", account="nobody"),
            NewJob("crawl_project", account="other"),
            NewJob("crawl_project"),
        ]
        statuses = await self.store.submit(items, accounts=frozenset({"default", "nobody"}))
        self.assertEqual([s.status for s in statuses], ["created", "invalid", "invalid", "created"])
        errors = [status.error.code for status in statuses if status.error is not None]
        self.assertEqual(errors, ["unknown_account", "forbidden"])
        self.assertEqual((await self.store.job_counts())["queued"], 2)

    async def test_a_job_of_a_refused_account_waits(self) -> None:
        """A job whose account has a refused credential waits for a new one."""
        subject = await self.bring(State.WAITING_CREDENTIAL)
        self.assertEqual(await self.state(subject.job_id), "waiting_credential")
        self.assertEqual(await self.assign(await self.session()), [])

    async def test_an_unknown_job_is_refused(self) -> None:
        """Reading or steering a job that does not exist is `unknown_job`, whatever the id looks like."""
        for job_id in (fresh_id(), "no-such-id"):
            await self.refused("unknown_job", self.store.job(job_id, frozenset()))
            await self.refused("unknown_job", self.store.progress_of("job", job_id, None))
            await self.refused("unknown_job", self.store.progress_of("tree", job_id, None))
            for verb in (self.store.cancel, self.store.pause, self.store.resume, self.store.retry):
                await self.refused("unknown_job", verb(job_id, tree=True, reason=None, actor="test"))

    async def test_counts_name_every_state(self) -> None:
        """Counting names all states, also those that no job is in."""
        self.assertEqual(await self.store.job_counts(), {state.value: 0 for state in State})
        await self.bring(State.PAUSED)
        await self.submit()
        counts = await self.store.job_counts()
        self.assertEqual((counts["paused"], counts["queued"], counts["failed"]), (1, 1, 0))

    async def test_pages_show_every_job_once_newest_first(self) -> None:
        """Following cursors shows every job once, the newest first, and ends."""
        made = []
        for _ in range(7):
            made.append(await self.submit())
            await self.advance(1)
        seen: list[str] = []
        cursor = None
        for _ in range(10):
            page = await self.store.jobs(JobFilter(limit=3, cursor=cursor))
            seen += [job.job_id for job in page.jobs]
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assertEqual(seen, made[::-1])

    async def test_filters(self) -> None:
        """Each filter leaves the jobs that match it, and they combine."""
        await self.account("other")
        group = await self.submit("crawl_group", name="Compilers", namespace_path="gnu/Tools")
        user = await self.submit("crawl_user", account="other", entity_id="4711")
        paused = (await self.bring(State.PAUSED)).job_id
        cases = {
            JobFilter(type="crawl_group"): [group],
            JobFilter(account="other"): [user],
            JobFilter(accounts=frozenset({"other"})): [user],
            JobFilter(accounts=frozenset()): [],
            JobFilter(states=frozenset({"paused"})): [paused],
            JobFilter(search="COMPIL"): [group],
            JobFilter(search="tools"): [group],
            JobFilter(search="4711"): [user],
            JobFilter(search="%"): [],
            JobFilter(search="_"): [],
            JobFilter(root_id=group): [group],
            JobFilter(account="other", type="crawl_group"): [],
        }
        for wanted, expected in cases.items():
            page = await self.store.jobs(wanted)
            self.assertEqual([job.job_id for job in page.jobs], expected, wanted)

    async def test_a_cursor_that_was_never_given_is_refused(self) -> None:
        """A cursor that the store never gave is `invalid_message`, not an error of ours."""
        await self.refused("invalid_message", self.store.jobs(JobFilter(cursor="no cursor")))
