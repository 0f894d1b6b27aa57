"""Claims about sessions: opening, resuming, renewing, leaving, being given up."""

from __future__ import annotations

from crawlsock.store.values import Beat, Completion, NewSession, Progress
from tests.store.contract.base import LEASE_LENGTH, OTHER_SERVER, SERVER, StoreContract, fresh_id


class Staying(StoreContract):
    """A crawler keeps its jobs as long as its session lives, whatever happens to its connection."""

    async def test_a_session_shows_its_crawler(self) -> None:
        """What a crawler said of itself is what is shown of its session."""
        made = await self.session(
            "alice",
            slots=4,
            labels=frozenset({"big"}),
            job_types=frozenset({"crawl_user"}),
            pid=77,
            uid=1000,
            process_start=123456,
            boot_id="boot",
            hostname="h1",
            version="1.2",
        )
        (shown,) = await self.store.sessions()
        self.assertEqual(shown.session_id, made.session_id)
        self.assertEqual((shown.crawler_id, shown.server_id, shown.state), ("alice", SERVER, "connected"))
        self.assertEqual((shown.slots, shown.labels), (4, frozenset({"big"})))
        self.assertEqual(shown.job_types, frozenset({"crawl_user"}))
        self.assertEqual((shown.pid, shown.uid, shown.process_start, shown.boot_id), (77, 1000, 123456, "boot"))
        self.assertEqual((shown.hostname, shown.version, shown.jobs), ("h1", "1.2", 0))
        self.assertEqual(shown.lease_length, LEASE_LENGTH)

    async def test_the_same_ticket_opens_once(self) -> None:
        """Opening again with the same ticket returns the session that it opened."""
        first = await self.session("alice", ticket_hash=b"t")
        again = await self.session("alice", ticket_hash=b"t")
        self.assertEqual(again.session_id, first.session_id)
        self.assertEqual(len(await self.store.sessions()), 1)

    async def test_a_second_login_is_refused_while_the_first_is_connected(self) -> None:
        """Two crawlers with one id cannot both be connected."""
        await self.session("alice", ticket_hash=b"1")
        new = NewSession("alice", SERVER, b"2", LEASE_LENGTH)
        await self.refused("duplicate_crawler", self.store.open_session(new))

    async def test_a_login_replaces_a_session_that_is_away(self) -> None:
        """A crawler that comes back without its ticket loses the jobs of its old session, and may begin
        anew."""
        old = await self.session("alice", ticket_hash=b"1")
        ref = await self.running(old)
        await self.store.detach_session(old.session_id)
        new = await self.session("alice", ticket_hash=b"2")
        self.assertNotEqual(new.session_id, old.session_id)
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.losses), ("queued", 1))
        self.assertEqual([session.session_id for session in await self.store.sessions()], [new.session_id])

    async def test_a_login_replaces_a_session_past_its_deadline(self) -> None:
        """A session that nobody renewed does not keep its crawler id."""
        await self.session("alice", ticket_hash=b"1")
        await self.advance(LEASE_LENGTH + 1)
        await self.session("alice", ticket_hash=b"2")

    async def test_a_lost_link_keeps_the_jobs(self) -> None:
        """A session whose link is lost is away, and has its jobs until its deadline."""
        session = await self.session()
        ref = await self.running(session)
        for _ in range(2):
            await self.store.detach_session(session.session_id)
        (shown,) = await self.store.sessions()
        self.assertEqual((shown.state, shown.jobs), ("away", 1))
        await self.advance(LEASE_LENGTH - 1)
        self.assertEqual(await self.store.reap(), [])
        self.assertEqual(await self.state(ref.job_id), "running")

    async def test_resuming_keeps_what_is_held(self) -> None:
        """A crawler that comes back with its ticket goes on with the same leases, on any server."""
        session = await self.session("alice", ticket_hash=b"t")
        first, second = await self.running(session), await self.held(session)
        await self.store.progress(first, Progress(7, "fetching"))
        await self.store.detach_session(session.session_id)
        await self.advance(LEASE_LENGTH - 1)
        resumed = await self.store.resume_session(b"t", [first.lease, second.lease], OTHER_SERVER, pid=5)
        self.assertEqual(resumed.session.session_id, session.session_id)
        self.assertEqual((resumed.session.server_id, resumed.session.state), (OTHER_SERVER, "connected"))
        self.assertEqual(resumed.lost, [])
        kept = {job.lease: job for job in resumed.kept}
        self.assertEqual(set(kept), {first.lease, second.lease})
        self.assertEqual((kept[first.lease].job_id, kept[first.lease].seq), (first.job_id, 7))
        self.assertEqual((kept[second.lease].attempt, kept[second.lease].seq), (1, 0))
        await self.advance(LEASE_LENGTH - 1)
        self.assertEqual(await self.store.reap(), [])
        await self.store.complete(first, Completion())
        self.assertEqual((await self.view(first.job_id)).attempt, 1)

    async def test_resuming_queues_what_is_not_held(self) -> None:
        """A job that the crawler never received goes back unharmed when it resumes."""
        session = await self.session("alice", ticket_hash=b"t")
        kept, unseen = await self.running(session), await self.held(session)
        resumed = await self.store.resume_session(b"t", [kept.lease], SERVER)
        self.assertEqual([job.lease for job in resumed.kept], [kept.lease])
        job = await self.view(unseen.job_id)
        self.assertEqual((job.state, job.losses, job.failures), ("queued", 0, 0))

    async def test_resuming_without_naming_leases_keeps_all(self) -> None:
        """A crawler that cannot say which leases it has keeps all of its session's."""
        session = await self.session("alice", ticket_hash=b"t")
        refs = [await self.running(session), await self.held(session)]
        resumed = await self.store.resume_session(b"t", None, SERVER)
        self.assertEqual({job.lease for job in resumed.kept}, {ref.lease for ref in refs})
        self.assertEqual(resumed.lost, [])

    async def test_what_was_given_and_not_begun_can_be_given_again(self) -> None:
        """An assignment that may have been lost with a link is repeated as it was; a begun one is not."""
        session = await self.session("alice")
        await self.running(session)
        await self.submit(payload={"deep": [1]}, entity_id="7", priority=3)
        given = await self.assign(session)
        self.assertEqual(await self.store.unstarted(session.session_id), given)
        self.assertEqual(await self.store.unstarted(fresh_id()), [])

    async def test_resuming_names_what_was_lost(self) -> None:
        """Leases that the session has no more are named, in any form they come."""
        session = await self.session("alice", ticket_hash=b"t")
        ref, done = await self.running(session), await self.running(session)
        await self.store.complete(done, Completion())
        strange = [done.lease, fresh_id(), "no lease"]
        resumed = await self.store.resume_session(b"t", [ref.lease, *strange], SERVER)
        self.assertEqual([job.lease for job in resumed.kept], [ref.lease])
        self.assertEqual(sorted(resumed.lost), sorted(strange))

    async def test_resuming_tells_wishes_that_came_meanwhile(self) -> None:
        """A cancel or pause that came while the crawler was away is told with the lease."""
        session = await self.session("alice", ticket_hash=b"t")
        first, second = await self.running(session), await self.running(session)
        await self.store.detach_session(session.session_id)
        await self.store.cancel(first.job_id, tree=False, reason=None, actor="test")
        await self.store.pause(second.job_id, tree=False, reason=None, actor="test")
        resumed = await self.store.resume_session(b"t", [first.lease, second.lease], SERVER)
        wishes = {job.lease: (job.cancel_requested, job.pause_requested) for job in resumed.kept}
        self.assertEqual(wishes, {first.lease: (True, False), second.lease: (False, True)})

    async def test_resuming_twice_is_resuming_once(self) -> None:
        """A resume sent again is answered the same."""
        session = await self.session("alice", ticket_hash=b"t")
        ref, _ = await self.running(session), await self.held(session)
        first = await self.store.resume_session(b"t", [ref.lease], SERVER)
        again = await self.store.resume_session(b"t", [ref.lease], SERVER)
        self.assertEqual((again.kept, again.lost), (first.kept, first.lost))

    async def test_an_ended_session_cannot_be_resumed(self) -> None:
        """After reap or goodbye, and for a ticket that never was, a resume is `session_expired`."""
        await self.refused("session_expired", self.store.resume_session(b"never", [], SERVER))
        reaped = await self.session("alice", ticket_hash=b"a")
        await self.store.reap([reaped.session_id])
        await self.refused("session_expired", self.store.resume_session(b"a", [], SERVER))
        ended = await self.session("bob", ticket_hash=b"b")
        await self.store.end_session(ended.session_id, "bye")
        await self.refused("session_expired", self.store.resume_session(b"b", [], SERVER))

    async def test_heartbeats_keep_a_session(self) -> None:
        """A session lives as long as it beats, and shows its last beat."""
        session = await self.session()
        ref = await self.running(session)
        for _ in range(4):
            await self.advance(LEASE_LENGTH - 1)
            beat = Beat("crawling", (ref.job_id,), {"items": 3}, 1 << 30, 12.5, 100.0)
            await self.store.heartbeat(session.session_id, beat)
            self.assertEqual(await self.store.reap(), [])
        (shown,) = await self.store.sessions()
        self.assertEqual((shown.status, shown.memory_bytes, shown.cpu_percent), ("crawling", 1 << 30, 12.5))
        self.assertLess(shown.heartbeat_age, 5.0)
        self.assertEqual(shown.jobs, 1)

    async def test_a_session_shows_what_hosts_allow_its_crawler(self) -> None:
        """The host budgets of the last beat are shown, and gone with a beat that has none."""
        session = await self.session()
        self.assertIsNone((await self.store.sessions())[0].hosts)
        budgets = (
            {"host": "gitlab.example.com", "limit": 600, "remaining": 12, "resets_at": "2026-11-23T10:16:30Z"},
            {"host": "127.0.0.1:8080", "blocked_until": "2026-11-23T10:15:40Z"},
        )
        await self.store.heartbeat(session.session_id, Beat(hosts=budgets))
        (shown,) = await self.store.sessions()
        self.assertEqual(shown.hosts, budgets)
        self.assertEqual(shown.as_json()["hosts"], list(budgets))
        await self.store.heartbeat(session.session_id, Beat())
        self.assertNotIn("hosts", (await self.store.sessions())[0].as_json())

    async def test_a_heartbeat_of_an_ended_session_is_refused(self) -> None:
        """A heartbeat does not raise the dead."""
        session = await self.session()
        await self.store.reap([session.session_id])
        await self.refused("session_expired", self.store.heartbeat(session.session_id, Beat()))
        await self.refused("session_expired", self.store.heartbeat(fresh_id(), Beat()))
        self.assertEqual(await self.store.sessions(), [])

    async def test_a_goodbye_gives_jobs_back_unharmed(self) -> None:
        """A session that ends politely leaves its jobs in the queue with nothing counted against them."""
        session = await self.session()
        ref = await self.running(session)
        for _ in range(2):
            await self.store.end_session(session.session_id, "drained")
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.losses, job.failures, job.releases), ("queued", 0, 0, 1))
        self.assertEqual(await self.store.sessions(), [])

    async def test_unknown_sessions_are_ignored_where_it_is_harmless(self) -> None:
        """Detaching, ending and reaping sessions that are not there does nothing."""
        for session_id in (fresh_id(), "no session"):
            await self.store.detach_session(session_id)
            await self.store.end_session(session_id, "bye")
            self.assertEqual(await self.store.reap([session_id]), [])

    async def test_adopting_gives_time_to_come_back(self) -> None:
        """A server that starts gives its crawlers, and those of servers that are gone, time before they are
        reaped."""
        mine = await self.session("mine")
        stale = await self.session("stale", server_id=OTHER_SERVER)
        await self.advance(LEASE_LENGTH + 1)
        adopted = await self.store.adopt_sessions(SERVER, 60.0)
        self.assertEqual({s.session_id for s in adopted}, {mine.session_id, stale.session_id})
        await self.advance(59)
        self.assertEqual(await self.store.reap(), [])
        await self.advance(2)
        self.assertEqual(len(await self.store.reap()), 2)

    async def test_adopting_never_shortens(self) -> None:
        """A deadline that is later than the grace stays."""
        session = await self.session()
        await self.store.adopt_sessions(SERVER, 1.0)
        await self.advance(LEASE_LENGTH - 1)
        self.assertEqual(await self.store.reap(), [])
        self.assertEqual(len(await self.store.sessions()), 1, session)
