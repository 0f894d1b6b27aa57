"""Claims about incidents and the outbox."""

from __future__ import annotations

from typing import Any

from crawlsock.store.records_values import Finding, IncidentView, Outgoing, Recorded, Watched
from crawlsock.store.values import Failure
from tests.store.contract.base import StoreContract, fresh_id

COOL_DOWN = 100.0


class Noticing(StoreContract):
    """What the rules find is recorded once, and what people must be told waits until it is sent."""

    async def record(self, *findings: Finding, channels: tuple[str, ...] = ("webhook",)) -> Recorded:
        """Record findings."""
        return await self.store.record_incidents(findings, (), channels, COOL_DOWN)

    async def close(self, channels: tuple[str, ...] = ("webhook",)) -> Recorded:
        """Close all that are open."""
        over = [(each.incident_id, each.counted) for each in (await self.watch()).open]
        return await self.store.record_incidents((), over, channels, COOL_DOWN)

    async def watch(self, window: float = 60, threshold: int = 3, stalled_after: float = 30) -> Watched:
        """Look at what the rules look at."""
        return await self.store.watch(window, threshold, stalled_after)

    async def outgoing(self, *channels: str, limit: int = 10) -> list[Outgoing]:
        """Take from the outbox."""
        return await self.store.take_notifications(channels or ("webhook",), 30.0, limit)

    async def listed(self, **wanted: Any) -> list[IncidentView]:
        """Return the incidents of one page."""
        return (await self.store.incidents(**wanted)).incidents

    async def failing(self, message: str = "boom", **fields: Any) -> None:
        """Let a job fail for good."""
        await self.store.fail(await self.running(**fields), Failure("KeyError", message, False))

    # -- incidents

    async def test_an_incident_is_opened_once(self) -> None:
        """The same thing found again is the same incident; it counts up and never down."""
        self.assertEqual(await self.record(finding(count=2)), Recorded(1, 0, 1))
        self.assertEqual(await self.record(finding(count=5, title="worse")), Recorded(0, 0, 0))
        self.assertEqual(await self.record(finding(count=3)), Recorded(0, 0, 0))
        (incident,) = await self.listed()
        self.assertEqual((incident.kind, incident.count, incident.title), ("job_poison", 5, "worse"))
        self.assertEqual((incident.account, incident.severity, incident.closed_at), ("default", "critical", None))
        kinds = [event["kind"] for event in await self.events() if event["kind"].startswith("incident")]
        self.assertEqual(kinds, ["incident_opened", "incident_counted"])

    async def test_subjects_and_accounts_are_apart(self) -> None:
        """Another subject, another account, another kind is another incident."""
        await self.account("acme")
        await self.record(finding(), finding(subject="other"), finding(account="acme"), finding(account=None))
        await self.record(finding(), finding(kind="crawler_lost"))
        self.assertEqual(len(await self.listed()), 5)
        self.assertEqual(len(await self.listed(account="acme")), 1)
        self.assertEqual(len(await self.listed(accounts=frozenset({"acme"}))), 1)
        self.assertEqual(await self.listed(accounts=frozenset()), [])

    async def test_what_is_over_is_closed(self) -> None:
        """An incident that is over is closed, and the same thing later is another one."""
        await self.record(finding())
        self.assertEqual((await self.close()).closed, 1)
        (incident,) = await self.listed()
        self.assertIsNotNone(incident.closed_at)
        self.assertEqual(await self.listed(open_only=True), [])
        await self.advance(1)
        self.assertEqual((await self.record(finding())).opened, 1)
        self.assertEqual([each.closed_at is None for each in await self.listed()], [True, False])

    async def test_what_counted_up_meanwhile_is_not_closed(self) -> None:
        """An ending that was decided on an old count closes nothing."""
        await self.record(finding())
        over = [(each.incident_id, each.counted) for each in (await self.watch()).open]
        await self.record(finding(count=2))
        self.assertEqual((await self.store.record_incidents((), over, (), COOL_DOWN)).closed, 0)
        self.assertEqual(len(await self.listed(open_only=True)), 1)

    async def test_what_is_over_already_is_recorded_closed(self) -> None:
        """Something that was there and is over is one closed incident, also when several servers noticed."""
        lost = finding(kind="database_lost", subject="", account=None, away=20.0)
        self.assertEqual(await self.record(lost), Recorded(1, 0, 1))
        await self.advance(3)
        self.assertEqual(await self.record(lost), Recorded(0, 0, 0))
        (incident,) = await self.listed()
        assert incident.closed_at is not None
        self.assertAlmostEqual((incident.closed_at - incident.opened_at).total_seconds(), 20, places=3)
        await self.advance(60)
        self.assertEqual((await self.record(lost)).opened, 1)

    async def test_incidents_come_in_pages(self) -> None:
        """Incidents come newest first, page by page."""
        for number in range(3):
            await self.record(finding(subject=str(number), title=str(number)))
            await self.advance(1)
        titles: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.store.incidents(limit=1, cursor=cursor)
            titles += [each.title for each in page.incidents]
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assertEqual(titles, ["2", "1", "0"])

    # -- who is told, and when

    async def test_people_are_told_by_every_channel(self) -> None:
        """An incident that opens is put into the outbox for each channel, as it is then."""
        self.assertEqual((await self.record(finding(count=7), channels=("webhook", "chat"))).notified, 2)
        self.assertEqual([each.channel for each in await self.outgoing("chat")], ["chat"])
        (outgoing,) = await self.outgoing()
        self.assertEqual((outgoing.event, outgoing.attempt), ("incident.opened", 1))
        (incident,) = await self.listed()
        self.assertEqual(outgoing.content["incident_id"], incident.incident_id)
        self.assertEqual((outgoing.content["count"], outgoing.content["title"]), (7, "A job took crawlers down"))
        self.assertFalse({"base", "subject", "notified_at", "closed_at"} & outgoing.content.keys())

    async def test_people_are_told_again_after_the_cool_down(self) -> None:
        """One that goes on to count up is told again, and so is the next of its kind, but not within the cool-down."""
        await self.record(finding())
        await self.advance(COOL_DOWN / 2)
        self.assertEqual((await self.record(finding(count=2))).notified, 0)
        await self.advance(COOL_DOWN)
        self.assertEqual((await self.record(finding(count=2))).notified, 0)
        self.assertEqual((await self.record(finding(count=3))).notified, 1)
        self.assertEqual((await self.close()).notified, 1)
        self.assertEqual(await self.record(finding()), Recorded(1, 0, 0))
        self.assertEqual((await self.record(finding(subject="other"))).notified, 1)
        events = [each.event for each in await self.outgoing()]
        self.assertEqual(
            sorted(events), ["incident.closed", "incident.continued", "incident.opened", "incident.opened"]
        )

    async def test_one_that_nobody_was_told_of_ends_silently(self) -> None:
        """A quiet finding, or one without channels, is recorded; neither its begin nor its end is told."""
        self.assertEqual(await self.record(finding(quiet=True)), Recorded(1, 0, 0))
        self.assertEqual(await self.close(), Recorded(0, 1, 0))
        self.assertEqual(await self.record(finding(), channels=()), Recorded(1, 0, 0))
        self.assertEqual(await self.close(), Recorded(0, 1, 0))
        self.assertEqual((await self.record(finding())).notified, 1)

    # -- the outbox

    async def test_a_notification_has_one_taker_at_a_time(self) -> None:
        """What was taken is nobody else's until the hold is over; then it is the next one's."""
        await self.record(finding())
        (first,) = await self.outgoing()
        self.assertEqual(await self.outgoing(), [])
        await self.advance(31)
        (second,) = await self.outgoing()
        self.assertEqual((second.notification_id, second.attempt), (first.notification_id, 2))
        await self.store.settle_notification(first.notification_id, 1, "sent", None, 0)
        (shown,) = (await self.store.notifications()).notifications
        self.assertEqual((shown.state, shown.attempts), ("waiting", 2))
        await self.store.settle_notification(second.notification_id, 2, "sent", None, 0)
        (shown,) = (await self.store.notifications()).notifications
        self.assertEqual((shown.state, shown.due_at), ("sent", None))
        await self.advance(1000)
        self.assertEqual(await self.outgoing(), [])

    async def test_a_try_that_failed_is_repeated(self) -> None:
        """After a failed try comes another one, later, until it is given up."""
        await self.record(finding())
        (outgoing,) = await self.outgoing()
        await self.store.settle_notification(outgoing.notification_id, 1, "waiting", "the receiver answered 503", 5)
        self.assertEqual(await self.outgoing(), [])
        await self.advance(6)
        (outgoing,) = await self.outgoing()
        await self.store.settle_notification(outgoing.notification_id, 2, "failed", "the receiver answered 410", 0)
        await self.advance(1000)
        self.assertEqual(await self.outgoing(), [])
        (shown,) = (await self.store.notifications()).notifications
        self.assertEqual((shown.state, shown.last_error), ("failed", "the receiver answered 410"))
        self.assertIsNotNone(shown.ended_at)

    async def test_only_channels_asked_for_are_taken(self) -> None:
        """Who asks for a channel gets that channel's, oldest first, and no more than it wants."""
        for number in range(3):
            await self.record(finding(subject=str(number), title=str(number)), channels=("chat", "webhook"))
            await self.advance(1)
        taken = await self.outgoing("chat", limit=2)
        self.assertEqual([(each.channel, each.content["title"]) for each in taken], [("chat", "0"), ("chat", "1")])
        self.assertEqual(await self.outgoing("mail"), [])
        await self.store.settle_notification(fresh_id(), 1, "sent", None, 0)
        await self.store.settle_notification("no id", 1, "sent", None, 0)

    async def test_a_test_goes_to_every_channel(self) -> None:
        """A test is in the outbox of each channel, and in the audit."""
        made = await self.store.test_notification(["webhook", "chat"], "ann")
        self.assertEqual(sorted(channel for _, channel in made), ["chat", "webhook"])
        (outgoing,) = await self.outgoing()
        self.assertEqual(outgoing.event, "test")
        self.assertIn((outgoing.notification_id, "webhook"), made)
        self.assertEqual(await self.audited(), [("ann", "notification_test", "chat webhook")])

    async def test_notifications_come_in_pages_of_who_may_see_them(self) -> None:
        """Notifications come newest first; who is bound to accounts sees those of their incidents alone."""
        await self.account("acme")
        await self.record(finding(account="acme", title="one"))
        await self.advance(1)
        await self.record(finding(account=None, title="two"))
        first = await self.store.notifications(limit=1)
        second = await self.store.notifications(limit=1, cursor=first.next_cursor)
        self.assertEqual([each.title for each in first.notifications + second.notifications], ["two", "one"])
        self.assertIsNone(second.next_cursor)
        bound = await self.store.notifications(frozenset({"acme"}))
        self.assertEqual([each.title for each in bound.notifications], ["one"])

    async def test_old_records_are_pruned(self) -> None:
        """Incidents that ended long ago go, with what was sent; those that go on stay."""
        await self.record(finding(subject="over"))
        await self.close()
        await self.record(finding(subject="open"))
        for outgoing in await self.outgoing():
            await self.store.settle_notification(outgoing.notification_id, 1, "sent", None, 0)
        await self.advance(100)
        await self.store.prune(self.in_(-1000), self.in_(-50))
        self.assertEqual(len(await self.listed()), 1)
        self.assertEqual((await self.store.notifications()).notifications, [])

    async def test_what_nobody_takes_is_given_up(self) -> None:
        """A notification whose channel was taken away is given up after a week."""
        await self.record(finding(), channels=("chat",))
        await self.advance(6 * 86400)
        await self.store.prune(self.in_(-1e6), self.in_(-1e6))
        self.assertEqual([each.state for each in (await self.store.notifications()).notifications], ["waiting"])
        await self.advance(2 * 86400)
        await self.store.prune(self.in_(-1e6), self.in_(-1e6))
        (shown,) = (await self.store.notifications()).notifications
        self.assertEqual((shown.state, shown.last_error), ("failed", "not sent within a week"))

    # -- what the rules look at

    async def test_failures_are_counted_up_to_the_threshold(self) -> None:
        """A group that was seen within the window has its failures there, counted up to the threshold."""
        for _ in range(2):
            await self.failing()
        await self.advance(100)
        self.assertEqual((await self.watch()).groups, [])
        for _ in range(5):
            await self.failing()
        await self.failing("another thing")
        groups = {each.last_message: (each.total, each.recent) for each in (await self.watch()).groups}
        self.assertEqual(groups, {"boom": (7, 3), "another thing": (1, 1)})

    async def test_lost_crawlers_are_seen(self) -> None:
        """A crawler that was reaped is a loss; one that left politely is none."""
        await self.store.end_session((await self.session()).session_id, "done")
        session = await self.session("gone")
        await self.store.reap([session.session_id])
        (loss,) = (await self.watch()).losses
        self.assertEqual((loss.crawler_id, loss.recent), ("gone", True))
        await self.record(finding(kind="crawler_lost", subject="", account=None))
        await self.advance(61)
        self.assertEqual([loss.recent for loss in (await self.watch()).losses], [False])
        await self.close()
        self.assertEqual((await self.watch()).losses, [])

    async def test_parked_jobs_are_seen(self) -> None:
        """A job that took too many crawlers down is seen, by account and type, until it is tried again."""
        job_id = await self.submit("crawl_group")
        for _ in range(3):
            await self.store.reap([(await self.take_job(job_id)).session_id])
        (parked,) = (await self.watch()).poison
        self.assertEqual(tuple(parked), ("default", "crawl_group", 1, 1))
        await self.store.retry(job_id, tree=False, reason=None, actor="test")
        self.assertEqual((await self.watch()).poison, [])

    async def take_job(self, job_id: str) -> Any:
        """Give the job to a new crawler."""
        return await self.take(await self.session(), job_id)

    async def test_refused_credentials_are_seen(self) -> None:
        """An account whose credential was refused is seen with the jobs that wait, until there is another one."""
        await self.refused_account("acme")
        await self.submit(account="acme")
        (refused,) = (await self.watch()).refused
        self.assertEqual(
            (refused.account, refused.host, refused.reason, refused.jobs), ("acme", "gitlab.test", "revoked", 1)
        )
        await self.account("acme")
        self.assertEqual((await self.watch()).refused, [])

    async def test_jobs_that_nobody_may_take_are_seen(self) -> None:
        """Due jobs are stalled when no crawler may take them, and none was there lately that could."""
        await self.submit("crawl_group", labels=("gpu",))
        await self.submit("crawl_user")
        self.assertEqual((await self.watch()).stalled, [])
        await self.advance(40)
        stalled = {(each.type, each.labels, each.jobs) for each in (await self.watch()).stalled}
        self.assertEqual(stalled, {("crawl_group", ("gpu",), 1), ("crawl_user", (), 1)})
        self.assertGreaterEqual((await self.watch()).stalled[0].waited, 40)
        session = await self.session(labels=frozenset({"cpu"}), job_types=frozenset({"crawl_group", "crawl_user"}))
        self.assertEqual([each.type for each in (await self.watch()).stalled], ["crawl_group"])
        await self.store.end_session(session.session_id, "bye")
        self.assertEqual([each.type for each in (await self.watch()).stalled], ["crawl_group"])
        await self.advance(40)
        self.assertEqual(len((await self.watch()).stalled), 2)
        await self.store.pause_queue("crawl_user", True, None, "test")
        self.assertEqual([each.type for each in (await self.watch()).stalled], ["crawl_group"])
        await self.store.pause_queue(None, True, None, "test")
        self.assertEqual((await self.watch()).stalled, [])


def finding(**fields: Any) -> Finding:
    """Return a finding like any other, with some fields as wanted."""
    given: dict[str, Any] = {
        "kind": "job_poison",
        "severity": "critical",
        "title": "A job took crawlers down",
        "subject": "crawl_group",
        "account": "default",
        **fields,
    }
    return Finding(**given)
