"""
The list of jobs over a million jobs: how long the store takes for a page, for many filters, first pages and deep ones.

One JSON object a line: one for each kind of question (milliseconds of its pages: median, 95th of a hundred, most), one
for all of them, one for the counts. ``cpu`` is the time that database and store worked on a page together: it is the
same on a busy machine, where the time that passes is not. The rows are made in SQL: 4 types, 50 accounts, 5 hosts, a
thousand trees, all states, with progress and failures. Pages are followed by their cursors, and a page that stopped at
its budget is followed like any other; ``stopped`` says how many did. ``--jobs N`` makes fewer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import attrs
import psycopg2
from twisted.internet import task
from twisted.internet.defer import Deferred

from benchmarks import stage
from benchmarks.meter import machine
from benchmarks.stage import say
from crawlsock.store.database import Database
from crawlsock.store.migrate import Migrator
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.values import JobFilter

JOBS: Final = 1_000_000
TREES: Final = 1000
PAGES: Final = 12
"""Pages of each list: the first ones, and then as many from its middle."""
PERIOD: Final = timedelta(days=30)
LIMIT: Final = 50.0
"""Milliseconds that a page may take."""
SERVER: Final = "00000000-0000-4000-8000-00000000000a"

# Foreign keys go first: checking them row by row takes longer than making the rows.
_FILL: Final = """
DO $$
DECLARE
    key record;
BEGIN
    FOR key IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
               WHERE contype = 'f' AND connamespace = 'crawlsock'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', key.place, key.conname);
    END LOOP;
END $$;
SET synchronous_commit = off;
INSERT INTO crawlsock.account (account, host)
SELECT 'account-' || n, 'gitlab-' || n % 5 || '.example.com' FROM generate_series(1, 50) AS n;
INSERT INTO crawlsock.crawler_session
    (session_id, crawler_id, server_id, ticket_hash, slots, lease_length, deadline)
SELECT md5('session' || n)::uuid, 'crawler-' || n, '{server}', decode(md5('ticket' || n), 'hex'), 200, 30,
       now() + interval '1 day'
FROM generate_series(1, 200) AS n;
CREATE FUNCTION pg_temp.made_at(n int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT now() - interval '30 days' + n * (interval '30 days' / {jobs}) $$;
-- As the server makes them: version 7, which begins with the time.
CREATE FUNCTION pg_temp.job_id(n int) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM pg_temp.made_at(n)) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 5, 15))::uuid $$;
CREATE TEMP TABLE made AS
SELECT n, pg_temp.job_id(n) AS job_id, pg_temp.job_id(tree) AS root_id,
       CASE WHEN n <> tree THEN pg_temp.job_id(tree) END AS parent_id,
       'account-' || tree % 50 + 1 AS account, 'gitlab-' || (tree % 50 + 1) % 5 || '.example.com' AS host,
       CASE WHEN n = tree THEN 'discover_namespaces' WHEN n % 17 = 0 THEN 'crawl_group'
            WHEN n % 13 = 0 THEN 'crawl_user' ELSE 'crawl_project' END AS type,
       pg_temp.made_at(n) AS created_at,
       CASE WHEN dice < 700 THEN 'completed' WHEN dice < 800 THEN 'failed' WHEN dice < 850 THEN 'cancelled'
            WHEN dice < 930 THEN 'queued' WHEN dice < 940 THEN 'paused' WHEN dice < 960 THEN 'waiting_credential'
            WHEN dice < 965 THEN 'assigned' ELSE 'running' END AS state,
       (n * 7 % 3)::smallint AS priority, n * 31 % 12 AS failure
FROM (SELECT n, n % {trees} AS tree, abs(hashint4(n)) % 1000 AS dice
      FROM generate_series(0, {jobs} - 1) AS n) AS numbers;
INSERT INTO crawlsock.job
    (job_id, root_id, parent_id, account, type, host, entity_id, namespace_path, name, payload, created_at)
SELECT job_id, root_id, parent_id, account, type, host, n::text,
       'group-' || n % 977 || '/subgroup-' || n % 89 || '/project-' || n,
       'Project ' || n || ' of ' || (ARRAY['tools', 'billing', 'compiler', 'website', 'mobile'])[n % 5 + 1],
       jsonb_build_object('note', repeat('x', 100)), created_at
FROM made ORDER BY n;
INSERT INTO crawlsock.job_queue
    (job_id, state, priority, attempt, run_at, assigned_at, started_at, finished_at, session_id, lease, root_id,
     account, type, reason, created_at, fingerprint)
SELECT job_id, state, priority, 1, created_at, created_at, created_at,
       CASE WHEN state IN ('completed', 'failed', 'cancelled') THEN created_at + interval '1 minute' END,
       CASE WHEN state IN ('assigned', 'running') THEN md5('session' || n % 200 + 1)::uuid END,
       CASE WHEN state NOT IN ('queued', 'paused', 'waiting_credential') THEN md5('lease' || n)::uuid END,
       root_id, account, type, CASE WHEN state = 'failed' THEN 'HTTPError' END, created_at,
       CASE WHEN state = 'failed' THEN 'fingerprint-' || failure END
FROM made ORDER BY n;
INSERT INTO crawlsock.job_progress (job_id, attempt, seq, stage, entities, percent, rate)
SELECT job_id, 1, 1, 'fetching', jsonb_build_object(
           'issues', jsonb_build_object('discovered', 100, 'processed', n % 100, 'failed', n % 2, 'total', 100),
           'merge_requests', jsonb_build_object('discovered', 40, 'processed', n % 40, 'failed', 0, 'total', 40)),
       50, CASE WHEN state = 'running' THEN 12.5 END
FROM made WHERE state NOT IN ('queued', 'paused', 'waiting_credential') ORDER BY n;
INSERT INTO crawlsock.error_group
    (fingerprint, account, error_type, category, severity, title, count, last_job_id, last_message)
SELECT 'fingerprint-' || failure, account, 'HTTPError', 'host', 'warning', 'HTTPError', count(*),
       (array_agg(job_id))[1], 'x'
FROM made WHERE state = 'failed' GROUP BY failure, account;
DROP TABLE made"""


def questions(now: datetime) -> Iterator[tuple[str, JobFilter]]:
    """Yield what people ask, each under the kind of question that it is."""
    tree = "{root}"
    for sort in ("newest", "oldest", "queue"):
        yield "everything", JobFilter(sort=sort)
    for state in ("queued", "assigned", "running", "completed", "failed", "cancelled", "paused", "waiting_credential"):
        states = frozenset({state})
        yield "state", JobFilter(states=states)
        yield "state", JobFilter(states=states, sort="oldest")
        yield "state and account", JobFilter(states=states, account="account-7")
        yield "state and type", JobFilter(states=states, type="crawl_group")
        yield "state and type", JobFilter(states=states, type="discover_namespaces")
        yield "state and host", JobFilter(states=states, host="gitlab-3.example.com")
        yield "state and tree", JobFilter(states=states, root_id=tree)
        yield (
            "state, account, type and search",
            JobFilter(states=states, account="account-7", type="crawl_user", search="compiler"),
        )
    yield "several states", JobFilter(states=frozenset({"queued", "assigned", "running"}))
    yield "several states", JobFilter(states=frozenset({"failed", "cancelled"}), sort="oldest")
    for account in ("account-1", "account-50", "nobody"):
        yield "account", JobFilter(account=account)
    yield "token's accounts", JobFilter(accounts=frozenset({"account-1", "account-2", "account-3"}))
    yield "token's accounts", JobFilter(accounts=frozenset(f"account-{n}" for n in range(1, 31)))
    for kind in ("discover_namespaces", "crawl_group", "crawl_user", "crawl_project", "nothing_like_it"):
        yield "type", JobFilter(type=kind)
        yield "type and account", JobFilter(type=kind, account="account-7")
    for host in ("gitlab-1.example.com", "elsewhere.example.com"):
        yield "host", JobFilter(host=host)
    yield "tree", JobFilter(root_id=tree)
    yield "children", JobFilter(parent_id=tree)
    yield "crawler", JobFilter(crawler_id="crawler-5")
    yield "failure", JobFilter(error="fingerprint-3")
    yield "failure", JobFilter(error="fingerprint-3", account="account-7", states=frozenset({"failed"}))
    for search in ("compiler", "project-123456", "PROJECT 77777 OF", "no such words", "group-5/subgroup-9/"):
        yield "search", JobFilter(search=search)
        yield "search and account", JobFilter(search=search, account="account-7")
        yield "search and state", JobFilter(search=search, states=frozenset({"failed"}))
        yield "search in the queue's order", JobFilter(search=search, sort="queue")
    yield "time", JobFilter(created_after=now - PERIOD / 2, created_before=now - PERIOD / 3)
    yield "time", JobFilter(created_after=now - PERIOD / 2, sort="oldest", states=frozenset({"failed"}))
    yield "time", JobFilter(created_before=now - PERIOD / 2, account="account-7", search="billing")


class Work:
    """Tell how long the database's processes and this one have worked, in milliseconds."""

    def __init__(self, dsn: str) -> None:
        self._pids: list[int] = []
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            self._pids = [row[0] for row in cursor.fetchall()]
        connection.close()

    def so_far(self) -> float:
        """Return it; 0 where the system does not tell, or the database is elsewhere."""
        try:
            backends = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self._pids)
        except OSError:
            return 0.0
        return (backends + time.process_time_ns()) / 1e6


class Bench:
    """Ask the store, and keep how long it took."""

    def __init__(self, store: PostgresStore, jobs: int, work: Work) -> None:
        self.store = store
        self.jobs = jobs
        self.work = work
        self.times: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.stopped: dict[str, int] = {}

    async def ask(self, kind: str, wanted: JobFilter) -> None:
        """Follow one list: its first pages, then pages from its middle."""
        now = datetime.now(timezone.utc)
        starts = [wanted]
        if wanted.sort == "newest" and wanted.created_before is None:
            starts.append(attrs.evolve(wanted, created_before=now - PERIOD / 2))
        for start in starts:
            cursor: str | None = None
            for _ in range(PAGES // len(starts)):
                worked, began = self.work.so_far(), time.perf_counter()
                page = await self.store.jobs(attrs.evolve(start, cursor=cursor))
                self.times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
                self.cpu.setdefault(kind, []).append(self.work.so_far() - worked)
                self.stopped[kind] = self.stopped.get(kind, 0) + (page.searched_to is not None)
                cursor = page.next_cursor
                if cursor is None:
                    break

    async def root(self) -> str:
        """Return the root of some tree."""
        page = await self.store.jobs(JobFilter(type="discover_namespaces", account="account-7", limit=1))
        return page.jobs[0].job_id

    async def run(self) -> None:
        """Ask everything, print what it took."""
        root = await self.root()
        asked = list(questions(datetime.now(timezone.utc)))
        for _, wanted in asked[:5]:
            await self.store.jobs(wanted)
        for kind, wanted in asked:
            names: dict[str, Any] = {
                name: root for name in ("root_id", "parent_id") if getattr(wanted, name) is not None
            }
            await self.ask(kind, attrs.evolve(wanted, **names))
        for kind, times in self.times.items():
            cpu = figures(self.cpu[kind])
            show(what=kind, pages=len(times), stopped=self.stopped[kind], **figures(times), cpu=cpu)
        every = [each for times in self.times.values() for each in times]
        cpu = figures([each for times in self.cpu.values() for each in times])
        show(what="all", pages=len(every), jobs=self.jobs, within_limit=max(every) <= LIMIT, **figures(every), cpu=cpu)
        for name in ("census", "item_sums", "rates", "job_counts"):
            began = time.perf_counter()
            await getattr(self.store, name)()
            show(what=f"count: {name}", milliseconds=round((time.perf_counter() - began) * 1000, 1))
        for name, call in (
            ("job_tree", lambda: self.store.job_tree(root, 50)),
            ("standing", lambda: self.store.standing(root)),
            ("oldest_queued", lambda: self.store.oldest_queued(None)),
            ("oldest_queued of accounts", lambda: self.store.oldest_queued(frozenset({"account-7"}))),
        ):
            began = time.perf_counter()
            await call()
            show(what=name, milliseconds=round((time.perf_counter() - began) * 1000, 1))


def figures(times: list[float]) -> dict[str, float]:
    """Return median, 95th of a hundred and most, in milliseconds."""
    ninety_fifth = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return {"p50_ms": round(median(times), 2), "p95_ms": round(ninety_fifth, 2), "max_ms": round(max(times), 2)}


def show(**values: Any) -> None:
    """Print one figure."""
    sys.stdout.write(json.dumps({"benchmark": "jobs_list", **values}) + "\n")
    sys.stdout.flush()


def fill(dsn: str, jobs: int) -> None:
    """Make the rows, and let the database learn what they are like."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM crawlsock.job")
        (there,) = cursor.fetchone() or (0,)
        if not there:
            cursor.execute(_FILL.format(jobs=jobs, trees=min(TREES, jobs), server=SERVER))
            cursor.execute("VACUUM ANALYZE")
    connection.close()


async def measure(reactor: Any, dsn: str, jobs: int) -> None:
    """Fill a database and ask it."""
    database = Database(reactor, dsn, size=2, statement_deadline=120.0)
    database.start()
    try:
        await database.when_up()
        await Migrator(database, "bench").apply()
        say(f"making {jobs} jobs")
        began = time.monotonic()
        fill(dsn, jobs)
        say(f"made in {time.monotonic() - began:.0f} s")
        store = PostgresStore(reactor, database, server_id=SERVER)
        await store.census()
        await Bench(store, jobs, Work(dsn)).run()
    finally:
        await database.stop()


def main() -> None:
    """Measure on an embedded PostgreSQL, or on the scratch database that ``--database`` names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs_list", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--database", help="an empty database to use instead of an embedded one, or one filled before")
    options = parser.parse_args()

    def run(dsn: str) -> None:
        show(what="machine", **machine(dsn))
        task.react(lambda reactor: Deferred.fromCoroutine(measure(reactor, dsn, options.jobs)))

    if options.database:
        run(options.database)
        return
    with stage.directory() as home, stage.postgres(home) as postgres:
        run(postgres.dsn("jobs_list"))


if __name__ == "__main__":
    main()
