"""Say what every action does to a job: facts in, change out.

One function an action. Each raises `WrongState` where the table in `crawlsock.jobs.table` has no entry, and
answers an unchanged `Change` where the job already is as asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from crawlsock.jobs.states import (
    HELD,
    POISON_LIMIT,
    TERMINAL,
    Action,
    Backoff,
    Change,
    JobFacts,
    State,
    WrongState,
    backoff,
    waiting_state,
)


def fail(
    facts: JobFacts,
    recoverable: bool,
    retry_after: float | None,
    policy: Backoff,
    random: Callable[[], float],
) -> Change:
    """Count a failure that the crawler reported: try again later while attempts are left, otherwise end the
    job.

    A job that was to be cancelled is cancelled: nobody wants another attempt. `retry_after` (seconds) goes
    before backoff.
    """
    _held(Action.FAIL, facts)
    failures = facts.failures + 1
    if facts.cancel_requested:
        return _end(facts, State.CANCELLED, failures=failures)
    if not recoverable:
        return _end(facts, State.FAILED, failures=failures)
    if failures >= facts.max_attempts:
        return _end(facts, State.FAILED, failures=failures)
    due_in = backoff(policy, failures, random) if retry_after is None else max(0.0, retry_after)
    return attrs.evolve(_requeue(facts), failures=failures, due_in=due_in)


def release(facts: JobFacts) -> Change:
    """Take a job back unharmed: nothing is counted against it, and it keeps its place in the queue."""
    _held(Action.RELEASE, facts)
    if facts.cancel_requested:
        return _end(facts, State.CANCELLED, releases=facts.releases + 1)
    return attrs.evolve(_requeue(facts), releases=facts.releases + 1)


def lose(facts: JobFacts, poison_limit: int = POISON_LIMIT) -> Change:
    """Take a job from a crawler that died, froze or made no progress; the third loss in its life is
    poison."""
    _held(Action.LOSE, facts)
    losses = facts.losses + 1
    if facts.cancel_requested:
        return _end(facts, State.CANCELLED, losses=losses)
    if losses >= poison_limit:
        return _end(facts, State.FAILED, losses=losses, reason="poison")
    return attrs.evolve(_requeue(facts), losses=losses)


def complete(facts: JobFacts) -> Change:
    """End the job well, also when a cancel was on its way: the work is done."""
    _held(Action.COMPLETE, facts)
    return _end(facts, State.COMPLETED)


def cancelled(facts: JobFacts) -> Change:
    """End the job because its crawler stopped it."""
    _held(Action.CANCELLED, facts)
    return _end(facts, State.CANCELLED)


def start(facts: JobFacts) -> Change:
    """Mark the job as begun; again is fine."""
    _held(Action.START, facts)
    return _stay(facts, state=State.RUNNING, changed=facts.state is State.ASSIGNED)


def progress(facts: JobFacts) -> Change:
    """Take a report: the state stays."""
    _held(Action.PROGRESS, facts)
    return _stay(facts)


def assign(facts: JobFacts) -> Change:
    """Give the job to a crawler. Only a queued one can be given."""
    if facts.state is not State.QUEUED:
        raise WrongState(Action.ASSIGN, facts.state)
    return _stay(facts, state=State.ASSIGNED)


def cancel(facts: JobFacts) -> Change:
    """Cancel the job: at once if nobody works on it, through its crawler if somebody does."""
    if facts.state is State.CANCELLED:
        return _stay(facts, changed=False)
    if facts.state in TERMINAL:
        raise WrongState(Action.CANCEL, facts.state)
    if facts.state in HELD:
        if facts.cancel_requested:
            return _stay(facts, changed=False)
        return _stay(facts, cancel_requested=True, order="cancel")
    return _end(facts, State.CANCELLED)


def pause(facts: JobFacts) -> Change:
    """Hold the job: at once if nobody works on it; a crawler holds it at its checkpoint and keeps the
    lease."""
    if facts.state in TERMINAL:
        raise WrongState(Action.PAUSE, facts.state)
    if facts.state in HELD:
        if facts.pause_requested or facts.cancel_requested:
            return _stay(facts, changed=False)
        return _stay(facts, pause_requested=True, order="pause")
    return _stay(facts, state=State.PAUSED, changed=facts.state is not State.PAUSED)


def resume(facts: JobFacts) -> Change:
    """Let a paused job go on."""
    if facts.state in TERMINAL:
        raise WrongState(Action.RESUME, facts.state)
    if facts.state is State.PAUSED:
        return _stay(facts, state=waiting_state(facts))
    if facts.state in HELD and facts.pause_requested:
        return _stay(facts, pause_requested=False, order="resume")
    return _stay(facts, changed=False)


def retry(facts: JobFacts) -> Change:
    """Run a failed or cancelled job again, with all its attempts before it; where it stopped is kept."""
    if facts.state is State.QUEUED:
        return _stay(facts, changed=False)
    if facts.state not in (State.FAILED, State.CANCELLED):
        raise WrongState(Action.RETRY, facts.state)
    return Change(waiting_state(facts), failures=0, releases=facts.releases, losses=0, due_in=0.0)


def refuse(facts: JobFacts) -> Change:
    """Put the job aside because its account's credential was refused; a crawler that has it must stop.

    Nothing is counted: it is nobody's fault who works on the job. What was asked for while it ran is done
    now.
    """
    if facts.state not in HELD:
        if facts.state is State.QUEUED:
            return _stay(facts, state=State.WAITING_CREDENTIAL)
        return _stay(facts, changed=False)
    if facts.cancel_requested:
        return attrs.evolve(_end(facts, State.CANCELLED), order="cancel")
    return attrs.evolve(_requeue(attrs.evolve(facts, credential_refused=True)), order="cancel")


def renew(facts: JobFacts) -> Change:
    """Queue the job that waited for its account's credential."""
    if facts.state is State.WAITING_CREDENTIAL:
        return _stay(facts, state=State.QUEUED)
    return _stay(facts, changed=False)


def _held(action: Action, facts: JobFacts) -> None:
    if facts.state not in HELD:
        raise WrongState(action, facts.state)


def _stay(
    facts: JobFacts,
    *,
    state: State | None = None,
    changed: bool = True,
    cancel_requested: bool | None = None,
    pause_requested: bool | None = None,
    order: Literal["cancel", "pause", "resume"] | None = None,
) -> Change:
    return Change(
        facts.state if state is None else state,
        facts.failures,
        facts.releases,
        facts.losses,
        cancel_requested=facts.cancel_requested if cancel_requested is None else cancel_requested,
        pause_requested=facts.pause_requested if pause_requested is None else pause_requested,
        changed=changed,
        order=order,
    )


def _end(
    facts: JobFacts,
    state: State,
    *,
    reason: str | None = None,
    failures: int | None = None,
    releases: int | None = None,
    losses: int | None = None,
) -> Change:
    return Change(
        state,
        facts.failures if failures is None else failures,
        facts.releases if releases is None else releases,
        facts.losses if losses is None else losses,
        reason=reason,
    )


def _requeue(facts: JobFacts) -> Change:
    """Send a job whose lease ends back to wait: as paused if that was asked."""
    state = State.PAUSED if facts.pause_requested else waiting_state(facts)
    return Change(state, facts.failures, facts.releases, facts.losses)
