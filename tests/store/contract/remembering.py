"""Claims about what is looked back at: failures in groups, the audit, areas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from crawlsock.incidents import judge
from crawlsock.jobs import State
from crawlsock.store.records_values import AreaFilter, AuditFilter, ErrorFilter, ErrorGroup
from crawlsock.store.values import Area, Failure, JobRef
from tests.store.contract.base import StoreContract

GONE = "project {}: 404 Not Found"


class Remembering(StoreContract):
    """What failed, who did what and what was seen can be read, page by page."""

    async def failing(
        self,
        message: str = "boom",
        *,
        account: str = "default",
        error_type: str = "not_found",
        recoverable: bool = False,
        **job: Any,
    ) -> JobRef:
        """Let a job fail."""
        if account != "default":
            await self.account(account)
        ref = await self.running(account=account, **job)
        await self.store.fail(ref, Failure(error_type, message, recoverable))
        return ref

    async def groups(self, **wanted: Any) -> list[ErrorGroup]:
        """Return all groups, collected page by page, each page of one."""
        return await self.collected(
            lambda cursor: self.store.errors(ErrorFilter(limit=1, cursor=cursor, **wanted)), "groups"
        )

    async def collected(self, page: Callable[[str | None], Awaitable[Any]], name: str) -> list[Any]:
        """Return what all pages of a list hold."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            got = await page(cursor)
            found += getattr(got, name)
            cursor = got.next_cursor
            if cursor is None:
                return found

    async def test_failures_that_differ_in_numbers_are_one_group(self) -> None:
        """Failures that differ only in variable parts are one group, with a count and the last of them."""
        first = self.now()
        await self.failing(GONE.format(17))
        await self.advance(5)
        last = await self.failing(GONE.format(18))
        (group,) = await self.groups()
        judged = judge("not_found", GONE.format(1), False)
        self.assertEqual((group.fingerprint, group.title), (judged.fingerprint, judged.title))
        self.assertEqual((group.category, group.severity), ("not_found", "info"))
        self.assertEqual((group.count, group.last_job_id, group.last_message), (2, last.job_id, GONE.format(18)))
        self.assertGreaterEqual((group.last_seen - group.first_seen).total_seconds(), 5)
        self.assertLess(abs((group.first_seen - first).total_seconds()), 10)

    async def test_a_failure_sent_twice_counts_once(self) -> None:
        """A failure that is reported again under the same lease is one occurrence."""
        ref = await self.failing()
        await self.store.fail(ref, Failure("not_found", "boom", False))
        self.assertEqual([group.count for group in await self.groups()], [1])

    async def test_groups_belong_to_accounts(self) -> None:
        """The same failure of two accounts is two groups; who is bound to one sees one."""
        await self.failing()
        await self.failing(account="acme")
        self.assertEqual({group.account for group in await self.groups()}, {"default", "acme"})
        self.assertEqual([group.account for group in await self.groups(account="acme")], ["acme"])
        for accounts, seen in ((frozenset({"acme"}), ["acme"]), (frozenset({"other"}), []), (frozenset(), [])):
            self.assertEqual([group.account for group in await self.groups(accounts=accounts)], seen)
        self.assertEqual(await self.groups(account="default", accounts=frozenset({"acme"})), [])

    async def test_groups_are_sorted_and_filtered(self) -> None:
        """Groups come by when they were last seen, or by how often; and by type and category."""
        for message, error_type in (("often", "Timeout"), ("often", "Timeout"), ("once", "KeyError")):
            await self.failing(message, error_type=error_type)
            await self.advance(1)
        self.assertEqual([group.last_message for group in await self.groups()], ["once", "often"])
        self.assertEqual([group.last_message for group in await self.groups(sort="frequent")], ["often", "once"])
        self.assertEqual([group.count for group in await self.groups(error_type="Timeout")], [2])
        self.assertEqual([group.error_type for group in await self.groups(category="crawler")], ["KeyError"])
        self.assertEqual(await self.groups(category="data"), [])

    async def test_a_group_says_how_many_jobs_are_failed_with_it(self) -> None:
        """Only jobs that are failed now, and with this failure, count; a retry takes them off."""
        ref = await self.failing()
        await self.failing(recoverable=True, run_at=self.in_(-60), priority=-1)
        self.assertEqual([group.failed_now for group in await self.groups()], [1])
        await self.store.retry(ref.job_id, tree=False, reason=None, actor="test")
        self.assertEqual([group.failed_now for group in await self.groups()], [0])

    async def test_a_group_shows_its_failures(self) -> None:
        """A group's failures come newest first, each with its job as it is now."""
        old = await self.failing(GONE.format(1), name="one", namespace_path="a/one")
        await self.advance(1)
        new = await self.failing(GONE.format(2))
        await self.store.retry(old.job_id, tree=False, reason=None, actor="test")
        fingerprint = (await self.groups())[0].fingerprint
        found = await self.collected(
            lambda cursor: self.store.error(fingerprint, limit=1, cursor=cursor), "occurrences"
        )
        self.assertEqual([each.job_id for each in found], [new.job_id, old.job_id])
        self.assertEqual([each.state for each in found], ["failed", "queued"])
        self.assertEqual((found[1].name, found[1].namespace_path, found[1].attempt), ("one", "a/one", 1))
        self.assertEqual((found[1].message, found[1].recoverable), (GONE.format(1), False))

    async def test_a_group_is_found_by_who_may_see_it(self) -> None:
        """A group of another account, or none at all, is unknown."""
        await self.failing(account="acme")
        fingerprint = (await self.groups())[0].fingerprint
        detail = await self.store.error(fingerprint, accounts=frozenset({"acme"}))
        self.assertEqual(detail.group.account, "acme")
        await self.refused("unknown_error", self.store.error(fingerprint, "default"))
        await self.refused("unknown_error", self.store.error(fingerprint, accounts=frozenset({"default"})))
        await self.refused("unknown_error", self.store.error("0" * 16))

    async def test_a_jobs_errors_say_what_they_are(self) -> None:
        """An error of a job carries its group, its category and its severity."""
        ref = await self.failing()
        (error,) = (await self.view(ref.job_id)).errors or []
        judged = judge("not_found", "boom", False)
        self.assertEqual(
            (error["fingerprint"], error["category"], error["severity"]),
            (judged.fingerprint, "not_found", "info"),
        )

    async def test_a_parked_job_is_failed_with_nothing_it_said(self) -> None:
        """A job that took crawlers down is not counted to a failure that it reported before."""
        job_id = await self.submit(backoff=None)
        ref = await self.take(await self.session(), job_id)
        await self.store.fail(ref, Failure("Timeout", "slow", True, retry_after=0))
        for _ in range(3):
            ref = await self.take(await self.session(), job_id)
            await self.store.reap([ref.session_id])
        self.assertEqual(await self.state(job_id), State.FAILED.value)
        self.assertEqual([group.failed_now for group in await self.groups()], [0])

    async def test_old_groups_are_pruned(self) -> None:
        """A group that was not seen for long goes with the jobs."""
        await self.failing()
        await self.advance(100)
        await self.store.prune(self.in_(-1000), self.in_(-50))
        self.assertEqual(await self.groups(), [])

    async def test_a_cursor_must_be_ours(self) -> None:
        """A cursor that no page gave is refused, in every list."""
        ask: tuple[Callable[[str], Any], ...] = (
            lambda cursor: self.store.errors(ErrorFilter(cursor=cursor)),
            lambda cursor: self.store.errors(ErrorFilter(cursor=cursor, sort="frequent")),
            lambda cursor: self.store.incidents(cursor=cursor),
            lambda cursor: self.store.audit_entries(AuditFilter(cursor=cursor)),
            lambda cursor: self.store.seen_areas(AreaFilter(cursor=cursor)),
            lambda cursor: self.store.notifications(cursor=cursor),
        )
        for each in ask:
            for cursor in ("x", "bm90IGpzb24=", "WzEsIDIsIDMsIDRd", "====", "WyIyMDI2IiwgIngiXQ=="):
                refusal = await self.refused("invalid_message", each(cursor))
                self.assertEqual(refusal.pointer, "/data/cursor")

    async def test_the_audit_is_read_newest_first(self) -> None:
        """Entries come newest first, all or those of one actor, action or target."""
        for actor, action, target in (("ann", "a", "x"), ("bob", "b", None), ("ann", "b", "x")):
            await self.store.audit(actor, action, target, {"n": 1})
        found = await self.collected(
            lambda cursor: self.store.audit_entries(AuditFilter(limit=1, cursor=cursor)), "entries"
        )
        self.assertEqual([(each.actor, each.action) for each in found], [("ann", "b"), ("bob", "b"), ("ann", "a")])
        self.assertEqual((found[0].target, found[0].detail), ("x", {"n": 1}))
        for wanted, count in (({"actor": "ann"}, 2), ({"action": "b"}, 2), ({"target": "x"}, 2), ({"actor": "eve"}, 0)):
            page = await self.store.audit_entries(AuditFilter(**wanted))  # type: ignore[arg-type]
            self.assertEqual(len(page.entries), count, wanted)

    async def test_areas_are_read_newest_first(self) -> None:
        """Areas come by when they were first seen; by account, host, kind, and part of their path or name."""
        ref = await self.running(host="gitlab.test")
        await self.store.areas(ref, [Area("group", "1", "team", "Team")])
        await self.advance(1)
        await self.store.areas(ref, [Area("project", "2", "team/tool", "The Tool", "team", "private", "other.test")])
        await self.store.areas(ref, [Area("group", "1", "team", "Team")])
        await self.account("acme")
        found = await self.collected(lambda cursor: self.store.seen_areas(AreaFilter(limit=1, cursor=cursor)), "areas")
        self.assertEqual([each.path for each in found], ["team/tool", "team"])
        tool, team = found
        self.assertEqual((tool.host, tool.name, tool.parent_path), ("other.test", "The Tool", "team"))
        self.assertEqual((team.host, team.job_id, team.account), ("gitlab.test", ref.job_id, "default"))
        self.assertGreater(team.last_seen, team.first_seen)
        for wanted, paths in (
            ({"host": "gitlab.test"}, ["team"]),
            ({"kind": "project"}, ["team/tool"]),
            ({"search": "the TOOL"}, ["team/tool"]),
            ({"search": "EAM"}, ["team/tool", "team"]),
            ({"search": "nowhere"}, []),
            ({"account": "acme"}, []),
            ({"accounts": frozenset({"acme"})}, []),
            ({"accounts": frozenset({"default"}), "kind": "group"}, ["team"]),
        ):
            page = await self.store.seen_areas(AreaFilter(**wanted))
            self.assertEqual([each.path for each in page.areas], paths, wanted)
