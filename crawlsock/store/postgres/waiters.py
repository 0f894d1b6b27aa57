"""Say each kind of write as JSON for the group commit, and hand its answer back.

The law of this module: one class a kind of write, made for every message and therefore small. The short names are those
that the SQL functions of ``0002_apply.sql`` and ``0003_jobs.sql`` read. No SQL and no connection here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.store.values import Assignment, Beat, Demand, ItemError, ItemStatus, JobRef, Progress
from crawlsock.wire.errors import ErrorCode, Refusal

SPAN = 10_000
"""Items that one message may hold: the database numbers them message * SPAN + item."""


def lease_lost() -> Refusal:
    """Return the refusal of a message whose lease is not, or no longer, the job's."""
    return Refusal(
        ErrorCode.LEASE_LOST,
        "the job is no longer yours: it was given back, ended, or taken by another crawler",
    )


def session_expired() -> Refusal:
    """Return the refusal of a heartbeat for a session that has ended."""
    return Refusal(
        ErrorCode.SESSION_EXPIRED,
        "the session has ended and its jobs have been given back: say hello without resume",
    )


class Write:
    """One write under a lease: what it says, and who waits for it."""

    __slots__ = ("body", "deferred", "ref")

    def __init__(self, ref: JobRef, body: dict[str, Any]) -> None:
        self.ref = ref
        self.body = body
        self.deferred: Deferred[Any] = Deferred()

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        job_id, lease, session_id = self.ref
        return ({"i": index, "j": job_id, "l": lease, "s": session_id, **self.body},)

    def answer(self, answer: Any) -> None:
        self.deferred.callback(answer)

    def refuse(self, refusal: Refusal) -> None:
        self.deferred.errback(refusal)


class Report:
    """All reports on one assignment that one batch holds, folded to the last; each sender gets the one answer."""

    __slots__ = ("entities", "finish", "latest", "message", "ref", "resume_state", "waiting")

    def __init__(self, ref: JobRef, progress: Progress, finish: Callable[[JobRef, Progress], Progress]) -> None:
        self.ref = ref
        self.latest = progress
        self.entities = progress.entities
        self.message = progress.message
        self.resume_state = progress.resume_state
        self.finish: Callable[[JobRef, Progress], Progress] | None = finish
        self.waiting: list[Deferred[None]] = []

    def fold(self, progress: Progress) -> None:
        """Take a later report: counts, message and resume state that it leaves out stay."""
        if progress.seq <= self.latest.seq:
            return
        self.latest = progress
        if progress.message is not None:
            self.message = progress.message
        if progress.resume_state is not None:
            self.resume_state = progress.resume_state
        before, after = self.entities, progress.entities
        for kind, counts in before.items():
            later = after.get(kind)
            if later is None or not later.keys() >= counts.keys():
                self.entities = {**before, **{name: {**before.get(name, {}), **after[name]} for name in after}}
                return
        # Nothing is left out: what came before counts for nothing, and is not even looked at.
        self.entities = after

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        if self.finish is not None:
            # Once, when the batch closes: the estimate is about what is committed, not about each message.
            last = self.latest
            folded = Progress(last.seq, last.stage, self.entities, self.message, self.resume_state)
            self.latest = self.finish(self.ref, folded)
            self.finish = None
        job_id, lease, session_id = self.ref
        seq, stage, entities, message, resume_state, percent, rate, time_left = self.latest
        item: dict[str, Any] = {
            "i": index,
            "j": job_id,
            "l": lease,
            "s": session_id,
            "n": seq,
            "g": stage,
            "e": entities,
        }
        for name, value in (("m", message), ("r", resume_state), ("pc", percent), ("rt", rate), ("tl", time_left)):
            if value is not None:
                item[name] = value
        return (item,)

    def answer(self, answer: Any) -> None:
        for deferred in self.waiting:
            deferred.callback(answer)

    def refuse(self, refusal: Refusal) -> None:
        for deferred in self.waiting:
            deferred.errback(refusal)


class Heartbeat:
    """One beat of one session."""

    __slots__ = ("beat", "deferred", "session_id")

    def __init__(self, session_id: str, beat: Beat) -> None:
        self.session_id = session_id
        self.beat = beat
        self.deferred: Deferred[None] = Deferred()

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        beat = {
            "status": self.beat.status,
            "active_jobs": len(self.beat.active_jobs),
            "totals": self.beat.totals,
            "memory_bytes": self.beat.memory_bytes,
            "cpu_percent": self.beat.cpu_percent,
            "uptime_seconds": self.beat.uptime_seconds,
            "hosts": self.beat.hosts,
        }
        return ({"i": index, "s": self.session_id, "b": beat},)

    def answer(self, answer: Any) -> None:
        self.deferred.callback(answer)

    def refuse(self, refusal: Refusal) -> None:
        self.deferred.errback(refusal)


class Submission:
    """The jobs of one submit, with the statuses that are known before the database is asked."""

    __slots__ = ("deferred", "items", "statuses")

    def __init__(self, items: dict[int, dict[str, Any]], statuses: dict[int, ItemStatus]) -> None:
        self.items = items
        self.statuses = statuses
        self.deferred: Deferred[list[ItemStatus]] = Deferred()

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        return [{"i": index * SPAN + number, **item} for number, item in self.items.items()]

    def settle(self, answer: Sequence[tuple[int, str, str | None]] | None) -> list[ItemStatus]:
        """Return the status of every item, in order."""
        if answer is None:
            # All were created now: the database spares itself the list.
            answer = [(number, "created", item["j"]) for number, item in self.items.items()]
        for number, status, job_id in answer:
            self.statuses[number] = self._status(number, status, job_id)
        return [self.statuses[number] for number in sorted(self.statuses)]

    def answer(self, answer: list[ItemStatus]) -> None:
        self.deferred.callback(answer)

    def _status(self, number: int, status: str, job_id: str | None) -> ItemStatus:
        if status == "created":
            return ItemStatus("created", job_id)
        if status == "duplicate":
            return ItemStatus("duplicate", job_id)
        if status == "unknown_account":
            message = f"there is no account {self.items[number]['account']!r}: store its credential first"
            return ItemStatus("invalid", None, ItemError(ErrorCode.UNKNOWN_ACCOUNT.value, message, "/account"))
        message = "another account has a job of this id: leave job_id out, or choose a fresh UUID"
        return ItemStatus("invalid", None, ItemError(ErrorCode.DUPLICATE.value, message, "/job_id"))

    def refuse(self, refusal: Refusal) -> None:
        self.deferred.errback(refusal)


class Discovery(Submission):
    """The children that one message reports, under the lease of their parent."""

    __slots__ = ("ref",)

    def __init__(self, ref: JobRef, items: dict[int, dict[str, Any]], statuses: dict[int, ItemStatus]) -> None:
        super().__init__(items, statuses)
        self.ref = ref

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        job_id, lease, session_id = self.ref
        return ({"i": index, "j": job_id, "l": lease, "s": session_id, "c": list(self.items.values())},)

    def settle(self, answer: Sequence[tuple[int, str, str | None]] | None) -> list[ItemStatus]:
        if answer is not None:
            numbers = list(self.items)
            answer = [(numbers[place], status, job_id) for place, status, job_id in answer]
        return super().settle(answer)

    def settle_cancelled(self) -> list[ItemStatus]:
        """Return the refusal of every item: the tree above is being cancelled."""
        error = ItemError(ErrorCode.INVALID_STATE.value, "the job is being cancelled and gets no children")
        return [ItemStatus("invalid", None, error) for _ in range(len(self.items) + len(self.statuses))]


class Claim:
    """One call of assign: what sessions ask for."""

    __slots__ = ("deferred", "demands")

    def __init__(self, demands: Sequence[Demand]) -> None:
        self.demands = demands
        self.deferred: Deferred[list[Assignment]] = Deferred()

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        return [
            {
                "i": index * SPAN + number,
                "s": demand.session_id,
                "n": demand.slots,
                "b": sorted(demand.labels),
                "t": None if demand.job_types is None else sorted(demand.job_types),
            }
            for number, demand in enumerate(self.demands)
        ]

    def answer(self, answer: Any) -> None:
        self.deferred.callback(answer)

    def refuse(self, refusal: Refusal) -> None:
        self.deferred.errback(refusal)
