"""Claims about tokens, the audit, the feed and pruning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from crawlsock.jobs import State
from crawlsock.store.values import Completion, Failure, JobRef, NewJob, Progress, Release
from tests.store.contract.base import StoreContract, fresh_id


class Tokens(StoreContract):
    """Tokens are known by their hashes."""

    async def test_a_token_is_found_by_its_hash(self) -> None:
        """A token that was made is found, with its role and accounts, and its use is noted."""
        accounts = frozenset({"acme"})
        token_id = await self.store.create_token("webapp", "shop", b"h" * 32, accounts, None, "admin")
        row = await self.store.token_by_hash(b"h" * 32)
        assert row is not None
        self.assertEqual((row.token_id, row.role, row.name), (token_id, "webapp", "shop"))
        self.assertEqual((row.accounts, row.hash), (accounts, b"h" * 32))
        (listed,) = await self.store.tokens()
        self.assertIsNotNone(listed.last_used_at)
        self.assertIsNone(await self.store.token_by_hash(b"g" * 32))

    async def test_the_same_hash_again_is_the_same_token(self) -> None:
        """A token made twice is one token."""
        first = await self.store.create_token("crawler", "c", b"h", None, None, "admin")
        self.assertEqual(await self.store.create_token("crawler", "c", b"h", None, None, "admin"), first)
        self.assertEqual(len(await self.store.tokens()), 1)

    async def test_an_expired_token_is_not_found(self) -> None:
        """A token past its time opens nothing, and is still listed."""
        await self.store.create_token("monitor", "m", b"h", None, self.in_(60), "admin")
        self.assertIsNotNone(await self.store.token_by_hash(b"h"))
        await self.advance(61)
        self.assertIsNone(await self.store.token_by_hash(b"h"))
        self.assertEqual(len(await self.store.tokens()), 1)

    async def test_a_revoked_token_is_not_found(self) -> None:
        """A revoked token opens nothing; revoking again is fine; a token that never was cannot be revoked."""
        token_id = await self.store.create_token("admin", "a", b"h", None, None, "admin")
        for _ in range(2):
            await self.store.revoke_token(token_id, "admin")
        self.assertIsNone(await self.store.token_by_hash(b"h"))
        self.assertIsNotNone((await self.store.tokens())[0].revoked_at)
        for unknown in (fresh_id(), "no token"):
            await self.refused("unknown_token", self.store.revoke_token(unknown, "admin"))

    async def test_tokens_are_listed_oldest_first(self) -> None:
        """Tokens are listed in the order they were made."""
        for name in ("one", "two", "three"):
            await self.store.create_token("crawler", name, name.encode(), None, None, "admin")
            await self.advance(1)
        self.assertEqual([token.name for token in await self.store.tokens()], ["one", "two", "three"])

    async def test_the_audit_names_who_did_what(self) -> None:
        """What is done in somebody's name is written down in order, and so is what a caller adds."""
        token_id = await self.store.create_token("crawler", "c", b"h", None, None, "alice")
        await self.store.revoke_token(token_id, "bob")
        await self.account("acme")
        await self.store.pause_queue("crawl_user", True, None, "carol")
        await self.store.audit("dave", "config_set", "log_level", {"value": "debug"})
        self.assertEqual(
            await self.audited(),
            [
                ("alice", "token_create", token_id),
                ("bob", "token_revoke", token_id),
                ("test", "credential_put", "acme"),
                ("carol", "queue_paused", "crawl_user"),
                ("dave", "config_set", "log_level"),
            ],
        )


class Feed(StoreContract):
    """Every change is in the feed, once, in order."""

    async def some_life(self) -> None:
        """Let jobs live in all the ways there are."""
        session = await self.session()
        root = await self.running(session)
        await self.store.progress(root, Progress(1, "discovering", {"issue": {"processed": 1, "total": 3}}))
        await self.store.discover(root, [NewJob("crawl_project", entity_id=str(n)) for n in range(4)])
        refs = [JobRef(a.job_id, a.lease, a.session_id) for a in await self.assign(session, 4)]
        for ref in refs:
            await self.store.start(ref)
        await self.store.fail(refs[0], Failure("x", "y", False))
        await self.store.fail(refs[1], Failure("x", "y", True))
        await self.store.release(refs[2], Release("drain"))
        await self.store.cancel(refs[3].job_id, tree=False, reason=None, actor="test")
        await self.store.cancelled(refs[3], Release("asked"))
        await self.store.complete(root, Completion())
        await self.store.retry(refs[0].job_id, tree=False, reason=None, actor="test")
        await self.store.pause(refs[2].job_id, tree=False, reason=None, actor="test")
        await self.store.resume(refs[2].job_id, tree=False, reason=None, actor="test")
        generation = await self.account("acme")
        await self.held(await self.session(), account="acme", priority=100)
        await self.submit(account="acme")
        await self.store.refuse_credential("acme", generation, "revoked")
        await self.account("acme")
        lost = await self.session()
        await self.assign(lost, 2)
        await self.store.reap([lost.session_id])
        await self.bring(State.PAUSED)
        await self.store.end_session(session.session_id, "bye")

    async def test_a_job_tells_its_life_in_order(self) -> None:
        """The events of a job are its life, each once, with the job, its tree and its account."""
        ref = await self.running()
        await self.store.progress(ref, Progress(1, "fetching", {"issue": {"processed": 5, "total": 10}}, "half"))
        await self.store.complete(ref, Completion())
        events = [event for event in await self.events() if event.get("job_id") == ref.job_id]
        self.assertEqual(
            [event["kind"] for event in events],
            [
                "job_created",
                "job_assigned",
                "job_started",
                "job_progress",
                "milestone",
                "milestone",
                "job_completed",
            ],
        )
        for event in events:
            self.assertEqual((event["root_id"], event["account"]), (ref.job_id, "default"))
            self.assertIn("at", event)
        progress = events[3]
        self.assertEqual((progress["seq"], progress["stage"], progress["percent"]), (1, "fetching", 50.0))
        self.assertEqual((progress["entities"]["issue"]["processed"], progress["message"]), (5, "half"))
        self.assertEqual([event["percent"] for event in events[4:6]], [25, 50])

    async def test_the_kinds_of_events(self) -> None:
        """Whatever happens has its own kind of event."""
        await self.some_life()
        kinds = {event["kind"] for event in await self.events()}
        expected = {
            "job_created",
            "job_assigned",
            "job_started",
            "job_progress",
            "job_completed",
            "job_failed",
            "job_retried",
            "job_released",
            "job_lost",
            "job_cancel_requested",
            "job_cancelled",
            "job_paused",
            "job_resumed",
            "job_waiting_credential",
            "milestone",
            "crawler_connected",
            "crawler_lost",
            "crawler_ended",
            "credential_changed",
        }
        self.assertEqual(expected - kinds, set())

    async def test_replaying_the_feed_gives_the_states(self) -> None:
        """Who follows the feed knows the state of every job: it is what the job's last event says."""
        await self.some_life()
        known: dict[str, str] = {}
        for event in await self.events():
            if "state" in event and "job_id" in event:
                known[event["job_id"]] = event["state"]
        self.assertTrue(known)
        for job_id, state in known.items():
            self.assertEqual(await self.state(job_id), state, await self.kinds(job_id))

    async def test_a_late_reader_sees_what_an_early_one_saw(self) -> None:
        """A reader that was there from the start and one that comes at the end read the same."""
        early: list[dict[str, Any]] = []
        position = await self.store.event_head()
        for _ in range(3):
            await self.some_life_in_short()
            page = await self.store.events_after(position, 1000)
            early += page.events
            position = page.position
        self.assertEqual(await self.events(), early)
        self.assertEqual(position, await self.store.event_head())

    async def some_life_in_short(self) -> None:
        """Let one job live and fail."""
        ref = await self.running()
        await self.store.fail(ref, Failure("x", "y", False))

    async def test_reading_in_small_pages(self) -> None:
        """However small the pages, each event comes once, in the same order, and any position is a place to
        go on from."""
        await self.some_life()
        whole = await self.events()
        position, seen, places = None, [], []
        for _ in range(10 * len(whole)):
            page = await self.store.events_after(position, 1)
            if not page.events:
                break
            self.assertFalse(page.gap)
            seen += page.events
            position = page.position
            places.append((position, len(seen)))
        self.assertEqual(seen, whole)
        for position, number in places[:: max(1, len(places) // 5)]:
            page = await self.store.events_after(position, 1000)
            self.assertEqual(page.events, whole[number : number + len(page.events)])

    async def test_the_head_is_after_everything(self) -> None:
        """After the head there is nothing, until something happens."""
        await self.submit()
        head = await self.store.event_head()
        self.assertEqual((await self.store.events_after(head, 10)).events, [])
        job_id = await self.submit()
        (event,) = (await self.store.events_after(head, 10)).events
        self.assertEqual((event["kind"], event["job_id"], event["state"]), ("job_created", job_id, "queued"))

    async def test_observers_are_called(self) -> None:
        """Who follows the feed is called when there is more."""
        called: list[int] = []
        self.store.on_events(lambda: called.append(1))
        await self.submit()
        # Observers may be called just after the caller has been answered.
        await self.store.event_head()
        self.assertTrue(called)

    async def test_reading_says_nothing(self) -> None:
        """Looking at things is no event."""
        ref = await self.running()
        head = await self.store.event_head()
        await self.view(ref.job_id)
        await self.store.progress_of("tree", ref.job_id, None)
        await self.store.sessions()
        await self.store.reap()
        await self.store.stuck()
        self.assertEqual((await self.store.events_after(head, 10)).events, [])

    async def test_an_old_position_has_a_gap(self) -> None:
        """When events after a position are forgotten the page says so; a position after them has no gap."""
        start = await self.store.event_head()
        await self.submit()
        middle = await self.store.event_head()
        await self.advance(100)
        pruned = await self.store.prune(self.in_(-50), self.in_(-50))
        self.assertEqual(pruned.jobs, 0)
        self.assertGreater(pruned.events, 0)
        last = await self.submit()
        page = await self.store.events_after(start, 10)
        self.assertTrue(page.gap)
        self.assertEqual([event["job_id"] for event in page.events], [last])
        page = await self.store.events_after(middle, 10)
        self.assertFalse(page.gap)
        self.assertEqual([event["job_id"] for event in page.events], [last])

    async def test_a_page_says_whether_there_is_more(self) -> None:
        """Who has read the last page knows it without asking again."""
        await self.some_life()
        position, more = None, True
        while more:
            page = await self.store.events_after(position, 3)
            self.assertTrue(page.events)
            position, more = page.position, page.more
        self.assertEqual(position, await self.store.event_head())
        page = await self.store.events_after(position, 3)
        self.assertEqual((page.events, page.more, page.position), ([], False, position))

    async def test_a_position_of_another_store_has_a_gap(self) -> None:
        """A position ahead of all that ever happened here was given elsewhere: what followed it is not known."""
        await self.submit()
        elsewhere = "9999" + await self.store.event_head()
        self.assertTrue((await self.store.events_after(elsewhere, 10)).gap)
        self.assertTrue((await self.store.events_after(elsewhere, 0)).gap)
        await self.submit()
        self.assertTrue((await self.store.events_after(elsewhere, 10)).gap)

    async def test_the_event_of_an_end_has_the_last_word(self) -> None:
        """Who follows the feed knows how far a job was when its assignment ended, as its view says."""
        counts = {"issue": {"processed": 7, "failed": 1, "discovered": 9, "total": 9}}
        ends: list[Callable[[JobRef], Awaitable[Any]]] = [
            lambda ref: self.store.complete(ref, Completion(entities=counts)),
            lambda ref: self.store.complete(ref, Completion()),
            lambda ref: self.store.fail(ref, Failure("x", "y", False, entities=counts)),
            lambda ref: self.store.fail(ref, Failure("x", "y", True)),
            lambda ref: self.store.release(ref, Release(entities=counts)),
            lambda ref: self.store.reap([ref.session_id]),
        ]
        for reports in (True, False):
            for end in ends:
                ref = await self.running()
                if reports:
                    before = {"issue": {"processed": 5, "discovered": 9}, "user": {"processed": 1, "discovered": 1}}
                    await self.store.progress(ref, Progress(3, "fetching", before, "on page 2"))
                await end(ref)
                told = [event for event in await self.events() if event.get("job_id") == ref.job_id][-1]
                progress = (await self.view(ref.job_id)).progress
                if progress is None:
                    self.assertNotIn("entities", told)
                    continue
                self.assertEqual(told["entities"], progress.entities, told)
                said = (told.get("seq"), told["stage"], told.get("percent"), told.get("message"))
                self.assertEqual(said, (progress.seq, progress.stage, progress.percent, progress.message), told)
                if told["state"] == "queued":
                    await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")

    async def test_a_position_that_was_never_given_is_refused(self) -> None:
        """A position that the store never gave is `invalid_message`."""
        for position in ("x", "", "1;2", "-1", "99999999999999999999999999x"):
            await self.refused("invalid_message", self.store.events_after(position, 10))

    async def test_old_trees_are_forgotten(self) -> None:
        """A tree whose every job ended long ago is removed with all it has; a live job keeps its whole
        tree."""
        session = await self.session(lease_length=10_000.0)
        old = await self.running(session, job_key="k")
        await self.store.fail(old, Failure("x", "y", False, resume_state={"a": 1}))
        parent = await self.running(session)
        await self.store.discover(parent, [NewJob("crawl_user", entity_id="1")])
        await self.store.complete(parent, Completion())
        await self.advance(100)
        recent = await self.bring(State.CANCELLED, priority=5)
        pruned = await self.store.prune(self.in_(-50), self.in_(-50))
        self.assertEqual(pruned.jobs, 1)
        await self.refused("unknown_job", self.store.job(old.job_id, frozenset()))
        await self.refused("lease_lost", self.store.fail(old, Failure("x", "y", False)))
        self.assertEqual(await self.states((parent.job_id, recent.job_id)), ["completed", "cancelled"])
        self.assertEqual((await self.store.prune(self.in_(-50), self.in_(-50))).jobs, 0)
