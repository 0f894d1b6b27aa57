"""Plan how a list of jobs is found: from which index candidates come, in which order, and what is asked of each.

The law of this module: a filter in, pieces of SQL out. No value ever becomes part of the text, no connection is known.
The index is the one whose condition the fewest jobs meet, as far as the last census tells; what it does not decide is
asked of each candidate. So a page costs as many looks as there are candidates before it is full, and its reader stops
when that is too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import Factory, define, field, frozen

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
_OF_CRAWLER: Final = (
    "crawlsock.crawler_session s JOIN crawlsock.job_queue x ON x.session_id = s.session_id AND x.finished_at IS NULL"
)
_HAS: Final = (
    "q.finished_at IS NULL AND q.session_id IN (SELECT s.session_id FROM crawlsock.crawler_session s"
    " WHERE s.crawler_id = %(crawler_id)s AND s.ended_at IS NULL)"
)
# A failure is a group in each account that has it; the index has the jobs of each group in order.
_OF_ERROR: Final = (
    "crawlsock.error_group g CROSS JOIN LATERAL (SELECT x.* FROM crawlsock.job_queue x"
    " WHERE x.account = g.account AND x.failed_with = g.fingerprint AND {bounds} ORDER BY {order}"
    " LIMIT %(budget)s) AS x"
)
_EVERY: Final = frozenset(state.value for state in State)
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
    other, under which one index has them in order. `of_job` and `of_queue` are what is asked of each candidate.
    """

    order: Order
    table: str = "job"
    branches: list[str] = Factory(lambda: ["true"])
    joined: str = ""
    of_job: list[str] = field(factory=list)
    of_queue: list[str] = field(factory=list)
    values: dict[str, Any] = field(factory=dict)
    bounds: list[str] = field(factory=list)
    chosen: bool = False
    """Whether there was a choice of indexes, for which a census is good."""

    @property
    def exact(self) -> bool:
        """Tell whether every candidate matches."""
        return not self.of_job and not self.of_queue

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
        bounds = ["true", *bounds]
        joined = self.joined.format(bounds=" AND ".join(bounds), order=order)
        selects = [
            f"(SELECT x.* FROM {joined or f'crawlsock.{self.table} x'} WHERE {' AND '.join([branch, *bounds])} "
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
    wanted = _Wanted.of(filter)
    if wanted is None:
        return None
    scan = Scan(ORDERS[filter.sort])
    _ask(scan, filter, wanted, _choose(scan, filter, wanted, list(counts or ())))
    for bound, comparison in (("created_after", ">="), ("created_before", "<")):
        if getattr(filter, bound) is not None:
            scan.bounds.append(f"x.created_at {comparison} %({bound})s")
            scan.values[bound] = getattr(filter, bound)
    return scan


@frozen
class _Wanted:
    """Hold the states and accounts that a filter leaves, None for all."""

    states: frozenset[str] | None
    accounts: list[str] | None

    @classmethod
    def of(cls, filter: JobFilter) -> _Wanted | None:
        """Read a filter; None when nothing can match it."""
        if any(each is not None and not is_uuid(each) for each in (filter.root_id, filter.parent_id)):
            return None
        states = _EVERY & filter.states if filter.states else _EVERY
        if filter.sort == "queue":
            states &= {State.QUEUED.value}
        if filter.error is not None:
            states &= {State.FAILED.value}
        accounts = filter.accounts
        if filter.account is not None:
            accounts = frozenset({filter.account}) & (frozenset({filter.account}) if accounts is None else accounts)
        if not states or accounts == frozenset():
            return None
        return cls(None if states == _EVERY else states, None if accounts is None else sorted(accounts))


def _choose(scan: Scan, filter: JobFilter, wanted: _Wanted, counts: list[JobCount]) -> frozenset[str]:
    """Choose where candidates come from; return which parts of the filter that settles."""
    if filter.sort == "queue":
        scan.table, scan.branches = "job_queue", [_WAITING]
        return frozenset({"states"})
    if filter.search is not None and is_uuid(filter.search):
        scan.branches = ["x.job_id = %(search)s"]
        return frozenset({"search"})
    if filter.crawler_id is not None:
        scan.table, scan.joined = "job_queue", _OF_CRAWLER
        scan.branches = ["s.crawler_id = %(crawler_id)s AND s.ended_at IS NULL"]
        return frozenset({"crawler_id"})
    if filter.error is not None:
        scan.table, scan.joined = "job_queue", _OF_ERROR
        mine = "" if wanted.accounts is None else " AND g.account = ANY (%(accounts)s)"
        scan.branches = ["g.fingerprint = %(error)s" + mine]
        return frozenset({"error", "states", "accounts"})
    for name in ("parent_id", "root_id"):
        if getattr(filter, name) is not None:
            scan.branches = [f"x.{name} = %({name})s"]
            return frozenset({name})
    ways = list(_ways(filter, wanted, counts))
    scan.chosen = len(ways) > 2
    best = min(ways, key=lambda way: way[0])
    _, scan.table, scan.branches, settled = best
    return frozenset(settled)


def _ways(
    filter: JobFilter, wanted: _Wanted, counts: list[JobCount]
) -> Iterator[tuple[float, str, list[str], tuple[str, ...]]]:
    """Yield each index that can give candidates: how many there are, its table, its branches, and what it settles.

    Without a census states are taken for rarer than accounts, and these for rarer than types.
    """
    yield float("inf"), "job", ["true"], ()
    if wanted.states is not None:
        standings = sorted({STANDINGS[state] for state in wanted.states})
        reached = frozenset(state for state in _EVERY if STANDINGS[state] in standings)
        # A branch a standing; the letters are ours.
        branches = [f"x.standing = '{standing}'" for standing in standings]
        settled = ("states",) if reached == wanted.states else ()
        yield _sum(counts, 1, lambda row: row.state in reached), "job_queue", branches, settled
    if wanted.accounts is not None and len(wanted.accounts) <= _MOST_MERGED:
        mine = frozenset(wanted.accounts)
        branches = [f"x.account = (%(accounts)s)[{n}]" for n in range(1, len(mine) + 1)]
        yield _sum(counts, 2, lambda row: row.account in mine), "job", branches, ("accounts",)
    if filter.type is not None:
        yield _sum(counts, 3, lambda row: row.type == filter.type), "job", ["x.type = %(type)s"], ("type",)


def _sum(counts: list[JobCount], unknown: float, chosen: Callable[[JobCount], bool]) -> float:
    return sum(row.jobs for row in counts if chosen(row)) if counts else unknown


def _ask(scan: Scan, filter: JobFilter, wanted: _Wanted, settled: frozenset[str]) -> None:
    """Ask of each candidate what its source does not settle."""
    here = "j" if scan.table == "job" else "q"
    questions = (
        ("states", None if wanted.states is None else sorted(wanted.states), "q", "q.state = ANY (%(states)s)"),
        ("accounts", wanted.accounts, here, f"{here}.account = ANY (%(accounts)s)"),
        ("type", filter.type, here, f"{here}.type = %(type)s"),
        ("root_id", filter.root_id, here, f"{here}.root_id = %(root_id)s"),
        ("parent_id", filter.parent_id, "j", "j.parent_id = %(parent_id)s"),
        ("host", filter.host, "j", "j.host = %(host)s"),
        ("crawler_id", filter.crawler_id, "q", _HAS),
        ("error", filter.error, "q", "q.failed_with = %(error)s"),
        ("search", filter.search, "j", "j.job_id = %(search)s" if is_uuid(filter.search or "") else _SEARCH),
    )
    for name, value, place, question in questions:
        if value is None:
            continue
        scan.values[name] = value
        if name not in settled:
            (scan.of_job if place == "j" else scan.of_queue).append(question)
