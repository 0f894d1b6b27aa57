"""`python -m benchmarks.chaos`: crawl while processes are killed, stopped and restarted at random.

Each round is one crawl of a sample GitLab by three crawlers, with a server and its embedded PostgreSQL. While it runs,
faults come at random times; then it is left alone, and must end by itself with the sample's counts and every item once
on disk. One JSON object a round on stdout; the exit code is 1 when a round was not whole. A seed repeats the choice and
the order of the faults, not their exact moments.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
from attrs import define, field
from twisted.internet import task
from twisted.internet.defer import Deferred

from benchmarks.stage import say
from crawlsock.postgres import EmbeddedPostgres
from crawlsock.sdk import JobManager, NewJob
from tests.integration.fault_case import postmaster_of
from tests.integration.postgres import execute, public_temporary_directory
from tests.integration.processes import Child, Children, TooLate, listens, python, reactor, twistd, until
from tests.integration.sample import Sample, shared_sample, written

CRAWLERS: Final = ("one", "two", "three")
HEARTBEAT: Final = 0.5
LEASE: Final = 2.0
OPTIONS: Final = (
    "--http-endpoint=none",
    f"--heartbeat-interval={HEARTBEAT}",
    f"--lease-length={LEASE}",
    "--resume-grace=5",
    "--reap-interval=0.1",
    "--progress-interval=0.1",
    "--reconnect-spread=0.2",
    "--drain-timeout=2",
    # Crawlers are killed far more often here than any job could be to blame for.
    "--poison-limit=1000",
)
LEFT: Final = "SELECT count(*) FROM crawlsock.job_queue WHERE finished_at IS NULL"
TABLES: Final = ("job", "job_queue", "job_assignment", "job_progress", "job_result", "crawler_session", "job_error")
STATES: Final = "SELECT state, count(*) FROM crawlsock.job_queue GROUP BY 1"
COSTS: Final = "SELECT sum(losses), sum(releases), sum(failures), max(attempt) FROM crawlsock.job_queue"


@define
class Round:
    """One crawl, and what is done to it."""

    directory: Path
    sample: Sample
    chance: random.Random
    faults: Counter[str] = field(factory=Counter)
    crawlers: dict[str, Child] = field(factory=dict)
    children: Children = field(init=False)
    served: Child = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.children = Children(self.directory / "logs")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def socket(self) -> Path:
        return self.data / "run" / "crawlsock.sock"

    async def start(self) -> str:
        """Start everything and submit the crawl; return the id of its root."""
        await self.serve()
        for name in CRAWLERS:
            self.crawl(name)
        token = (self.data / "tokens" / "webapp").read_text().strip()
        manager = JobManager(str(self.socket), token, reactor=reactor)
        await manager.start(deadline=20)
        try:
            await manager.credential_put("sample", self.sample.url, "personal", self.sample.token)
            [status] = await manager.submit(NewJob("discover_namespaces", account="sample", host=self.sample.url))
        finally:
            await manager.stop()
        return str(status.job_id)

    async def serve(self) -> None:
        """Start the server and wait until it serves."""
        command = twistd("-n", "--pidfile=", "crawlsock", f"--data-dir={self.data}", *OPTIONS)
        self.served = self.children.begin("server", command)
        await until("the server serves", lambda: listens(self.socket) or not self.served.alive, 60)

    def crawl(self, name: str) -> None:
        """Start a crawler."""
        words: list[str | Path] = ["--data-dir", self.data, "--crawler-id", name, "--output", self.directory / "output"]
        command = python("crawlsock.cli", "crawl", *words, "--allowed-host", self.sample.url)
        self.crawlers[name] = self.children.begin(name, command)

    # -- faults

    async def kill_a_crawler(self) -> None:
        name = self.chance.choice(CRAWLERS)
        self.crawlers[name].kill()
        self.crawl(name)

    async def drain_a_crawler(self) -> None:
        name = self.chance.choice(CRAWLERS)
        await self.crawlers[name].terminated(60)
        self.crawl(name)

    async def freeze_a_crawler(self) -> None:
        name = self.chance.choice(CRAWLERS)
        self.crawlers[name].freeze()
        await self.pause(self.chance.uniform(0.1, 2 * LEASE))
        self.crawlers[name].thaw()

    async def kill_the_server(self) -> None:
        self.served.kill()
        await self.pause(self.chance.uniform(0, LEASE))
        await self.serve()

    async def restart_the_server(self) -> None:
        await self.served.terminated(60)
        await self.serve()

    async def freeze_the_server(self) -> None:
        self.served.freeze()
        await self.pause(self.chance.uniform(0.1, 2 * LEASE))
        self.served.thaw()

    async def kill_postgres(self) -> None:
        cluster = EmbeddedPostgres(self.data / "postgres").running_cluster()
        if cluster is None:
            return
        try:
            postmaster = postmaster_of(cluster.dsn())
        except psycopg2.OperationalError:
            return
        for process in [postmaster, *postmaster.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def kill_a_backend(self) -> None:
        self._ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                  "AND backend_type = 'client backend' ORDER BY random() LIMIT 1")  # fmt: skip

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await task.deferLater(reactor, seconds)

    # -- questions

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database; nothing when it is away."""
        cluster = EmbeddedPostgres(self.data / "postgres").running_cluster()
        if cluster is None:
            return []
        try:
            return execute(cluster.dsn(), sql)
        except psycopg2.OperationalError:
            return []

    def over(self) -> bool:
        """Tell whether no job is left."""
        return self._ask(LEFT) == [(0,)]

    # -- the round

    async def run(self, count: int, patience: float) -> dict[str, Any]:
        """Do the round; return what came of it."""
        began = reactor.seconds()
        await self.start()
        faults: Sequence[Callable[[], Awaitable[None]]] = (
            self.kill_a_crawler,
            self.drain_a_crawler,
            self.freeze_a_crawler,
            self.kill_the_server,
            self.restart_the_server,
            self.freeze_the_server,
            self.kill_postgres,
            self.kill_a_backend,
        )
        for _ in range(count):
            await self.pause(self.chance.uniform(0.1, 1.0))
            if self.over():
                break
            fault = self.chance.choice(faults)
            self.faults[fault.__name__] += 1
            await fault()
        try:
            await until("the crawl ends", self.over, patience)
        except TooLate:
            sys.stderr.write(self.children.tails())
        return self.outcome(reactor.seconds() - began)

    def outcome(self, seconds: float) -> dict[str, Any]:
        """Return what the rows and the files say."""
        states = {state: int(number) for state, number in self._ask(STATES)}
        losses, releases, failures, most = (self._ask(COSTS) or [(None,) * 4])[0]
        on_disk = written(self.directory / "output")
        bugs = [
            record["message"]
            for child in {child.name: child for child in self.children.children}.values()
            for record in child.records()
            if record.get("level") == "critical"
        ]
        return {
            "whole": set(states) == {"completed"} and on_disk.lines == self.sample.items and not on_disk.repeated,
            "seconds": round(seconds, 1),
            "faults": dict(self.faults),
            "jobs": states,
            "items_written": on_disk.lines,
            "items_expected": self.sample.items,
            "items_repeated": on_disk.repeated,
            "losses": losses and int(losses),
            "releases": releases and int(releases),
            "failures": failures and int(failures),
            "most_attempts": most,
            "bugs": bugs,
        }

    def end(self) -> None:
        """Leave nothing running."""
        self.children.end_all()
        (self.directory / "rows.json").write_text(
            json.dumps({table: self._ask(f"TABLE crawlsock.{table}") for table in TABLES}, default=str)
        )
        EmbeddedPostgres(self.data / "postgres").destroy()


async def measure(options: argparse.Namespace) -> bool:
    """Do all rounds; return whether each was whole, and free of bugs."""
    sample = await shared_sample(projects=options.projects, items=options.items, latency=200)
    good = True
    for number in range(options.rounds):
        seed = options.seed + number
        say(f"chaos: round {number + 1} of {options.rounds}, seed {seed}")
        this = Round(public_temporary_directory(), sample, random.Random(seed))
        try:
            result = await this.run(options.faults, options.patience)
        finally:
            this.end()
        if result["whole"] and not result["bugs"]:
            shutil.rmtree(this.directory, ignore_errors=True)
        else:
            say(f"chaos: what is left of this round is in {this.directory}")
        sys.stdout.write(json.dumps({"measurement": "chaos", "seed": seed, **result}) + "\n")
        sys.stdout.flush()
        good = good and result["whole"] and not result["bugs"]
    return good


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="crawls (default 5)")
    parser.add_argument("--faults", type=int, default=12, help="faults a crawl at most (default 12)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: another one each time")
    parser.add_argument("--projects", type=int, default=40)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to end after the last fault")
    options = parser.parse_args(arguments)

    async def run(_: object) -> None:
        if not await measure(options):
            raise SystemExit(1)

    task.react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main()
