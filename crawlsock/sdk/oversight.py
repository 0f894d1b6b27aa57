"""
What a dashboard and an operator ask of a server: many jobs at once, why, how it all is, and orders to others.

The law: as in `manager.py`. What is sent in several messages says so, and may be sent again after an error: each of
them acts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from crawlsock.wire.message import Message

Rows = list[dict[str, Any]]
Page = tuple[Rows, str | None]

MOST_AT_ONCE = 1000
"""Jobs that one `job_control` touches at most."""


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(texts)


@attrs.frozen(kw_only=True)
class JobFilter:
    """
    Which jobs: those that match all that is given; nothing given is every job that one may see.

    :ivar states: any of these. :ivar error: the fingerprint of a group of errors.
    :ivar root_id: the tree below this job; `parent_id`: what this job discovered.
    :ivar created_after: RFC 3339, inclusive; `created_before`: exclusive.
    :ivar search: text in the name, the path or the entity.
    """

    states: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    type: str | None = None
    account: str | None = None
    host: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    crawler_id: str | None = None
    error: str | None = None
    search: str | None = None
    created_after: str | None = None
    created_before: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is given, as the protocol has it."""
        body = {each.name: getattr(self, each.name) for each in attrs.fields(JobFilter)}
        body["states"] = list(self.states) or None
        return _given(**body)


class Oversight:
    """The part of `JobManager` for those who look after everything."""

    async def request(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        *,
        job_id: str | None = None,
        deadline: float | None = None,
    ) -> Message:
        """Send a request; the manager has it."""
        raise NotImplementedError

    # Jobs.

    async def control(
        self,
        verb: str,
        jobs: JobFilter,
        *,
        reason: str | None = None,
        on_way: Callable[[int], object] | None = None,
    ) -> int:
        """
        Cancel, pause, resume or retry (`verb`) all jobs that match, a thousand a message. Returns how many.

        Jobs of a state that does not allow it are passed over. After an error it may be called again: what it did
        it does not do twice.

        :param on_way: told how many there were so far, after each message.
        """
        data: dict[str, Any] = {"verb": verb, "filter": jobs.fields(), "limit": MOST_AT_ONCE}
        if reason is not None:
            data["reason"] = reason
        affected: int = 0
        while True:
            answer = (await self.request("job_control", data)).data
            affected += int(answer["affected"])
            if on_way is not None:
                on_way(affected)
            if answer.get("next_cursor") is None:
                return affected
            data["cursor"] = answer["next_cursor"]

    async def explain(self, job_id: str) -> dict[str, Any]:
        """Get why a job is not running now (or that it is): `{"state", "runs", "reasons": [...]}`."""
        return (await self.request("job_explain", {}, job_id=job_id)).data

    async def tree(self, job_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """
        Get what a job discovered, each child with the sums of all below it (`below`), oldest first.

        :returns: a page, and the cursor of the next one, if any.
        """
        data = (await self.request("job_tree", _given(limit=limit, cursor=cursor), job_id=job_id)).data
        return data["children"], data.get("next_cursor")

    async def counts(self, *, account: str | None = None, type: str | None = None) -> dict[str, int]:
        """Count jobs by state."""
        counts: dict[str, int] = (await self.request("job_counts", _given(account=account, type=type))).data["jobs"]
        return counts

    async def overview(self) -> dict[str, Any]:
        """Get what one looks at first: jobs, rates, crawlers, health, host budgets, the last incidents."""
        return (await self.request("overview_get")).data

    # What went wrong.

    async def errors(
        self,
        *,
        account: str | None = None,
        error_type: str | None = None,
        category: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """
        List errors in groups: the same type and message, but for its numbers and names, is one group.

        :param sort: `recent` or `frequent`.
        :returns: a page, and the cursor of the next one, if any.
        """
        wishes = _given(
            account=account, error_type=error_type, category=category, sort=sort, limit=limit, cursor=cursor
        )
        data = (await self.request("error_list", wishes)).data
        return data["groups"], data.get("next_cursor")

    async def error(
        self, fingerprint: str, *, account: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> dict[str, Any]:
        """Get one group of errors: `{"group", "occurrences", "next_cursor"?}`."""
        data = _given(fingerprint=fingerprint, account=account, limit=limit, cursor=cursor)
        return (await self.request("error_get", data)).data

    async def incidents(
        self,
        *,
        open: bool | None = None,
        account: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """
        List incidents, newest first: what the server found worth telling somebody.

        :param open: only those that are not over (`True`), or only those that are.
        :returns: a page, and the cursor of the next one, if any.
        """
        wishes = _given(open=open, account=account, limit=limit, cursor=cursor)
        data = (await self.request("incident_list", wishes)).data
        return data["incidents"], data.get("next_cursor")

    # Orders.

    async def queues(self) -> dict[str, Any]:
        """Get the queues: `{"queues": [{"job_type"?, "paused", "jobs", ...}], "limits"}`."""
        return (await self.request("queue_list")).data

    async def pause_queue(self, job_type: str | None = None, *, reason: str | None = None) -> None:
        """Stop giving out jobs of a type, or of all types. What runs goes on."""
        await self.request("queue_pause", _given(job_type=job_type, reason=reason))

    async def resume_queue(self, job_type: str | None = None) -> None:
        """Give out jobs of a type, or of all types, again."""
        await self.request("queue_resume", _given(job_type=job_type))

    async def command(self, crawler_id: str, command: str, *, reason: str | None = None) -> None:
        """Let a crawler `pause`, `resume`, `drain` (hand back its jobs and end), or `disconnect` it."""
        await self.request("crawler_command", _given(crawler_id=crawler_id, command=command, reason=reason))

    async def login(self) -> Mapping[str, Any]:
        """
        Make a link that signs in to the dashboard, once and soon: `{"url", "expires_at"}`.

        Who follows it may what this manager's token may.
        """
        return (await self.request("login_create")).data


def _given(**wishes: Any) -> dict[str, Any]:
    return {name: wish for name, wish in wishes.items() if wish is not None}
