"""
JobManager: what a web application uses to have things crawled and to watch.

The law: every verb is one request (or as few as the limits allow) and gives what the server said; a refusal is
`Refused`, silence is `NotAnswered`. Nothing is cached here: the truth is at the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from crawlsock.sdk.batches import batches
from crawlsock.sdk.connection import Connection
from crawlsock.sdk.errors import NotConnected
from crawlsock.sdk.hello import Welcome
from crawlsock.sdk.oversight import JobFilter, Oversight, Rows
from crawlsock.sdk.subscription import Subscription
from crawlsock.sdk.values import ItemStatus, JobView, NewJob, ProgressView
from crawlsock.sdk.waiting import wait_for_job
from crawlsock.wire.codec import Codec
from crawlsock.wire.message import Message

DEADLINE = 30.0
IN_FLIGHT = 4
"""Messages of one large submit that are on their way at once."""


class JobManager(Oversight):
    """
    Talk to a server for a web application (or, with another `role`, as `monitor` or `admin`).

    Counting, explaining, failures, incidents, and what is done to many jobs or to crawlers: `oversight.py`.

    :param endpoint: path of the server's Unix socket, or a Twisted client endpoint string.
    :param token: a token made for the role.
    :param deadline: seconds after which a call gives up, unless it is told otherwise; lost links and short
        absences of the server or its database are bridged up to then.
    """

    def __init__(
        self,
        endpoint: str | IStreamClientEndpoint,
        token: str | None = None,
        role: str = "webapp",
        reactor: Any = None,
        *,
        deadline: float = DEADLINE,
        codec: Codec | None = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.clock: IReactorTime = reactor
        self._role = role
        self._token = token
        self._deadline = deadline
        self._subscriptions: dict[str, Subscription] = {}
        self._subscribed = 0
        self.connection = Connection(endpoint, self, reactor=self.clock, codec=codec)
        self._requests = self.connection.requests

    def start(self, deadline: float | None = None) -> Deferred[Welcome]:
        """
        Connect, and stay connected until `stop()`. Calls made before are sent when there is a connection.

        :param deadline: seconds after which to give up on the first connection; default: never.
        :returns: fires at the first welcome; fails with `Refused` or `NotConnected`.
        """
        return self.connection.start(deadline)

    def stop(self) -> Deferred[None]:
        """Close the connection; subscriptions end, open calls fail with `NotConnected`."""
        for subscription in list(self._subscriptions.values()):
            subscription.close()
        return self.connection.stop()

    async def request(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        *,
        job_id: str | None = None,
        deadline: float | None = None,
    ) -> Message:
        """
        Send any request of the protocol and give the reply.

        :param deadline: seconds; default the manager's.
        :raises Refused: the server said no.
        :raises NotAnswered: there was no answer in time. Whether it acted is not known; asking again is safe.
        """
        await self._requests.room()
        limit = self._deadline if deadline is None else deadline
        return await self._requests.ask(type, data, job_id=job_id, deadline=limit)

    # Jobs.

    async def submit(self, jobs: NewJob | Iterable[NewJob], deadline: float | None = None) -> list[ItemStatus]:
        """
        Submit jobs; durable when this returns. One status an item, in order.

        Any number of jobs: they are split into messages as the limits want. Each job carries its id from here, so
        submitting the same objects again, after an error say, makes nothing twice.

        :raises Refused: a message was refused; items of earlier messages are in.
        :raises NotAnswered: there was no answer in time.
        """
        items = [jobs] if isinstance(jobs, NewJob) else jobs
        statuses: list[ItemStatus] = []
        on_their_way: list[Deferred[Message]] = []
        limit = self._deadline if deadline is None else deadline
        try:
            for batch in batches(job.fields() for job in items):
                if len(on_their_way) >= IN_FLIGHT:
                    statuses += _statuses(await on_their_way.pop(0))
                on_their_way.append(self._requests.ask("job_submit", {"jobs": batch}, deadline=limit))
            while on_their_way:
                statuses += _statuses(await on_their_way.pop(0))
        finally:
            for answer in on_their_way:
                answer.addErrback(lambda _: None)
                answer.cancel()
        return statuses

    async def cancel(self, job_id: str, *, tree: bool = False, reason: str | None = None) -> int:
        """Cancel a job, or (`tree`) it and all below it. Returns how many jobs that touched."""
        return await self._control("job_cancel", job_id, tree, reason)

    async def pause(self, job_id: str, *, tree: bool = False, reason: str | None = None) -> int:
        """Pause a job, or a tree; running jobs hold at their next checkpoint. Returns how many."""
        return await self._control("job_pause", job_id, tree, reason)

    async def resume(self, job_id: str, *, tree: bool = False, reason: str | None = None) -> int:
        """Let a paused job, or tree, go on. Returns how many."""
        return await self._control("job_resume", job_id, tree, reason)

    async def retry(self, job_id: str, *, tree: bool = False, reason: str | None = None) -> int:
        """Queue a failed or cancelled job again, or all such of a tree, with fresh attempts. Returns how many."""
        return await self._control("job_retry", job_id, tree, reason)

    async def _control(self, type: str, job_id: str, tree: bool, reason: str | None) -> int:
        data: dict[str, Any] = {"tree": True} if tree else {}
        if reason is not None:
            data["reason"] = reason
        reply = await self.request(type, data, job_id=job_id)
        return int(reply.data.get("affected", 0))

    async def get(self, job_id: str, include: Sequence[str] = ()) -> JobView:
        """
        Get a job as it is now.

        :param include: any of `errors`, `assignments`, `milestones`, `children`.
        :raises Refused: with the code `unknown_job`.
        """
        data = {"include": list(include)} if include else {}
        job: JobView = (await self.request("job_get", data, job_id=job_id)).data["job"]
        return job

    async def list(
        self,
        *,
        states: Sequence[str] = (),
        account: str | None = None,
        type: str | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        host: str | None = None,
        crawler_id: str | None = None,
        error: str | None = None,
        search: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> tuple[list[JobView], str | None]:
        """
        List jobs that match all that is given; returns a page and the cursor of the next one, if any.

        What the filters mean is said at `JobFilter`. `sort`: `newest` (first), `oldest` or `queue`.
        A page may be short, or empty, and have a next one: the server does not search for long at a time.
        """
        filter = JobFilter(
            states=states,
            account=account,
            type=type,
            root_id=root_id,
            parent_id=parent_id,
            host=host,
            crawler_id=crawler_id,
            error=error,
            search=search,
            created_after=created_after,
            created_before=created_before,
        )
        data = filter.fields()
        wishes = {"sort": sort, "limit": limit, "cursor": cursor}
        data.update({name: wish for name, wish in wishes.items() if wish is not None})
        reply = await self.request("job_list", data)
        return reply.data["jobs"], reply.data.get("next_cursor")

    async def progress(
        self, job_id: str | None = None, *, scope: str | None = None, account: str | None = None
    ) -> ProgressView:
        """
        Get progress of a `job`, the `tree` below it, an `account` or `all`.

        :param scope: default what the other arguments say: `job`, `account`, or `all`.
        """
        data: dict[str, Any] = {
            "scope": scope or ("job" if job_id is not None else "account" if account is not None else "all")
        }
        if account is not None:
            data["account"] = account
        progress: ProgressView = (await self.request("progress_get", data, job_id=job_id)).data["progress"]
        return progress

    async def wait(self, job_id: str, *, tree: bool = False, timeout: float | None = None) -> JobView:
        """
        Wait until a job, or (`tree`) it and everything below it, has ended; survives restarts of the server.

        :param timeout: seconds; default: for ever.
        :returns: the job (the tree's top) as it is then.
        :raises NotAnswered: it had not ended in time.
        :raises Refused: there is no such job, or we may not see it.
        """
        return await wait_for_job(self, job_id, tree, timeout)

    def subscribe(
        self,
        *,
        job_id: str | None = None,
        root_id: str | None = None,
        account: str | None = None,
        kinds: Sequence[str] = (),
        position: str | None = None,
    ) -> Subscription:
        """
        Follow the feed: `async for event in manager.subscribe(root_id=...)`.

        :param position: go on after this one (`Event.position`); default: a snapshot, then everything new.
        :returns: an asynchronous iterator of `Event`; it goes on after lost links, and tells of gaps with an
            event of the kind `gap`. `close()` it when there is enough.
        """
        filter: dict[str, Any] = {"kinds": list(kinds)} if kinds else {}
        wishes = {"job_id": job_id, "root_id": root_id, "account": account}
        filter.update({name: wish for name, wish in wishes.items() if wish is not None})
        self._subscribed += 1
        name = f"s{self._subscribed}"
        subscription = Subscription(name, self._requests, filter, position, self._forget)
        self._subscriptions[name] = subscription
        if self.connection.connected:
            subscription.begin()
        return subscription

    # Everything else.

    async def credential_put(
        self,
        account: str,
        host: str,
        kind: str,
        access_token: str,
        *,
        refresh_token: str | None = None,
        expires_at: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        token_url: str | None = None,
    ) -> None:
        """Store or renew an account's credential; `kind` is `oauth` or `personal`."""
        data = {"account": account, "host": host, "kind": kind, "access_token": access_token}
        wishes = {
            "refresh_token": refresh_token,
            "expires_at": expires_at,
            "client_id": client_id,
            "client_secret": client_secret,
            "token_url": token_url,
        }
        data.update({name: wish for name, wish in wishes.items() if wish is not None})
        await self.request("credential_put", data)

    async def accounts(self) -> Rows:
        """List accounts and the state of their credentials; never a secret."""
        accounts: Rows = (await self.request("account_list")).data["accounts"]
        return accounts

    async def crawlers(self) -> Rows:
        """List crawlers: state, jobs, memory, when they were last heard of."""
        crawlers: Rows = (await self.request("crawler_list")).data["crawlers"]
        return crawlers

    async def status(self) -> dict[str, Any]:
        """Get the server's own state: jobs by state, crawlers, database, uptime."""
        return (await self.request("status_get")).data

    # What the connection asks and tells (Peer).

    def introduction(self) -> dict[str, Any]:
        body: dict[str, Any] = {"role": self._role}
        if self._token is not None:
            body["token"] = self._token
        return body

    def held(self) -> Sequence[str]:
        return ()

    def welcomed(self, welcome: Welcome) -> None:
        for subscription in list(self._subscriptions.values()):
            subscription.begin()

    def session_lost(self) -> None:
        """Nothing hangs on a session here."""

    def link_lost(self) -> None:
        """Requests and subscriptions go on by themselves."""

    def refused(self, reason: Exception) -> None:
        for subscription in list(self._subscriptions.values()):
            subscription.fail(NotConnected(str(reason)))

    def pushed(self, message: Message) -> None:
        if message.type == "event":
            subscription = self._subscriptions.get(message.data["subscription"])
            if subscription is not None:
                subscription.take(message.data)

    def turn_ends(self) -> None:
        """Nothing is said unasked."""

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.name, None)


def _statuses(reply: Message) -> list[ItemStatus]:
    return [ItemStatus.of(item) for item in reply.data["items"]]
