"""A client of GitLab's REST API for one job: it asks until there is an answer worth having.

Law: what is transient (429, 5xx, a broken connection, a body that is no JSON) is waited out here and never
becomes a failed attempt before `page_deadline`; what is about the credential is renewed here, and the same
page asked for again; what is about one resource (403, 404 and their like) is raised as `ResourceRefused`
for the caller to record. Tokens travel in headers, to the job's own origin only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, cast
from urllib.parse import quote

import orjson
from attrs import Factory, define, field, frozen
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from crawlsock.gitlab.hosts import Origin
from crawlsock.gitlab.limits import RateBudget, full_jitter, read_allowance, read_retry_after
from crawlsock.gitlab.paging import Cursor, Item, Page, PagingBroken, count, following, page_url
from crawlsock.gitlab.transport import Answer, NetworkFailed, Transport
from crawlsock.sdk import Credential, HostBudget, Job, JobFailed, RequestDetails

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_HEADERS = {"oauth": ("Authorization", "Bearer {}"), "personal": ("PRIVATE-TOKEN", "{}")}
_BASE_HEADERS: Mapping[str, str] = {"Accept": "application/json", "User-Agent": "crawlsock"}


class ResourceRefused(Exception):
    """Say that GitLab will not give this resource, whoever asks how often. `status` is the HTTP status."""

    def __init__(self, status: int, reason: str, url: str) -> None:
        super().__init__(status, reason, url)
        self.status = status
        self.reason = reason
        self.url = url


@frozen
class ClientSettings:
    """How a client behaves. Times in seconds, sizes in bytes.

    `requests_per_job` and `requests_per_host` bound what is under way at once; `page_deadline` is how long
    one page may be tried for in all, counted from its first failure.
    """

    per_page: int = 100
    requests_per_job: int = 16
    requests_per_host: int = 64
    page_deadline: float = 900.0
    request_timeout: float = 60.0
    body_limit: int = 64 * 1024 * 1024
    redirects: int = 5
    renewals: int = 8
    backoff_base: float = 0.5
    backoff_cap: float = 30.0


@define
class HostLoad:
    """What all jobs of one process share towards one host: places for requests, and a rate budget for each
    account.
    """

    places: DeferredSemaphore
    budgets: dict[str, RateBudget] = field(factory=dict)

    def budget(self, account: str) -> RateBudget:
        """Return the budget of an account: GitLab counts requests by who asks."""
        return self.budgets.setdefault(account, RateBudget())


@define
class Loads:
    """The load on every host that this process talks to."""

    requests_per_host: int
    _hosts: dict[Origin, HostLoad] = field(factory=dict)

    def of(self, origin: Origin) -> HostLoad:
        """Return what is shared towards this host."""
        if origin not in self._hosts:
            self._hosts[origin] = HostLoad(DeferredSemaphore(self.requests_per_host))
        return self._hosts[origin]

    def host_budgets(self, now: float, wall_clock: float) -> list[HostBudget]:
        """Say what each host allows; of several accounts at one host, what holds us up most."""
        found = []
        for origin, load in self._hosts.items():
            standings = [each for budget in load.budgets.values() if (each := budget.standing(now)) is not None]
            if standings:
                worst = min(standings, key=lambda each: each.ease)
                found.append(
                    HostBudget(
                        origin.name[:255],
                        worst.limit,
                        worst.left,
                        _moment(wall_clock, worst.reset_in),
                        _moment(wall_clock, worst.blocked_for),
                    )
                )
        return found


def _moment(now: float, seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(now + seconds, timezone.utc)


class _Broken(Exception):
    """An answer with status 200 that is not what was asked for."""


@define
class GitLabClient:
    """Ask one GitLab on behalf of one job."""

    job: Job
    origin: Origin
    transport: Transport
    load: HostLoad
    clock: IReactorTime
    settings: ClientSettings = ClientSettings()
    draw: Callable[[], float] = random.random
    wall_clock: Callable[[], float] = time.time
    _places: DeferredSemaphore = field(
        init=False,
        default=Factory(lambda self: DeferredSemaphore(self.settings.requests_per_job), takes_self=True),
    )
    _log: Logger = field(init=False, factory=Logger)

    async def one(self, path: str, parameters: Mapping[str, str]) -> Item:
        """Return a single resource. Raises `ResourceRefused`; `JobFailed` after the deadline."""
        found, _, _ = await self._ask(page_url(self.origin, path, parameters, None), _read_object)
        return cast(Item, found)

    async def page(
        self, path: str, parameters: Mapping[str, str], cursor: Cursor | None, *, keyset: bool = False
    ) -> Page:
        """Return one page of a list.

        `cursor` None is the first page. `keyset` asks for keyset pagination there; a GitLab that knows none
        for this list (405, or an answer by page numbers) is asked by offset. Raises `ResourceRefused`;
        `JobFailed` after the deadline.
        """
        query = {**parameters, "per_page": str(self.settings.per_page)}
        first = cursor is None
        if first and not keyset:
            cursor = 1
        elif first:
            query["pagination"] = "keyset"
        try:
            url = page_url(self.origin, path, query, cursor)
            items, answer, url = await self._ask(url, _read_list)
            headers = answer.headers
            return Page(
                items,
                following(self.origin, headers, url, cursor),
                count(headers, "x-total"),
                count(headers, "x-total-pages"),
            )
        except ResourceRefused as refused:
            if first and keyset and refused.status == 405:
                return await self.page(path, parameters, 1)
            raise
        except PagingBroken as broken:
            raise JobFailed("paging_broken", f"{path}: {broken}") from broken

    async def _ask(self, url: str, read: Callable[[Answer], Any]) -> tuple[Any, Answer, str]:
        """Fetch until there is a result; return it with its answer and the URL that gave it (after
        redirects).
        """
        deadline = None
        failures = renewals = redirects = 0
        while True:
            credential, answer, trouble = await self._attempt(url)
            wait: float | None = None
            if answer is not None:
                status = answer.status
                if status == 200:
                    try:
                        return read(answer), answer, url
                    except _Broken as broken:
                        trouble = str(broken)
                elif status == 401:
                    renewals += 1
                    await self._renew(credential, renewals, url)
                    continue
                elif status in _REDIRECTS:
                    redirects += 1
                    url = self._redirected(url, answer, redirects)
                    continue
                elif status not in _TRANSIENT:
                    raise ResourceRefused(status, _reason(answer), url)
                else:
                    trouble = f"HTTP {status}"
                    wait = read_retry_after(answer.headers, self.wall_clock())
                    if status == 429:
                        wait = self._refused_for_rate(answer, wait)
            failures += 1
            if deadline is None:
                # From the first failure on: to wait while paused, or for a rate limit, is no trouble with the page.
                deadline = self.clock.seconds() + self.settings.page_deadline
            pause = full_jitter(failures, self.draw, base=self.settings.backoff_base, cap=self.settings.backoff_cap)
            # A moment more than what was asked for, so that those who wait together do not all come at its
            # first instant.
            pause = pause if wait is None else wait + pause / 10
            if self.clock.seconds() + pause > deadline:
                raise JobFailed(
                    "gitlab_unavailable",
                    f"no usable answer in {self.settings.page_deadline:g} s; last: {trouble}",
                    retry_after=wait,
                    request=RequestDetails("GET", url[:1024], answer.status if answer is not None else 0),
                )
            self._log.debug("Waited {pause} s before asking again: {trouble}", pause=pause, trouble=trouble, url=url)
            await self._sleep(pause)

    async def _attempt(self, url: str) -> tuple[Credential | None, Answer | None, str]:
        """Make one request when its turn has come; return the credential it carried and the answer or what
        went wrong.
        """
        await self.job.checkpoint()
        budget = self.load.budget(self.job.account)
        await self._places.acquire()
        try:
            while wait := budget.take(self.clock.seconds()):
                await self._sleep(min(wait, 60.0) + 0.01)
                await self.job.checkpoint()
            await self.load.places.acquire()
            try:
                credential = self.job.credential
                headers = dict(_BASE_HEADERS)
                if credential is not None:
                    name, form = _HEADERS[credential.kind]
                    headers[name] = form.format(credential.access_token)
                try:
                    answer = await self.transport.get(url, headers)
                except NetworkFailed as failed:
                    return credential, None, str(failed)
            finally:
                self.load.places.release()
        finally:
            self._places.release()
        allowance = read_allowance(answer.headers, self.wall_clock())
        if allowance is not None:
            budget.saw(allowance, self.clock.seconds())
        return credential, answer, ""

    async def _renew(self, used: Credential | None, renewals: int, url: str) -> None:
        """Make sure that the next request carries another credential than the one refused; raise when there
        is none.
        """
        details = RequestDetails("GET", url[:1024], 401)
        if used is None:
            raise JobFailed("unauthorized", "GitLab wants a token and the account has none", False, request=details)
        if renewals > self.settings.renewals:
            raise JobFailed("unauthorized", f"GitLab refused {self.settings.renewals} renewed tokens", request=details)
        current = self.job.credential
        # Somebody else's request, or the server by itself, may have renewed it while ours was under way.
        if current is None or current.generation == used.generation:
            await self.job.refresh_credential(used)

    def _redirected(self, url: str, answer: Answer, redirects: int) -> str:
        target = self.origin.own(answer.headers.get("location", ""), base=url)
        if "location" not in answer.headers or target is None:
            raise ResourceRefused(answer.status, "redirected to another host", url)
        if redirects > self.settings.redirects or target == url:
            raise ResourceRefused(answer.status, "redirected too often", url)
        return target

    def _refused_for_rate(self, answer: Answer, wait: float | None) -> float | None:
        """Hold all requests of this account for as long as GitLab says, if it says; return that."""
        if wait is None:
            allowance = read_allowance(answer.headers, self.wall_clock())
            wait = allowance.reset_in if allowance is not None and allowance.left == 0 else None
        if wait is not None:
            self.load.budget(self.job.account).block(wait, self.clock.seconds())
        return wait

    async def _sleep(self, seconds: float) -> None:
        await deferLater(self.clock, seconds)


def area_path(entity: str) -> str:
    """Quote an area's id or full path as one part of a URL path."""
    return quote(entity, safe="")


def _read(answer: Answer) -> object:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise _Broken(f"the answer is no JSON: {error}"[:200]) from None


def _read_object(answer: Answer) -> Item:
    found = _read(answer)
    if not isinstance(found, dict):
        raise _Broken("the answer is no JSON object")
    return found


def _read_list(answer: Answer) -> list[Item]:
    found = _read(answer)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _Broken("the answer is no JSON array of objects")
    return found


def _reason(answer: Answer) -> str:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    text = (body.get("message") or body.get("error")) if isinstance(body, dict) else None
    return text[:200] if isinstance(text, str) else f"HTTP {answer.status}"
