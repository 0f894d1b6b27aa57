"""Plan how a list of jobs is found: from which index candidates come, in which order, and what is asked of each.

The law of this module: a filter in, pieces of SQL out. No value ever becomes part of the text, no connection is known.
The index is the one whose condition the fewest jobs meet, as far as the last census tells; what it does not decide is
asked of each candidate. So a page costs as many looks as there are candidates before it is full, and its reader stops
when that is too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import define, field, frozen

from crawlsock.jobs import State
from crawlsock.store.listing_values import JobCount
from crawlsock.store.postgres.base import is_uuid
from crawlsock.store.values import JobFilter
from crawlsock.wire.errors import ErrorCode, Refusal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_MERGED: Final = 16
"""Accounts of a token whose lists are merged; beyond, all jobs are gone through."""

STANDINGS: Final = {
    "queued": "q",
    "assigned": "h",
    "running": "h",
    "completed": "c",
    "failed": "f",
    "cancelled": "x",
    "paused": "p",
    "waiting_credential": "w",
}
"""The column ``job_queue.standing`` for each state."""

_MICROSECONDS: Final = "(extract(epoch FROM {}) * 1000000)::bigint"
_SEARCH: Final = "position(lower(%(search)s) IN lower(concat_ws(' ', j.name, j.namespace_path, j.entity_id))) > 0"
_WAITING: Final = "x.session_id IS NULL AND x.finished_at IS NULL AND NOT x.held_up"


@frozen
class Order:
    """Say how a list is sorted: by which columns, which comes after a place, and how a place is written."""

    by: str
    after: str
    place: str


_BY_TIME: Final = _MICROSECONDS.format("x.created_at") + " || ':' || x.job_id"
ORDERS: Final = {
    "newest": Order("{0}.created_at DESC, {0}.job_id DESC", "(x.created_at, x.job_id) < (%(at)s, %(after)s)", _BY_TIME),
    "oldest": Order("{0}.created_at, {0}.job_id", "(x.created_at, x.job_id) > (%(at)s, %(after)s)", _BY_TIME),
    "queue": Order(
        "{0}.priority DESC, {0}.run_at, {0}.job_id",
        "x.priority <= %(priority)s AND (x.priority < %(priority)s OR (x.run_at, x.job_id) > (%(at)s, %(after)s))",
        "x.priority || ':' || " + _MICROSECONDS.format("x.run_at") + " || ':' || x.job_id",
    ),
}


@frozen
class Place:
    """Name a job's place in a list: where the next page begins."""

    sort: str
    at: datetime
    job_id: str
    priority: int = 0

    @classmethod
    def read(cls, sort: str, text: str) -> Place:
        """Read a place as `ORDERS` has the database write it, or as `cursor` does. Errors: ``invalid_message``."""
        try:
            *front, micros, job_id = text.split(":")
            if (front and front[0] in ORDERS and front.pop(0) != sort) or not is_uuid(job_id):
                raise ValueError(text)
            priority = int(front[0]) if sort == "queue" else 0
            if len(front) != (sort == "queue") or abs(priority) > 1000:
                raise ValueError(text)
            return cls(sort, _EPOCH + int(micros) * _MICROSECOND, job_id, priority)
        except (ValueError, IndexError, OverflowError):
            raise Refusal(
                ErrorCode.INVALID_MESSAGE,
                "the cursor is none that was given out for this list: leave it out to start anew",
                "/data/cursor",
            ) from None

    def cursor(self) -> str:
        """Write it for whoever asks for the next page."""
        front = f"{self.sort}:{self.priority}:" if self.sort == "queue" else f"{self.sort}:"
        return f"{front}{(self.at - _EPOCH) // _MICROSECOND}:{self.job_id}"


@define
class Scan:
    """Hold the pieces of one list's SQL and the values they name.

    `table` is where candidates come from, ``job`` or ``job_queue``; `branches` are the conditions, alternatives of each
    other, under which one index has them in order.
    """

    order: Order
    table: str
    branches: list[str]
    joined: str = ""
    of_job: list[str] = field(factory=list)
    of_queue: list[str] = field(factory=list)
    values: dict[str, Any] = field(factory=dict)
    bounds: list[str] = field(factory=list)

    def parts(self, place: Place | None) -> dict[str, str]:
        """Return what fills the braces of the query ``jobs``, from a place on."""
        bounds = self.bounds if place is None else [*self.bounds, self.order.after]
        candidates = self._candidates(bounds)
        first, second, table = ("j", "q", "job_queue") if self.table == "job" else ("q", "j", "job")
        here, there = (self.of_job, self.of_queue) if self.table == "job" else (self.of_queue, self.of_job)
        matches = " AND ".join([f"{second}.job_id = {first}.job_id", *there])
        return {
            "source": f"({candidates}) AS {first} CROSS JOIN LATERAL ("
            f"SELECT {second}.* FROM crawlsock.{table} {second} WHERE {matches} OFFSET 0) AS {second}",
            "conditions": " AND ".join(["true", *here]),
            "order": self.order.by.format(first),
            "page_order": self.order.by.format("j"),
            "candidates": candidates,
            "place": self.order.place,
        }

    def _candidates(self, bounds: Iterable[str]) -> str:
        order = self.order.by.format("x")
        selects = [
            f"(SELECT x.* FROM {self.joined or f'crawlsock.{self.table} x'} WHERE {' AND '.join([branch, *bounds])} "
            f"ORDER BY {order} LIMIT %(budget)s)"
            for branch in self.branches
        ]
        if len(selects) == 1:
            return selects[0][1:-1]
        return f"SELECT x.* FROM ({' UNION ALL '.join(selects)}) AS x ORDER BY {order} LIMIT %(budget)s"


def plan(filter: JobFilter, counts: Iterable[JobCount] | None) -> Scan | None:
    """Return how to find the jobs, None when no job can match.

    `counts` is a census, perhaps an old one: it only says which way is shorter.
    """
    states = _states(filter)
    accounts = _accounts(filter)
    ids = (filter.root_id, filter.parent_id)
    if not states or accounts == [] or any(each is not None and not is_uuid(each) for each in ids):
        return None
    scan = Scan(ORDERS[filter.sort], "job", ["true"])
    _choose(scan, filter, states, accounts, counts)
    own = "j" if scan.table == "job" else "q"
    conditions = scan.of_job if own == "j" else scan.of_queue
    if len(states) < len(State):
        scan.of_queue.append("q.state = ANY (%(states)s)")
        scan.values["states"] = states
    if accounts is not None:
        conditions.append(f"{own}.account = ANY (%(accounts)s)")
        scan.values["accounts"] = accounts
    for name, column in (("type", f"{own}.type"), ("root_id", f"{own}.root_id")):
        if getattr(filter, name) is not None:
            conditions.append(f"{column} = %({name})s")
            scan.values[name] = getattr(filter, name)
    for name in ("parent_id", "host"):
        if getattr(filter, name) is not None:
            scan.of_job.append(f"j.{name} = %({name})s")
            scan.values[name] = getattr(filter, name)
    if filter.search is not None:
        scan.of_job.append("j.job_id = %(search)s" if is_uuid(filter.search) else _SEARCH)
        scan.values["search"] = filter.search
    for bound, comparison in (("created_after", ">="), ("created_before", "<")):
        if getattr(filter, bound) is not None:
            scan.bounds.append(f"x.created_at {comparison} %({bound})s")
            scan.values[bound] = getattr(filter, bound)
    return scan


def _states(filter: JobFilter) -> list[str]:
    every = {state.value for state in State}
    chosen = (filter.states & every) if filter.states else every
    if filter.sort == "queue":
        chosen = chosen & {State.QUEUED.value}
    return sorted(chosen)


def _accounts(filter: JobFilter) -> list[str] | None:
    if filter.account is None:
        return None if filter.accounts is None else sorted(filter.accounts)
    if filter.accounts is not None and filter.account not in filter.accounts:
        return []
    return [filter.account]


def _choose(
    scan: Scan, filter: JobFilter, states: list[str], accounts: list[str] | None, counts: Iterable[JobCount] | None
) -> None:
    """Choose where candidates come from."""
    if filter.sort == "queue":
        scan.table, scan.branches = "job_queue", [_WAITING]
        return
    if filter.search is not None and is_uuid(filter.search):
        scan.branches = ["x.job_id = %(search)s"]
        return
    if filter.crawler_id is not None:
        scan.table = "job_queue"
        scan.joined = (
            "crawlsock.crawler_session s"
            " JOIN crawlsock.job_queue x ON x.session_id = s.session_id AND x.finished_at IS NULL"
        )
        scan.branches = ["s.crawler_id = %(crawler_id)s AND s.ended_at IS NULL"]
        scan.values["crawler_id"] = filter.crawler_id
        return
    if filter.parent_id is not None:
        scan.branches = ["x.parent_id = %(parent_id)s"]
        return
    if filter.root_id is not None:
        scan.branches = ["x.root_id = %(root_id)s"]
        return
    _, scan.table, scan.branches = min(_ways(filter, states, accounts, list(counts or ())), key=lambda way: way[0])


def _ways(
    filter: JobFilter, states: list[str], accounts: list[str] | None, counts: list[JobCount]
) -> Iterator[tuple[float, str, list[str]]]:
    """Yield each index that can give candidates: how many there are, its table, its branches.

    Without a census states are taken for rarer than accounts, and these for rarer than types.
    """
    yield float("inf"), "job", ["true"]
    standings = sorted({STANDINGS[state] for state in states})
    if len(states) < len(State):
        # A branch a standing; the letters are ours.
        branches = [f"x.standing = '{standing}'" for standing in standings]
        held = {state for state, standing in STANDINGS.items() if standing in standings}
        yield _sum(counts, 1, lambda row: row.state in held), "job_queue", branches
    if accounts is not None and len(accounts) <= _MOST_MERGED:
        chosen = frozenset(accounts)
        size = _sum(counts, 2, lambda row: row.account in chosen)
        yield size, "job", [f"x.account = (%(accounts)s)[{n}]" for n in range(1, len(accounts) + 1)]
    if filter.type is not None:
        yield _sum(counts, 3, lambda row: row.type == filter.type), "job", ["x.type = %(type)s"]


def _sum(counts: list[JobCount], unknown: float, wanted: Any) -> float:
    return sum(row.jobs for row in counts if wanted(row)) if counts else unknown
