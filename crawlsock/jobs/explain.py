"""Explain why a job does not run at this moment, or how it ended.

The law of this module: facts in, reasons out; each reason says what is the case, and what a person can do about it. It
knows no store and no clock. Of several obstacles all are named, in the order in which they must go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import field, frozen

from crawlsock.jobs.states import State, fits


@frozen
class Pause:
    """Say that a queue is paused: that of one job type, or all when `job_type` is None."""

    job_type: str | None
    reason: str | None = None
    actor: str | None = None
    at: datetime | None = None


@frozen
class Crawler:
    """Show a crawler as far as it matters to a job that waits.

    `state` is ``connected``, ``away``, ``paused`` or ``draining``; `job_types` None takes any.
    """

    crawler_id: str
    state: str
    labels: frozenset[str] = frozenset()
    job_types: frozenset[str] | None = None
    slots: int = 0
    jobs: int = 0


@frozen
class JobSituation:
    """Hold what there is to know of a job. `ahead` counts due jobs that go first; at `most_ahead` counting stopped."""

    now: datetime
    state: State
    type: str
    account: str
    labels: frozenset[str] = frozenset()
    run_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    max_attempts: int = 1
    losses: int = 0
    reason: str | None = None
    crawler_id: str | None = None
    cancel_requested: bool = False
    pause_requested: bool = False
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    ahead: int = 0
    most_ahead: int = 10_000
    held_by: str | None = None
    held_at: datetime | None = None
    credential_reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    recoverable: bool = True
    pauses: Sequence[Pause] = ()
    crawlers: Sequence[Crawler] = field(default=())


@frozen
class Reason:
    """Name one reason: `code` for programs, `message` and `remedy` for people, `actor` who did it."""

    code: str
    message: str
    remedy: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None


@frozen
class Explanation:
    """Answer the question. `runs`: a crawler works on the job now."""

    state: State
    runs: bool
    reasons: list[Reason]


def explain(job: JobSituation) -> Explanation:
    """Say why the job is as it is."""
    reasons = list(_REASONS[job.state](job))
    runs = job.state is State.RUNNING and not any(reason.code in _STOPS for reason in reasons)
    return Explanation(job.state, runs, reasons)


_STOPS: Final = frozenset({"paused", "crawler_away"})


def _queued(job: JobSituation) -> Iterator[Reason]:
    obstacles = [*_pauses(job), *_waits(job), *_crawlers(job)]
    yield from obstacles
    if job.ahead:
        number = f"{job.ahead} or more" if job.ahead >= job.most_ahead else str(job.ahead)
        what = "job goes" if job.ahead == 1 else "jobs go"
        yield Reason(
            "jobs_ahead",
            f"{number} due {what} first: of a higher priority, or due for longer",
            "start more crawlers, or submit with a higher priority",
        )
    elif not obstacles:
        yield Reason("next", "nothing is in the way: a crawler gets it as soon as one asks", since=job.run_at)


def _pauses(job: JobSituation) -> Iterator[Reason]:
    for pause in job.pauses:
        if pause.job_type in (None, job.type):
            what = "all queues are" if pause.job_type is None else f"the queue of {job.type} is"
            why = f": {pause.reason}" if pause.reason else ""
            yield Reason("queue_paused", f"{what} paused{why}", "resume the queue", pause.at, actor=pause.actor)


def _waits(job: JobSituation) -> Iterator[Reason]:
    if job.run_at is None or job.run_at <= job.now:
        return
    if not job.failures:
        remedy = "wait, or submit it without run_at"
        yield Reason("not_due", "it is not to run before its time", remedy, until=job.run_at)
        return
    said = f" with {job.error_type}" if job.error_type else ""
    yield Reason(
        "backoff",
        f"it has failed {_times(job.failures)}{said} and is tried again later, {_times(job.max_attempts)} at the most",
        "wait; or cancel it and retry it, to have it tried at once",
        until=job.run_at,
    )


def _crawlers(job: JobSituation) -> Iterator[Reason]:
    if not job.crawlers:
        yield Reason("no_crawler", "no crawler is there", "start a crawler: crawlsock crawl")
        return
    typed = [each for each in job.crawlers if each.job_types is None or job.type in each.job_types]
    if not typed:
        remedy = f"start one that takes {job.type}"
        yield Reason("no_crawler_for_type", f"no crawler takes jobs of type {job.type}", remedy)
        return
    fitting = [each for each in typed if fits(job.labels, job.type, each.labels, each.job_types)]
    if not fitting:
        labels = ", ".join(sorted(job.labels))
        remedy = f"start one with the labels {labels}"
        yield Reason("no_crawler_with_labels", f"no crawler has the labels {labels}", remedy)
        return
    ready = [each for each in fitting if each.state == "connected"]
    if not ready:
        states = sorted({each.state for each in fitting})
        yield Reason(
            "crawlers_not_ready",
            f"{_crawlers_that(len(fitting))} could do it {'is' if len(fitting) == 1 else 'are'} {' or '.join(states)}",
            "resume them, or start another" if "paused" in states else "wait until they are back, or start another",
        )
        return
    if all(each.slots and each.jobs >= each.slots for each in ready):
        slots = sum(each.slots for each in ready)
        have = "has" if len(ready) == 1 else "have"
        yield Reason(
            "crawlers_busy",
            f"{_crawlers_that(len(ready))} could do it {have} no room: all {slots} slots are taken",
            "wait, or start more crawlers",
        )


def _held(job: JobSituation) -> Iterator[Reason]:
    who = job.crawler_id or "its crawler"
    crawler = next((each for each in job.crawlers if each.crawler_id == job.crawler_id), None)
    if job.cancel_requested:
        yield Reason("cancel_requested", f"{who} has been asked to cancel it", "wait for the crawler to stop")
    elif job.pause_requested:
        said = f"{who} has been asked to hold it, and keeps it until it is resumed"
        yield Reason("paused", said, "resume the job", job.held_at, actor=job.held_by)
    if crawler is not None and crawler.state == "away":
        yield Reason(
            "crawler_away",
            f"{who} has lost its connection; it keeps the job if it comes back in time",
            "nothing: otherwise the job goes back to the queue by itself",
        )
    if job.state is State.ASSIGNED:
        yield Reason("assigned", f"{who} has been given it and has not begun yet", since=job.assigned_at)


def _paused(job: JobSituation) -> Iterator[Reason]:
    why = f": {job.reason}" if job.reason else ""
    by = f" by {job.held_by}" if job.held_by else ""
    yield Reason("paused", f"it was paused{by}{why}", "resume the job", job.held_at, actor=job.held_by)


def _waiting_credential(job: JobSituation) -> Iterator[Reason]:
    said = job.credential_reason or job.reason
    why = f": {said}" if said else ""
    yield Reason(
        "credential_refused",
        f"the credential of account {job.account} was refused{why}",
        f"store a new credential for {job.account}; its jobs go on by themselves",
    )


def _completed(job: JobSituation) -> Iterator[Reason]:
    yield Reason("completed", "it is done", "submit it anew to run it again", since=job.finished_at)


def _failed(job: JobSituation) -> Iterator[Reason]:
    remedy = "mend what is wrong, then retry the job"
    said = f"{job.error_type}: {job.error_message}" if job.error_type else job.reason or "its crawler did not say why"
    if job.reason == "poison":
        code, message = "poison", f"it was given up: {_times(job.losses)} the crawler that had it was lost"
        remedy = "look at what the job does to its crawler, then retry it"
    elif job.failures >= job.max_attempts and job.recoverable:
        code, message = "attempts_used", f"it failed {_times(job.failures)}, which is all it may; last with {said}"
    else:
        code, message = "not_recoverable", f"it failed, and trying again would not help: {said}"
    yield Reason(code, message, remedy, since=job.finished_at)


def _cancelled(job: JobSituation) -> Iterator[Reason]:
    why = f": {job.reason}" if job.reason else ""
    yield Reason("cancelled", f"it was cancelled{why}", "retry it to run it again", since=job.finished_at)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _crawlers_that(number: int) -> str:
    return "the crawler that" if number == 1 else f"the {number} crawlers that"


_REASONS: Final[Mapping[State, Callable[[JobSituation], Iterator[Reason]]]] = {
    State.QUEUED: _queued,
    State.ASSIGNED: _held,
    State.RUNNING: _held,
    State.COMPLETED: _completed,
    State.FAILED: _failed,
    State.CANCELLED: _cancelled,
    State.PAUSED: _paused,
    State.WAITING_CREDENTIAL: _waiting_credential,
}
