"""A crawler process, put together: SDK executor, connections, output root.

Law: the only place that takes a reactor apart. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.threads import deferToThreadPool

from crawlsock.gitlab.handlers import JOB_TYPES, GitLabCrawler, Settings
from crawlsock.gitlab.transport import TreqTransport
from crawlsock.sdk import JobExecutor


def make_executor(
    endpoint: str | IStreamClientEndpoint,
    token: str | None = None,
    *,
    output_root: str,
    slots: int = 4,
    allowed_hosts: Iterable[str] = (),
    crawler_id: str | None = None,
    labels: Iterable[str] = (),
    settings: Settings | None = None,
    reactor: Any = None,
) -> JobExecutor:
    """Build the GitLab crawler: an executor that does its four job types; `run()` or `start()` it.

    `output_root` is made when it is missing. `allowed_hosts` are host names or URLs; with none, any host may be
    crawled over https, and plain http is for loopback addresses that are listed. Connections and the output root
    are let go of when the executor has stopped.

    Raises `HostRefused` for an allowed host that is none, `ValueError` for what the executor refuses, `OSError` when
    the output root cannot be opened: better no crawler than one that fails every job it gets.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = settings or Settings()
    transport = TreqTransport.on(
        reactor,
        connections=settings.client.requests_per_host,
        timeout=settings.client.request_timeout,
        body_limit=settings.client.body_limit,
    )
    crawler = GitLabCrawler.of(transport, output_root, reactor, threads_of(reactor), allowed_hosts, settings)
    crawler.root.open()
    executor = JobExecutor(endpoint, token, crawler_id=crawler_id, slots=slots, labels=labels, reactor=reactor)
    executor.job(*JOB_TYPES)(crawler.handle)
    executor.report_hosts(crawler.host_budgets)

    def let_go(_: object) -> Deferred[None]:
        crawler.root.close()
        return transport.close()

    executor.when_over().addBoth(let_go)
    return executor


def threads_of(reactor: Any) -> Callable[[Callable[[], Any]], Deferred[Any]]:
    """Return what runs blocking work in the reactor's threads."""
    return partial(deferToThreadPool, reactor, reactor.getThreadPool())
