"""
The jobs in hand: from assignment to the answered last word.

The law: a job's trouble is its own; whatever happens to one is told to the server and to nobody else. A lease is
held until the server has answered the job's last word, or said that the lease is lost. Nothing is said about a
job whose lease is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from crawlsock.masking import Masker
from crawlsock.sdk.credentials import Credentials
from crawlsock.sdk.endings import Ending, ending_of, smaller
from crawlsock.sdk.errors import (
    JobCancelled,
    JobFailed,
    JobReleased,
    LeaseLost,
    NotConnected,
    Refused,
)
from crawlsock.sdk.job import Job
from crawlsock.sdk.outbox import Request
from crawlsock.sdk.requests import Requests
from crawlsock.sdk.run import JobFunction, Run
from crawlsock.sdk.values import Credential
from crawlsock.wire.message import Message

LOST = frozenset({"lease_lost", "unknown_job"})


class JobsInHand:
    """
    Run jobs and speak for them; what a `Job` knows of its executor (`JobLink`).

    :param changed: called when a slot became free or a last word was answered.
    :ivar active: jobs that take a slot: all but those whose end only waits for its answer.
    """

    def __init__(
        self,
        clock: IReactorTime,
        requests: Requests,
        functions: Mapping[str, JobFunction],
        cancel_grace: float,
        changed: Callable[[], None],
    ) -> None:
        self.clock = clock
        self.progress_interval = 1.0
        self.paused = False
        self.leaving = False
        self.active = 0
        self.completed = 0
        self.failed = 0
        self.items = 0
        self._masker = Masker()
        self.credentials = Credentials(self.ask, self._masker)
        self._requests = requests
        self._functions = functions
        self._cancel_grace = cancel_grace
        self._changed = changed
        self._runs: dict[str, Run] = {}
        self._newest: dict[str, Run] = {}
        self._log = Logger()

    @property
    def leases(self) -> list[str]:
        return list(self._runs)

    @property
    def runs(self) -> list[Run]:
        return list(self._runs.values())

    @property
    def jobs(self) -> list[Job]:
        """The jobs being worked on."""
        return [run.job for run in self._runs.values() if not run.ended]

    # What a job needs.

    def tell(
        self,
        job: Job,
        type: str,
        data: dict[str, Any],
        done: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self._requests.send(Request(type, data, job.id, job.lease, partial(self._told, job, done)))

    def _told(
        self,
        job: Job,
        done: Callable[[Exception | None], None] | None,
        message: Message | None,
        error: Exception | None,
    ) -> None:
        if error is not None:
            error = self._about(job, error)
        if done is not None:
            done(error)

    def ask(self, job: Job, type: str, data: dict[str, Any]) -> Deferred[dict[str, Any]]:
        answer: Deferred[dict[str, Any]] = Deferred()
        if job.lost is not None:
            answer.errback(job.lost)
            return answer

        def answered(message: Message | None, error: Exception | None) -> None:
            if error is not None:
                answer.errback(self._about(job, error))
            elif message is not None:
                answer.callback(message.data)

        self._requests.send(Request(type, data, job.id, job.lease, answered))
        return answer

    def credential_of(self, account: str) -> Credential | None:
        return self.credentials.of(account)

    def refresh(self, job: Job, stale: Credential) -> Deferred[Credential]:
        return self.credentials.refresh(job, stale)

    # Jobs come.

    def assigned(self, job_id: str, lease: str, fields: dict[str, Any]) -> None:
        """Take a job on, unless this very assignment has been taken on before."""
        if lease in self._runs:
            return
        job = Job(self, job_id, lease, fields)
        credential = fields.get("credential")
        if credential is not None:
            self.credentials.learn(job.account, credential)
        run = self._runs[lease] = Run(job, self._ended)
        self.active += 1
        older = self._newest.get(job_id)
        self._newest[job_id] = run
        if older is None:
            self._begin(run)
        else:
            # The job came back under a new lease while its old coroutine still runs. Two at once would get into
            # each other's files: the old one is stopped, and the new one begins when it has ended.
            older.successor = partial(self._begin, run)
            self._lose(older)

    def _begin(self, run: Run) -> None:
        job = run.job
        if job.lost is not None:
            run.abandon(Failure(job.lost))  # type: ignore[no-untyped-call]
            return
        if self.leaving:
            job.order_stop(JobReleased("the crawler is leaving"))
        if self.paused:
            job.order_pause(True, crawler=True)
        function = self._functions.get(job.type)
        if function is None:
            sentence = f"this crawler does no jobs of type {job.type}"
            error = JobFailed("unknown_job_type", sentence, recoverable=False)
            run.abandon(Failure(error))  # type: ignore[no-untyped-call]
            return
        self._requests.send(Request("job_started", {}, job.id, job.lease, partial(self._told, job, None)))
        run.begin(function)

    # Jobs go.

    def _ended(self, run: Run, outcome: object) -> None:
        """Tell the server how the job ended, unless it is no longer ours to tell."""
        job = run.job
        self.active -= 1
        if self._newest.get(job.id) is run:
            del self._newest[job.id]
        if job.reported:
            self.items += job.report.fresh()
        if job.lost is not None:
            job.finish()
            del self._runs[job.lease]
        else:
            if job.reported:
                job.report.say_last()
            ending = ending_of(job, outcome, self._masker.mask)
            job.finish()
            if ending.type == "job_completed":
                self.completed += 1
            elif ending.type == "job_failed":
                self.failed += 1
            self._say(run, ending)
        successor, run.successor = run.successor, None
        if successor is not None:
            successor()
        self._changed()

    def _say(self, run: Run, ending: Ending) -> None:
        job = run.job
        done = partial(self._end_answered, run, ending)
        self._requests.send(Request(ending.type, ending.data, job.id, job.lease, done))

    def _end_answered(self, run: Run, ending: Ending, message: Message | None, error: Exception | None) -> None:
        job = run.job
        if isinstance(error, Refused) and error.code not in LOST:
            # What the job said about its own end was refused. Say less, so that the job does not hang.
            self._log.warn("{what} of job {job} was refused: {why}", what=ending.type, job=job.id, why=error)
            less = smaller(ending, error)
            if less is not None:
                self._say(run, less)
                return
        elif error is not None and not isinstance(error, NotConnected):
            self._log.info("Job {job} ended under a lost lease: {why}", job=job.id, why=error)
        self._runs.pop(job.lease, None)
        self._changed()

    def _about(self, job: Job, error: Exception) -> Exception:
        """Turn a refusal that says the lease is lost into `LeaseLost`, and stop the job."""
        if not isinstance(error, Refused) or error.code not in LOST:
            return error
        lost = LeaseLost(f"{job.type} {job.id}: {error.message}")
        run = self._runs.get(job.lease)
        if run is not None:
            self._lose(run, lost)
        return lost

    def _lose(self, run: Run, reason: LeaseLost | None = None) -> None:
        """Stop a job that is no longer ours. One whose end was told only waits for the answer."""
        if run.ended:
            return
        job = run.job
        if job.order_stop(reason or LeaseLost(f"{job.type} {job.id} is no longer this crawler's")):
            self._log.info("Lost the lease of job {job}", job=job.id)
            run.interrupt()

    # Orders.

    def keep_only(self, leases: Container[str]) -> None:
        """Lose what the server does not name among the leases that were kept."""
        for lease, run in list(self._runs.items()):
            if lease not in leases:
                self._lose(run)

    def cancel(self, message: Message) -> None:
        """Have a job stop at its next checkpoint; what it still waits for after a while is cancelled."""
        run = self._working(message)
        if run is not None:
            run.job.order_stop(JobCancelled(message.data.get("reason") or "cancelled"))
            grace = min(self._cancel_grace, message.data.get("deadline", self._cancel_grace))
            run.interrupt_later(self.clock, grace)

    def pause(self, message: Message, paused: bool) -> None:
        """Have a job hold at its next checkpoint, or go on."""
        run = self._working(message)
        if run is not None:
            run.job.order_pause(paused)

    def pause_all(self, paused: bool) -> None:
        """Have all jobs hold, those to come included, or let go on those that are not paused themselves."""
        self.paused = paused
        for job in self.jobs:
            job.order_pause(paused, crawler=True)

    def release_all(self, reason: str) -> None:
        """Have all jobs hand themselves back at their next checkpoint, those still to come included."""
        self.leaving = True
        for job in self.jobs:
            job.order_stop(JobReleased(reason))

    def interrupt_all(self) -> None:
        """Cancel whatever the jobs wait for."""
        for run in self.runs:
            if not run.ended:
                run.interrupt()

    def _working(self, message: Message) -> Run | None:
        run = self._runs.get(message.lease or "")
        return None if run is None or run.ended else run
