"""Write jobs: what crawlers and web applications say many thousand times a second, in group commits.

The law of this module: a verb turns its values into one item of the batch now forming and returns who will be answered.
Verbs of control, which are rare and touch whole trees, go straight to their function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import uuid_utils
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from crawlsock.incidents import judge
from crawlsock.progress import ProgressTracker, merge
from crawlsock.store.activity import Activity
from crawlsock.store.batch import GroupCommit
from crawlsock.store.database import Database
from crawlsock.store.postgres.answers import answers
from crawlsock.store.postgres.base import Base, deferred, is_uuid, loads, may_be_uuid, unknown_job
from crawlsock.store.postgres.waiters import (
    Claim,
    Discovery,
    Heartbeat,
    Report,
    Submission,
    Write,
    lease_lost,
    session_expired,
)
from crawlsock.store.values import (
    Area,
    Assignment,
    Beat,
    Completion,
    Control,
    Demand,
    Failure,
    ItemError,
    ItemStatus,
    JobRef,
    NewJob,
    Order,
    Progress,
    Release,
)
from crawlsock.tally import JobTally
from crawlsock.wire.errors import ErrorCode, Refusal


def _item(job: NewJob, job_id: str) -> dict[str, Any]:
    """Return a job as crawlsock.create_jobs takes it, without what was left out."""
    item = {
        "j": job_id,
        "type": job.type,
        "host": job.host,
        "entity_id": job.entity_id,
        "namespace_path": job.namespace_path,
        "name": job.name,
        "priority": job.priority,
        "run_at": job.run_at,
        "max_attempts": job.max_attempts,
        "backoff_base": None if job.backoff is None else job.backoff.base,
        "backoff_cap": None if job.backoff is None else job.backoff.cap,
        "labels": job.labels,
        "payload": job.payload,
        "no_progress_limit": job.no_progress_limit,
        "estimated_size": job.estimated_size,
    }
    return {name: value for name, value in item.items() if value is not None}


class Jobs(Base):
    """The part of the store that creates jobs, assigns them and hears of them."""

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        *,
        server_id: str,
        server_name: str,
        tracker: ProgressTracker | None,
        poison_limit: int,
    ) -> None:
        super().__init__(database)
        self.clock = clock
        self.server_id = server_id
        self.tracker = tracker
        self.poison_limit = poison_limit
        self.server_name = server_name
        self.other_servers = 0
        self.tally = JobTally()
        self.seen = Activity()
        # Counts as they stand in the database, by lease: what a report is merged with before it is sent.
        self._recorded: dict[str, Mapping[str, Any]] = {}
        self._writer = database.writer()
        self.group = GroupCommit(
            clock,
            self._send,
            self._writer.pool.when_up,
            answers(self._recorded.__setitem__, self.tally),
            header=self._header,
            committed=self._committed,
        )
        self.work_observers: list[Callable[[], None]] = []
        self.order_observers: list[Callable[[], None]] = []
        self.event_observers: list[Callable[[], None]] = []

    def _header(self) -> dict[str, Any]:
        return {"notify": self.other_servers > 0, "from": self.server_id}

    def _send(self, batch: str) -> Deferred[str]:
        return self._writer.call("SELECT crawlsock.apply(%s::jsonb)", (batch,)).addCallback(lambda rows: rows[0][0])

    def _committed(self) -> None:
        for observer in self.event_observers:
            observer()

    def _work(self) -> None:
        for observer in self.work_observers:
            observer()

    def _away(self) -> Refusal | None:
        """Return the refusal of a write when the database is known to be away: nothing piles up in memory."""
        pool = self._writer.pool
        if pool.state == "up":
            return None
        return Refusal(ErrorCode.UNAVAILABLE, f"the database is away: {pool.reason}", retry_after=1.0)

    # -- the web application -------------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[NewJob], *, accounts: frozenset[str] | None) -> Deferred[list[ItemStatus]]:
        items: dict[int, dict[str, Any]] = {}
        statuses: dict[int, ItemStatus] = {}
        for number, job in enumerate(jobs):
            if accounts is not None and job.account not in accounts:
                error = ItemError(
                    ErrorCode.FORBIDDEN.value,
                    f"this token may not act for account {job.account!r}",
                    "/account",
                )
                statuses[number] = ItemStatus("invalid", None, error)
                continue
            item = _item(job, job.job_id or str(uuid_utils.uuid7()))
            item["account"] = job.account
            if job.job_key is not None:
                item["job_key"] = job.job_key
            items[number] = item
        if not items:
            return succeed([statuses[number] for number in sorted(statuses)])
        return self._enqueue("submit", Submission(items, statuses), wakes=True)

    def discover(self, ref: JobRef, jobs: Sequence[NewJob]) -> Deferred[list[ItemStatus]]:
        items: dict[int, dict[str, Any]] = {}
        statuses: dict[int, ItemStatus] = {}
        for number, job in enumerate(jobs):
            if job.entity_id is None:
                error = ItemError(ErrorCode.INVALID_MESSAGE.value, "a discovered job needs an entity_id", "/entity_id")
                statuses[number] = ItemStatus("invalid", None, error)
            else:
                items[number] = _item(job, job.job_id or str(uuid_utils.uuid7()))
        return self._fenced("discover", Discovery(ref, items, statuses), wakes=True)

    def cancel(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        return self._control("cancel", job_id, tree, reason, actor)

    def pause(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        return self._control("pause", job_id, tree, reason, actor)

    def resume(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        return self._control("resume", job_id, tree, reason, actor)

    def retry(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        return self._control("retry", job_id, tree, reason, actor)

    @deferred
    async def _control(self, verb: str, job_id: str, tree: bool, reason: str | None, actor: str) -> Control:
        if not is_uuid(job_id):
            raise unknown_job(job_id)
        rows = await self.function("control", verb, job_id, tree, reason, actor)
        refusal, affected, orders, other = rows[0]
        if refusal == "unknown_job":
            raise unknown_job(job_id)
        if refusal == "duplicate":
            raise Refusal(
                ErrorCode.DUPLICATE,
                f"job {other} has taken the key meanwhile: cancel it first",
                details={"job_id": other},
            )
        if refusal is not None:
            state = (await self.read("job", {"job_id": job_id}))[0][2]
            raise Refusal(ErrorCode.INVALID_STATE, f"cannot {verb} a job that is {state}")
        self._committed()
        if verb in ("resume", "retry"):
            self._work()
        return Control(affected, [Order(*order) for order in loads(orders)])

    # -- the crawler ---------------------------------------------------------------------------------------------

    def assign(self, demands: Sequence[Demand]) -> Deferred[list[Assignment]]:
        wanted = [demand for demand in demands if demand.slots > 0 and is_uuid(demand.session_id)]
        if not wanted:
            return succeed([])
        return self._enqueue("assign", Claim(wanted)).addCallback(self._given)

    def _given(self, assignments: list[Assignment]) -> list[Assignment]:
        for each in assignments:
            # What a first attempt reports is new. A later one may go on counting where another has stopped.
            self.seen.given(each.lease, each.account, 0 if each.attempt == 1 else None)
        return assignments

    def start(self, ref: JobRef) -> Deferred[None]:
        return self._fenced("start", Write(ref, {}))

    def progress(self, ref: JobRef, progress: Progress) -> Deferred[None]:
        # The hot path: reports on one assignment fold inside the batch, so most cost one Deferred and a comparison.
        waiting: Deferred[None] = Deferred()
        report = self.group.forming.folded.get(ref)
        if report is not None:
            report.fold(progress)
            report.waiting.append(waiting)
            return waiting
        refusal = self._away()
        if refusal is not None:
            return fail(refusal)
        if not may_be_uuid(ref.job_id) or not may_be_uuid(ref.session_id):
            return fail(lease_lost())
        report = Report(ref, progress, self._finish)
        report.waiting.append(waiting)
        self.group.forming.folded[ref] = report
        self.group.add("progress" if ref.lease in self._recorded else "merge", report)
        return waiting

    def areas(self, ref: JobRef, areas: Sequence[Area]) -> Deferred[None]:
        rows = [
            {
                "kind": area.kind,
                "entity_id": area.entity_id,
                "path": area.path,
                "name": area.name,
                "parent_path": area.parent_path,
                "visibility": area.visibility,
                "host": area.host,
            }
            for area in areas
        ]
        return self._fenced("area", Write(ref, {"a": rows}))

    def complete(self, ref: JobRef, completion: Completion) -> Deferred[None]:
        body: dict[str, Any] = {}
        if completion.entities:
            body["e"] = completion.entities
        if completion.files:
            body["f"] = completion.files
        if completion.summary is not None:
            body["y"] = completion.summary
        done = self._fenced("complete", Write(ref, body))
        return done.addCallback(self._ended, ref, "completed", completion.entities)

    @deferred
    async def fail(self, ref: JobRef, failure: Failure) -> str:
        judged = judge(failure.error_type, failure.message, failure.recoverable, failure.request)
        body: dict[str, Any] = {
            "v": "failed",
            "et": failure.error_type,
            "m": failure.message,
            "rec": failure.recoverable,
            "fp": judged.fingerprint,
            "ct": judged.category.value,
            "sv": judged.severity.value,
            "ti": judged.title,
        }
        more = {
            "ra": failure.retry_after,
            "rq": failure.request,
            "st": failure.stack,
            "cx": failure.context,
            "r": failure.resume_state,
            "e": failure.entities or None,
        }
        body.update((name, value) for name, value in more.items() if value is not None)
        state: str | None = await self._fenced("end", Write(ref, body), wakes=True)
        self._ended(None, ref, state, failure.entities)
        if state is None:
            # Sent again: this assignment had failed before. The answer is what the job is now.
            state = (await self.read("job", {"job_id": ref.job_id}))[0][2]
        return state

    def release(self, ref: JobRef, release: Release) -> Deferred[None]:
        return self._hand_back("released", ref, release)

    def cancelled(self, ref: JobRef, release: Release) -> Deferred[None]:
        return self._hand_back("cancelled", ref, release)

    def heartbeat(self, session_id: str, beat: Beat) -> Deferred[None]:
        if not is_uuid(session_id):
            return fail(session_expired())
        return self._enqueue("heartbeat", Heartbeat(session_id, beat))

    def _hand_back(self, verb: str, ref: JobRef, release: Release) -> Deferred[None]:
        body: dict[str, Any] = {"v": verb}
        more = {"d": release.reason or None, "r": release.resume_state, "e": release.entities or None}
        body.update((name, value) for name, value in more.items() if value is not None)
        done = self._fenced("end", Write(ref, body), wakes=True)
        return done.addCallback(self._ended, ref, None, release.entities)

    def forget_counts(self) -> None:
        """Forget what was recorded: leases have ended, or another server may have recorded more meanwhile."""
        self._recorded.clear()

    def _ended(self, _: object, ref: JobRef, state: str | None, entities: Mapping[str, Any]) -> None:
        recorded = self._recorded.pop(ref.lease, None)
        if recorded and entities:
            entities = merge(recorded, entities)
        self.seen.ended(ref.lease, state, entities, self.clock.seconds())
        if self.tracker is not None:
            self.tracker.forget(ref.job_id)

    def _finish(self, ref: JobRef, progress: Progress) -> Progress:
        """Make a report what is to be recorded: merged with what was, and with percent and pace."""
        recorded = self._recorded.get(ref.lease)
        if recorded is not None:
            merged = merge(recorded, progress.entities) if recorded else progress.entities
            self._recorded[ref.lease] = merged
            progress = progress._replace(entities=merged)
        now = self.clock.seconds()
        self.seen.reported(ref.lease, progress.entities, now)
        if self.tracker is None:
            return progress
        # The lease stands for the attempt: both change together.
        return self.tracker.note(ref.job_id, hash(ref.lease), progress, now)

    def _fenced(self, kind: str, waiter: Any, *, wakes: bool = False) -> Deferred[Any]:
        if not may_be_uuid(waiter.ref.job_id) or not may_be_uuid(waiter.ref.session_id):
            return fail(lease_lost())
        return self._enqueue(kind, waiter, wakes=wakes)

    def _enqueue(self, kind: str, waiter: Any, *, wakes: bool = False) -> Deferred[Any]:
        refusal = self._away()
        if refusal is not None:
            return fail(refusal)
        self.group.add(kind, waiter)
        if wakes:
            # Before the commit on purpose: an assignment asked for now joins the same batch, after this item.
            self._work()
        deferred_answer: Deferred[Any] = waiter.deferred
        return deferred_answer
