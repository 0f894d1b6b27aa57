"""Put together what there is to see at a glance.

The law: nothing is counted or decided here; each number comes from who knows it, and what a peer may not see is left
out.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from crawlsock.server.census import Census, by_state
from crawlsock.store.listing_values import JobCount, Minute
from crawlsock.store.views import rfc3339

if TYPE_CHECKING:
    from crawlsock.server.operations import OperationsDesk
    from crawlsock.store.interface import IStore

MINUTES: Final = 60
"""How far back the charts go."""
INCIDENTS: Final = 5
_MOST_TYPES: Final = 256
_MOST_HOSTS: Final = 256


class Overview:
    """Answers ``overview_get`` and ``job_counts``."""

    def __init__(self, clock: IReactorTime, store: IStore, census: Census, operations: OperationsDesk) -> None:
        self._clock = clock
        self._store = store
        self._census = census
        self._operations = operations

    def counts(self, accounts: frozenset[str] | None, type: str | None) -> Deferred[dict[str, Any]]:
        """Fire with the data of ``job_counts_response``; `accounts` None is all."""
        return Deferred.fromCoroutine(self._counts(accounts, type))

    async def _counts(self, accounts: frozenset[str] | None, type: str | None) -> dict[str, Any]:
        taken = await self._census.jobs(accounts)
        rows = [row for row in taken.value if type is None or row.type == type]
        return {"jobs": by_state(rows), "counts_at": rfc3339(taken.at)}

    def types(self, accounts: frozenset[str] | None) -> Deferred[dict[str, Any]]:
        """Fire with the jobs of each type by state, and when they were counted; `accounts` None is all."""

        async def counted() -> dict[str, Any]:
            taken = await self._census.jobs(accounts)
            return {"types": _types(taken.value), "jobs": by_state(taken.value), "counts_at": rfc3339(taken.at)}

        return Deferred.fromCoroutine(counted())

    def read(self, accounts: frozenset[str] | None) -> Deferred[dict[str, Any]]:
        """Fire with the data of ``overview_response``, as a peer sees it that is bound to accounts, or to none."""
        return Deferred.fromCoroutine(self._overview(accounts))

    async def _overview(self, accounts: frozenset[str] | None) -> dict[str, Any]:
        now = self._now()
        jobs = await self._census.jobs(accounts)
        items = await self._census.items(accounts)
        crawlers = await self._operations.crawlers()
        data: dict[str, Any] = {
            "at": rfc3339(now),
            "counts_at": rfc3339(jobs.at),
            "jobs": by_state(jobs.value),
            "items": {
                "processed": sum(row.processed for row in items.value),
                "failed": sum(row.failed for row in items.value),
                "at": rfc3339(items.at),
            },
            "types": _types(jobs.value),
            "rate": sum(row.rate for row in await self._census.rates(accounts)),
            "activity": await self._activity(now, accounts),
            "crawlers": _crawlers(crawlers),
        }
        data["incidents"] = [
            each.as_json() for each in (await self._store.incidents(accounts, limit=INCIDENTS)).incidents
        ]
        if accounts is None:
            # Which hosts others use, and how the installation is, is not for those who are here for some accounts.
            data["hosts"] = _hosts(crawlers, now)
            data["health"] = self._operations.health()
        oldest = await self._store.oldest_queued(accounts)
        if oldest is not None:
            shown = {"job_id": oldest.job_id, "type": oldest.type, "run_at": rfc3339(oldest.run_at)}
            if oldest.name is not None:
                shown["name"] = oldest.name
            # A job may be due from long before it was submitted.
            since = max(oldest.run_at, oldest.created_at)
            data["oldest_queued"] = {**shown, "waited": max(0.0, (now - since).total_seconds())}
        return data

    async def _activity(self, now: datetime, accounts: frozenset[str] | None) -> list[dict[str, Any]]:
        last = now.replace(second=0, microsecond=0)
        minutes = [last - timedelta(minutes=number) for number in range(MINUTES - 1, -1, -1)]
        seen = {each.minute: each for each in await self._store.activity(minutes[0], accounts)}
        nothing = Minute(last, "", 0, 0, 0)
        return [
            {"minute": rfc3339(minute), "completed": each.completed, "failed": each.failed, "items": each.items}
            for minute in minutes
            for each in [seen.get(minute, nothing)]
        ]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.seconds(), timezone.utc)


def _types(rows: list[JobCount]) -> list[dict[str, Any]]:
    """Return the jobs of each type by state, the types with most jobs first."""
    types: dict[str, dict[str, int]] = {}
    for row in rows:
        states = types.setdefault(row.type, {})
        states[row.state] = states.get(row.state, 0) + row.jobs
    most = sorted(types, key=lambda name: (-sum(types[name].values()), name))
    return [{"type": name, "jobs": types[name]} for name in most[:_MOST_TYPES]]


def _crawlers(crawlers: list[dict[str, Any]]) -> dict[str, int]:
    states = [each["state"] for each in crawlers]
    return {
        **{state: states.count(state) for state in ("connected", "away", "paused", "draining")},
        "slots": sum(each["slots"] for each in crawlers),
        "jobs": sum(each["jobs"] for each in crawlers),
    }


def _hosts(crawlers: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return for each host what the crawler said that has heard from it last."""
    latest: dict[str, tuple[float, dict[str, Any]]] = {}
    for crawler in crawlers:
        for host in crawler.get("hosts", ()):
            known = latest.get(host["host"])
            if known is None or crawler["heartbeat_age"] < known[0]:
                latest[host["host"]] = (crawler["heartbeat_age"], host)
    return [
        {**host, "at": rfc3339(now - timedelta(seconds=age))}
        for age, host in (latest[name] for name in sorted(latest)[:_MOST_HOSTS])
    ]
