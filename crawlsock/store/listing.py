"""Say what a store promises about lists, counts, trees and charts; a part of `crawlsock.store.interface.IStore`.

What holds for every verb stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from twisted.internet.defer import Deferred
from zope.interface import Interface

from crawlsock.store.listing_values import ItemSum, JobCount, Matched, Minute, SessionRate, Standing, TreePage, Verb
from crawlsock.store.values import JobFilter, JobPage, JobView, ProgressView, Scope


class IListing(Interface):
    """Answer what people look at."""

    def jobs(filter: JobFilter) -> Deferred[JobPage]:
        """Return one page of jobs in the order of `filter.sort`.

        A store that would have to look at very many jobs may stop before the page is full; then it says `searched_to`
        and goes on from there with `next_cursor`. Every job that is there all the time comes exactly once, in order.
        Errors: ``invalid_message`` for a cursor that is of no page, or of one with another sort.
        """

    def live_jobs() -> Deferred[int]:
        """Return how many jobs are not finished: what a limit of the queue is about. Cheap, also with many jobs."""

    def job_counts() -> Deferred[dict[str, int]]:
        """Return the number of jobs in every state, zeros included."""

    def progress_of(scope: Scope, job_id: str | None = ..., account: str | None = ...) -> Deferred[ProgressView]:
        """Return progress of a job, of it and all below it, of an account, or of everything.

        Errors: ``unknown_job`` for scopes ``job`` and ``tree``; ``unknown_account``.
        """

    def census() -> Deferred[list[JobCount]]:
        """Count all jobs by account, type and state; combinations without jobs are left out. Looks at every job."""

    def item_sums() -> Deferred[list[ItemSum]]:
        """Sum the items of all jobs by account. Looks at every job."""

    def rates() -> Deferred[list[SessionRate]]:
        """Return the pace of all jobs that are with a crawler, by session and account, where there is one."""

    def control_jobs(verb: Verb, filter: JobFilter, *, reason: str | None, actor: str) -> Deferred[Matched]:
        """Cancel, pause, resume or retry jobs that match, `filter.limit` at the most, newest first.

        Each job is treated as inside a tree by the verb of that name: one that is in the wrong state, or whose key is
        taken, is passed over. Asked again with `next_cursor` until there is none, it has gone over all jobs that were
        there at the beginning.
        """

    def job_tree(job_id: str, limit: int, cursor: str | None = ...) -> Deferred[TreePage]:
        """Return the jobs right below a job, oldest first, each with the sums of it and all below it.

        Errors: ``unknown_job``.
        """

    def standing(job_id: str) -> Deferred[Standing]:
        """Return what `crawlsock.jobs.explain` wants to know of a job. Errors: ``unknown_job``."""

    def oldest_queued(accounts: frozenset[str] | None) -> Deferred[JobView | None]:
        """Return the queued job that has been due for longest, None if none is due. `accounts` None is all."""

    def add_activity(minutes: Sequence[Minute], server_id: str, before: datetime) -> Deferred[None]:
        """Add what this server saw to what is recorded of those minutes, and forget those earlier than `before`."""

    def activity(since: datetime, accounts: frozenset[str] | None) -> Deferred[list[Minute]]:
        """Return the minutes from `since` on in which something happened, oldest first, summed over everything."""
