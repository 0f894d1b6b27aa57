"""Claims about jobs that crawlers discover: keys, trees, cycles, areas."""

from __future__ import annotations

from crawlsock.jobs import State
from crawlsock.store.values import Area, Backoff, Completion, ItemStatus, JobRef, NewJob, Release
from tests.store.contract.base import StoreContract, fresh_id


def project(entity_id: str, **fields: object) -> NewJob:
    """Return a discovered project."""
    return NewJob("crawl_project", entity_id=entity_id, **fields)  # type: ignore[arg-type]


class Discovering(StoreContract):
    """What is discovered becomes one job, however often and by whomever it is reported."""

    async def find(self, ref: JobRef, *jobs: NewJob) -> list[ItemStatus]:
        """Report children."""
        return await self.store.discover(ref, list(jobs))

    async def test_a_child_belongs_to_its_tree(self) -> None:
        """A child has its parent and root; a grandchild the same root."""
        session = await self.session()
        root = await self.running(session, type="discover_namespaces")
        (child,) = await self.find(root, NewJob("crawl_group", entity_id="1"))
        ref = await self.take(session, child.job_id or "")
        (grandchild,) = await self.find(ref, project("2", name="P", namespace_path="g/p"))
        job = await self.view(grandchild.job_id or "")
        self.assertEqual((job.parent_id, job.root_id), (child.job_id, root.job_id))
        self.assertEqual((job.name, job.namespace_path, job.entity_id), ("P", "g/p", "2"))
        self.assertEqual((await self.view(root.job_id)).children, {"assigned": 1})

    async def test_a_child_inherits(self) -> None:
        """A child has its parent's account always, and its host, labels, priority and limits where it has
        none."""
        await self.account("acme")
        ref = await self.running(
            account="acme",
            host="gitlab.test",
            labels=None,
            priority=4,
            max_attempts=2,
            backoff=Backoff(0.0, 0.0),
            no_progress_limit=5.0,
        )
        plain, own = await self.find(
            ref,
            project("1", account="ignored"),
            project("2", host="other.test", labels=("eu",), priority=-1, max_attempts=7, payload={"a": 1}),
        )
        first = await self.view(plain.job_id or "")
        self.assertEqual((first.account, first.host, first.priority), ("acme", "gitlab.test", 4))
        self.assertEqual(first.max_attempts, 2)
        second = await self.view(own.job_id or "")
        self.assertEqual((second.account, second.host, second.priority), ("acme", "other.test", -1))
        self.assertEqual((list(second.labels), second.max_attempts, second.payload), (["eu"], 7, {"a": 1}))
        session = await self.session()
        (given,) = await self.assign(session)
        self.assertEqual((given.job_id, given.no_progress_limit), (plain.job_id, 5.0))

    async def test_labels_are_inherited(self) -> None:
        """A child without labels needs what its parent needs."""
        job_id = await self.submit(labels=("eu",))
        session = await self.session()
        (given,) = await self.assign(session, labels=frozenset({"eu"}))
        self.assertEqual(given.job_id, job_id)
        ref = JobRef(given.job_id, given.lease, given.session_id)
        (child,) = await self.find(ref, project("1"))
        self.assertEqual(await self.assign(session), [])
        (taken,) = await self.assign(session, labels=frozenset({"eu", "us"}))
        self.assertEqual(taken.job_id, child.job_id)

    async def test_the_key_is_type_host_and_entity(self) -> None:
        """Two reports are of the same job when type, host and entity are the same; nothing else matters."""
        ref = await self.running(host="gitlab.test")
        statuses = await self.find(
            ref,
            project("1", name="one"),
            project("1", name="uno"),
            NewJob("crawl_user", entity_id="1"),
            project("1", host="other.test"),
            project("1", host="gitlab.test"),
        )
        self.assertEqual(
            [status.status for status in statuses],
            ["created", "duplicate", "created", "created", "duplicate"],
        )
        self.assertEqual({statuses[1].job_id, statuses[4].job_id}, {statuses[0].job_id})
        job = await self.view(statuses[0].job_id or "")
        self.assertEqual(job.job_key, "crawl_project:gitlab.test:1")

    async def test_reporting_twice_makes_one_job(self) -> None:
        """The same report again makes nothing and names the first jobs."""
        ref = await self.running()
        first = await self.find(ref, project("1"), project("2"))
        again = await self.find(ref, project("1"), project("2"), project("3"))
        self.assertEqual([status.status for status in again], ["duplicate", "duplicate", "created"])
        self.assertEqual([s.job_id for s in again[:2]], [s.job_id for s in first])

    async def test_the_same_ids_again_are_created(self) -> None:
        """A report whose items have ids is answered the same when it is sent again."""
        ref = await self.running()
        items = [project("1", job_id=fresh_id()), project("2", job_id=fresh_id())]
        first = await self.find(ref, *items)
        self.assertEqual([status.status for status in first], ["created", "created"])
        self.assertEqual(await self.find(ref, *items), first)
        self.assertEqual((await self.view(ref.job_id)).children, {"queued": 2})

    async def test_a_second_attempt_discovers_the_same(self) -> None:
        """An attempt that repeats what the one before it discovered makes no second jobs."""
        session = await self.session()
        ref = await self.running(session)
        (first,) = await self.find(ref, project("1"))
        await self.store.reap([ref.session_id])
        await self.store.cancel(first.job_id or "", tree=False, reason=None, actor="test")
        again = await self.take(await self.session(), ref.job_id)
        (second, fresh) = await self.find(again, project("1"), project("2"))
        self.assertEqual((second.status, second.job_id), ("duplicate", first.job_id))
        self.assertEqual(fresh.status, "created")

    async def test_a_tree_never_crawls_an_entity_twice(self) -> None:
        """Inside one tree an entity stays discovered for ever, also when its job has ended."""
        session = await self.session()
        ref = await self.running(session)
        (child,) = await self.find(ref, project("1"))
        await self.store.complete(await self.take(session, child.job_id or ""), Completion())
        (again,) = await self.find(ref, project("1"))
        self.assertEqual((again.status, again.job_id), ("duplicate", child.job_id))

    async def test_a_cycle_makes_no_jobs(self) -> None:
        """A child that discovers its parent, or the root, makes nothing."""
        session = await self.session()
        root = await self.running(session, type="crawl_group", entity_id="1", host="h")
        (child,) = await self.find(root, NewJob("crawl_group", entity_id="2"))
        ref = await self.take(session, child.job_id or "")
        up, itself = await self.find(ref, NewJob("crawl_group", entity_id="1"), NewJob("crawl_group", entity_id="2"))
        self.assertEqual((up.status, up.job_id), ("duplicate", root.job_id))
        self.assertEqual((itself.status, itself.job_id), ("duplicate", child.job_id))

    async def test_two_trees_share_what_is_live(self) -> None:
        """An entity that a live job of the account crawls in another tree is `duplicate`; once ended it is
        crawled anew."""
        session = await self.session()
        first = await self.running(session)
        (child,) = await self.find(first, project("1"))
        running_child = await self.take(session, child.job_id or "")
        second = await self.running(session)
        (shared,) = await self.find(second, project("1"))
        self.assertEqual((shared.status, shared.job_id), ("duplicate", child.job_id))
        await self.store.complete(running_child, Completion())
        (own,) = await self.find(second, project("1"))
        self.assertEqual(own.status, "created")
        self.assertNotEqual(own.job_id, child.job_id)

    async def test_accounts_do_not_share(self) -> None:
        """Two accounts crawl the same entity each by itself: they may see different things."""
        await self.account("acme")
        session = await self.session()
        (mine,) = await self.find(await self.running(session, host="h"), project("1"))
        await self.store.cancel(mine.job_id or "", tree=False, reason=None, actor="test")
        (theirs,) = await self.find(await self.running(session, account="acme", host="h"), project("1"))
        self.assertEqual(theirs.status, "created")

    async def test_bad_items_do_not_fail_their_neighbours(self) -> None:
        """An item without an entity, or with a taken id, is `invalid`; the others are made."""
        await self.account("acme")
        taken = await self.submit(account="acme", run_at=self.in_(3600))
        ref = await self.running()
        statuses = await self.find(ref, project("1"), NewJob("crawl_project"), project("2", job_id=taken), project("3"))
        self.assertEqual([s.status for s in statuses], ["created", "invalid", "invalid", "created"])
        self.assertEqual((await self.view(ref.job_id)).children, {"queued": 2})

    async def test_a_cancelled_tree_grows_no_further(self) -> None:
        """A job that is to be cancelled gets no more children."""
        ref = await self.running()
        await self.store.cancel(ref.job_id, tree=True, reason=None, actor="test")
        (status,) = await self.find(ref, project("1"))
        self.assertEqual(status.status, "invalid")
        assert status.error is not None
        self.assertEqual(status.error.code, "invalid_state")
        self.assertEqual((await self.view(ref.job_id)).children or {}, {})

    async def test_children_of_a_refused_account_wait(self) -> None:
        """Children made while the account's credential is good are put aside with it when it is refused."""
        generation = await self.account("acme")
        ref = await self.running(account="acme")
        (child,) = await self.find(ref, project("1"))
        await self.store.refuse_credential("acme", generation, "revoked")
        self.assertEqual(await self.state(child.job_id or ""), State.WAITING_CREDENTIAL.value)

    async def test_discovering_nothing(self) -> None:
        """An empty report is answered with an empty list."""
        self.assertEqual(await self.find(await self.running()), [])

    async def test_areas_are_kept_once(self) -> None:
        """Areas may be reported again and again, alone or with jobs, and by several crawlers."""
        session = await self.session()
        first = await self.running(session, host="h")
        second = await self.running(session, host="h")
        seen = [Area("group", "1", "top"), Area("project", "1", "top/p", name="P", visibility="private")]
        await self.store.areas(first, seen)
        await self.store.areas(first, [*seen, Area("project", "1", "moved/p"), Area("user", "2", "bob")])
        await self.store.areas(second, seen)
        await self.store.areas(second, [])
        await self.store.release(second, Release("drain"))
        await self.refused("lease_lost", self.store.areas(second, seen))
