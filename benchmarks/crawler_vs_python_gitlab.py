"""Items a second of the GitLab crawler and of python-gitlab, reading the same resources of the same sample server.

The sample runs as a process of its own. python-gitlab iterates every list, one request after the other, and keeps
nothing; the crawler reads the same lists and writes every item into its files, made durable as always. Two
latencies: none, which measures Python, and 50 ms a response, as a near GitLab answers. One JSON object a line on
stdout.

By default the crawler's jobs are run from a queue in memory (`through: memory`), so that the crawler alone is
measured. With `--endpoint` they go through a running crawlsock server, with leases, durable progress and resume
states (`through: server`); its account `default` needs no credential then, the sample is asked anonymously.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import gitlab
from attrs import define, field
from twisted.internet import task, threads
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime

from crawlsock.gitlab import GitLabCrawler, TreqTransport, make_executor, threads_of
from crawlsock.sdk import Credential, Job, JobManager, NewJob


@contextmanager
def sample(projects: int, items: int, latency: float) -> Iterator[dict[str, Any]]:
    """Run a sample GitLab while the block runs; give what it says about itself."""
    command = [sys.executable, "-m", "crawlsock.demo.gitlab", "--watch-stdin", "--anonymous"]
    command += ["--projects", str(projects), "--items", str(items), "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def read_with_python_gitlab(url: str, token: str) -> int:
    """Iterate over everything with python-gitlab; return the number of items."""
    client = gitlab.Gitlab(url, private_token=token, per_page=100)
    count = 0

    def every(manager: Any, **parameters: Any) -> Iterator[Any]:
        nonlocal count
        for item in manager.list(iterator=True, **parameters):
            count += 1
            yield item

    def all_of(manager: Any, **parameters: Any) -> None:
        for _ in every(manager, **parameters):
            pass

    all_of(client.users, pagination="keyset", order_by="id", sort="asc")
    for group in every(client.groups):
        all_of(group.members)
    for project in every(client.projects, pagination="keyset", order_by="id", sort="asc"):
        for name in ("members", "labels", "milestones", "commits", "branches", "tags", "pipelines", "releases"):
            all_of(getattr(project, name))
        all_of(project.jobs, pagination="keyset")
        for thing in ("issues", "mergerequests"):
            for each in every(getattr(project, thing)):
                all_of(each.notes)
    return count


@define
class MemoryQueue:
    """Be the server of a few jobs at a time: answers at once, keeps nothing."""

    clock: IReactorTime
    credential: Credential
    host: str
    progress_interval: float = 1.0
    waiting: list[tuple[str, str | None]] = field(factory=lambda: [("discover_namespaces", None)])
    found: set[tuple[str, str]] = field(factory=set)
    number: int = 0

    def tell(
        self,
        job: Job,
        type: str,
        data: dict[str, Any],
        done: Callable[[Exception | None], None] | None = None,
    ) -> None:
        """Acknowledge."""
        if done is not None:
            done(None)

    def ask(self, job: Job, type: str, data: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Queue what was discovered."""
        items = []
        for child in data.get("jobs", ()):
            key = (child["type"], child["entity_id"])
            items.append({"status": "duplicate" if key in self.found else "created"})
            if key not in self.found:
                self.found.add(key)
                self.waiting.append(key)
        return succeed({"items": items})

    def credential_of(self, account: str) -> Credential | None:
        """Return the only credential there is."""
        return self.credential

    def refresh(self, job: Job, stale: Credential) -> Deferred[Credential]:
        """Return the only credential there is; it does not expire here."""
        return succeed(self.credential)

    def next(self) -> Job | None:
        """Assign the next job."""
        if not self.waiting:
            return None
        kind, entity = self.waiting.pop(0)
        self.number += 1
        fields = {"type": kind, "account": "default", "host": self.host, "attempt": 1}
        if entity is not None:
            fields["entity_id"] = entity
        return Job(self, f"{self.number:08d}-0000-7000-8000-000000000000", f"lease{self.number}", fields)


async def crawl_from_memory(reactor: Any, url: str, token: str, root: str, slots: int) -> int:
    """Crawl everything with so many jobs at a time; return the number of items written."""
    transport = TreqTransport.on(reactor, connections=64, timeout=60.0, body_limit=64 << 20)
    crawler = GitLabCrawler.of(transport, root, reactor, threads_of(reactor), [url])
    queue = MemoryQueue(reactor, Credential(token, "personal", 1), url)
    written = busy = 0

    async def worker() -> None:
        nonlocal written, busy
        while queue.waiting or busy:
            job = queue.next()
            if job is None:
                await task.deferLater(reactor, 0.001)
                continue
            busy += 1
            result = await crawler.handle(job)
            written += sum(file.items for file in result.files)
            busy -= 1

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(slots)], consumeErrors=True)
    await transport.close()
    return written


async def crawl_through_server(reactor: Any, endpoint: str, tokens: Path, url: str, root: str, slots: int) -> int:
    """Submit one crawl of everything to a running server and do its jobs here; return the number of items."""
    manager = JobManager(endpoint, (tokens / "webapp").read_text().strip(), reactor=reactor)
    executor = make_executor(
        endpoint,
        (tokens / "crawler").read_text().strip(),
        output_root=root,
        slots=slots,
        allowed_hosts=[url],
        reactor=reactor,
    )
    await manager.start()
    await executor.start()
    try:
        [status] = await manager.submit([NewJob("discover_namespaces", host=url)])
        assert status.job_id is not None
        await manager.wait(status.job_id, tree=True)
        progress = await manager.progress(status.job_id, scope="tree")
        return int(progress["processed"])
    finally:
        await executor.stop(drain=True)
        await manager.stop()


@click.command(context_settings={"show_default": True})
@click.option("--projects", default=12, help="Projects of the sample GitLab.")
@click.option("--items", default=4000, help="Items of the sample GitLab.")
@click.option("--latency", "latencies", multiple=True, default=(0.0, 50.0), help="Milliseconds a response.")
@click.option("--slots", default=4, help="Jobs that the crawler does at a time.")
@click.option("--endpoint", help="Go through the server that listens at this endpoint string.")
@click.option(
    "--tokens",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="That server's folder of tokens.",
)
def main(
    projects: int, items: int, latencies: tuple[float, ...], slots: int, endpoint: str | None, tokens: Path | None
) -> None:
    """Measure both, one latency after the other."""
    if endpoint is not None and tokens is None:
        raise click.UsageError("--endpoint needs --tokens")

    async def measure(reactor: Any) -> None:
        for latency in latencies:
            with sample(projects, items, latency) as described, tempfile.TemporaryDirectory() as root:
                url, token = described["url"], described["personal_tokens"][0]
                if not latency:
                    # The sample keeps the pages that it has built; without this, whoever asks first pays for them.
                    await crawl_from_memory(reactor, url, token, f"{root}/unmeasured", slots)
                    await threads.deferToThread(read_with_python_gitlab, url, token)
                begun = time.perf_counter()
                if endpoint is None or tokens is None:
                    ours = await crawl_from_memory(reactor, url, token, f"{root}/crawl", slots)
                else:
                    ours = await crawl_through_server(reactor, endpoint, tokens, url, root, slots)
                our_seconds = time.perf_counter() - begun
                begun = time.perf_counter()
                theirs = await threads.deferToThread(read_with_python_gitlab, url, token)
                their_seconds = time.perf_counter() - begun
            line = {
                "benchmark": "crawler_vs_python_gitlab",
                "latency_ms": latency,
                "through": "memory" if endpoint is None else "server",
                "items_expected": described["items_expected"],
                "crawler_items": ours,
                "python_gitlab_items": theirs,
                "crawler_items_per_second": round(ours / our_seconds, 1),
                "python_gitlab_items_per_second": round(theirs / their_seconds, 1),
                "ratio": round(ours / our_seconds * their_seconds / theirs, 2),
            }
            print(json.dumps(line), flush=True)

    task.react(lambda reactor: Deferred.fromCoroutine(measure(reactor)))


if __name__ == "__main__":
    main()
