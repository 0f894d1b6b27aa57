"""Decide what becomes of a job.

Here lives the whole life of a job as a table and as functions from values to values: states, what every
action does to every state, backoff, keys, labels, poison. Here must never come: Twisted, SQL, JSON, a
clock, a random source of its own. Stores do what these functions say; the PostgreSQL store says the same in
SQL and is held to it by the contract suite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Literal

import attrs
from attrs import frozen

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_MAX_ATTEMPTS",
    "HELD",
    "LIVE",
    "POISON_LIMIT",
    "TERMINAL",
    "TRANSITIONS",
    "Action",
    "Backoff",
    "Change",
    "JobFacts",
    "State",
    "WrongState",
    "apply",
    "backoff",
    "cancel",
    "cancelled",
    "discovery_key",
    "fail",
    "fits",
    "lose",
    "pause",
    "refuse",
    "release",
    "renew",
    "resume",
    "retry",
    "waiting_state",
]


class State(str, Enum):
    """Name every state that a job can be in."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    WAITING_CREDENTIAL = "waiting_credential"


class Action(str, Enum):
    """Name everything that can happen to a job. `LOSE` is a reaped session or a job that is stuck."""

    ASSIGN = "assign"
    START = "start"
    PROGRESS = "progress"
    COMPLETE = "complete"
    FAIL = "fail"
    RELEASE = "release"
    CANCELLED = "cancelled"
    LOSE = "lose"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    REFUSE = "refuse"
    RENEW = "renew"


TERMINAL: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
LIVE: Final = frozenset(State) - TERMINAL
HELD: Final = frozenset({State.ASSIGNED, State.RUNNING})
"""The states in which a crawler has a lease on the job."""

DEFAULT_MAX_ATTEMPTS: Final = 5
POISON_LIMIT: Final = 3
"""A job that has taken so many crawlers down is failed with reason ``poison``."""


@frozen
class Backoff:
    """Space out attempts: after n failures wait up to ``base * 2 ** (n - 1)`` seconds, never more than
    `cap`."""

    base: float = 5.0
    cap: float = 3600.0


DEFAULT_BACKOFF: Final = Backoff()


class WrongState(Exception):
    """Refuse an action that makes no sense in the job's state; the message says what would."""

    def __init__(self, action: Action, state: State) -> None:
        super().__init__(
            f"a job that is {state.value} cannot be acted on by {action.value!r}; {_REMEDIES[state]}"
        )
        self.action = action
        self.state = state


_REMEDIES: Final[Mapping[State, str]] = {
    State.QUEUED: "it waits for a crawler and may be cancelled or paused",
    State.ASSIGNED: "it is with a crawler and may be cancelled or paused",
    State.RUNNING: "it is with a crawler and may be cancelled or paused",
    State.COMPLETED: "submit it anew to run it again",
    State.FAILED: "retry it to run it again",
    State.CANCELLED: "retry it to run it again",
    State.PAUSED: "resume it first",
    State.WAITING_CREDENTIAL: "renew the credential of its account first",
}


@frozen
class JobFacts:
    """Hold what the rules look at. `credential_refused`: the account's credential is, so the job could not
    work now."""

    state: State
    failures: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    releases: int = 0
    losses: int = 0
    cancel_requested: bool = False
    pause_requested: bool = False
    credential_refused: bool = False


@frozen
class Change:
    """Say what a job is after an action.

    `changed` False: the action asked for what already is. `due_in` is in seconds from now, None leaves
    `run_at` as it is. `order`: what the crawler that holds the job must be told. `reason` is set for a job
    that ends otherwise than well.
    """

    state: State
    failures: int
    releases: int
    losses: int
    cancel_requested: bool = False
    pause_requested: bool = False
    changed: bool = True
    due_in: float | None = None
    order: Literal["cancel", "pause", "resume"] | None = None
    reason: str | None = None

    @property
    def holds_lease(self) -> bool:
        """Tell whether the crawler keeps its lease."""
        return self.state in HELD


def backoff(policy: Backoff, failures: int, random: Callable[[], float]) -> float:
    """Return how many seconds to wait after so many failures: full jitter, uniform below the exponential
    ceiling.

    `random` returns a number from 0 up to 1. Full jitter stays spread at the cap, where a jitter of some
    percent would have jobs that failed together come back together.
    """
    exponent = min(max(failures, 1) - 1, 62)
    return random() * min(policy.cap, policy.base * 2.0**exponent)


def discovery_key(job_type: str, host: str | None, entity_id: str) -> str:
    """Return the key of a discovered job: the same entity of the same host is the same job, whoever found
    it."""
    return f"{job_type}:{host or ''}:{entity_id}"


def fits(
    needed: frozenset[str], job_type: str, labels: frozenset[str], job_types: frozenset[str] | None
) -> bool:
    """Tell whether a crawler with `labels`, taking `job_types` (None: any), may get a job that needs
    `needed`."""
    return (job_types is None or job_type in job_types) and needed <= labels


def waiting_state(facts: JobFacts) -> State:
    """Return where a job waits for a crawler: in the queue, or for a credential while its account's is
    refused."""
    return State.WAITING_CREDENTIAL if facts.credential_refused else State.QUEUED


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
        return _end(facts, State.CANCELLED, "cancelled", failures=failures)
    if not recoverable:
        return _end(facts, State.FAILED, "not_recoverable", failures=failures)
    if failures >= facts.max_attempts:
        return _end(facts, State.FAILED, "attempts_exhausted", failures=failures)
    due_in = backoff(policy, failures, random) if retry_after is None else max(0.0, retry_after)
    return attrs.evolve(_requeue(facts), failures=failures, due_in=due_in)


def release(facts: JobFacts) -> Change:
    """Take a job back unharmed: nothing is counted against it, and it may run at once."""
    _held(Action.RELEASE, facts)
    if facts.cancel_requested:
        return _end(facts, State.CANCELLED, "cancelled", releases=facts.releases + 1)
    return attrs.evolve(_requeue(facts), releases=facts.releases + 1)


def lose(facts: JobFacts, poison_limit: int = POISON_LIMIT) -> Change:
    """Take a job from a crawler that died, froze or made no progress; the third loss in its life is
    poison."""
    _held(Action.LOSE, facts)
    losses = facts.losses + 1
    if facts.cancel_requested:
        return _end(facts, State.CANCELLED, "cancelled", losses=losses)
    if losses >= poison_limit:
        return _end(facts, State.FAILED, "poison", losses=losses)
    return attrs.evolve(_requeue(facts), losses=losses)


def complete(facts: JobFacts) -> Change:
    """End the job well, also when a cancel was on its way: the work is done."""
    _held(Action.COMPLETE, facts)
    return _end(facts, State.COMPLETED, None)


def cancelled(facts: JobFacts) -> Change:
    """End the job because its crawler stopped it."""
    _held(Action.CANCELLED, facts)
    return _end(facts, State.CANCELLED, "cancelled")


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
    return _end(facts, State.CANCELLED, "cancelled")


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
        return attrs.evolve(_end(facts, State.CANCELLED, "cancelled"), order="cancel")
    return attrs.evolve(_requeue(attrs.evolve(facts, credential_refused=True)), order="cancel", due_in=None)


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
    reason: str | None,
    *,
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
    return Change(state, facts.failures, facts.releases, facts.losses, due_in=0.0)


def _fail_by_default(facts: JobFacts) -> Change:
    return fail(facts, True, None, DEFAULT_BACKOFF, lambda: 0.0)


_RULES: Final[Mapping[Action, Callable[[JobFacts], Change]]] = {
    Action.ASSIGN: assign,
    Action.START: start,
    Action.PROGRESS: progress,
    Action.COMPLETE: complete,
    Action.FAIL: _fail_by_default,
    Action.RELEASE: release,
    Action.CANCELLED: cancelled,
    Action.LOSE: lose,
    Action.CANCEL: cancel,
    Action.PAUSE: pause,
    Action.RESUME: resume,
    Action.RETRY: retry,
    Action.REFUSE: refuse,
    Action.RENEW: renew,
}


def apply(action: Action, facts: JobFacts) -> Change:
    """Do any action to a job, `fail` as a recoverable failure. Errors: `WrongState`."""
    return _RULES[action](facts)


_WAITING: Final = frozenset({State.QUEUED, State.WAITING_CREDENTIAL})
_BACK: Final = _WAITING | {State.PAUSED, State.CANCELLED}


def _stays(*states: State) -> dict[State, frozenset[State]]:
    return {state: frozenset({state}) for state in states}


def _from_held(*outcomes: State) -> dict[State, frozenset[State]]:
    return {state: frozenset(outcomes) for state in HELD}


TRANSITIONS: Final[Mapping[Action, Mapping[State, frozenset[State]]]] = {
    Action.ASSIGN: {State.QUEUED: frozenset({State.ASSIGNED})},
    Action.START: _from_held(State.RUNNING),
    Action.PROGRESS: _stays(*HELD),
    Action.COMPLETE: _from_held(State.COMPLETED),
    Action.FAIL: _from_held(*_BACK, State.FAILED),
    Action.RELEASE: _from_held(*_BACK),
    Action.CANCELLED: _from_held(State.CANCELLED),
    Action.LOSE: _from_held(*_BACK, State.FAILED),
    Action.CANCEL: {
        **_stays(*HELD, State.CANCELLED),
        State.QUEUED: frozenset({State.CANCELLED}),
        State.PAUSED: frozenset({State.CANCELLED}),
        State.WAITING_CREDENTIAL: frozenset({State.CANCELLED}),
    },
    Action.PAUSE: {
        **_stays(*HELD, State.PAUSED),
        State.QUEUED: frozenset({State.PAUSED}),
        State.WAITING_CREDENTIAL: frozenset({State.PAUSED}),
    },
    Action.RESUME: {**_stays(*HELD, State.QUEUED, State.WAITING_CREDENTIAL), State.PAUSED: _WAITING},
    Action.RETRY: {**_stays(State.QUEUED), State.FAILED: _WAITING, State.CANCELLED: _WAITING},
    Action.REFUSE: {
        **_stays(*TERMINAL, State.PAUSED, State.WAITING_CREDENTIAL),
        State.QUEUED: frozenset({State.WAITING_CREDENTIAL}),
        **_from_held(State.WAITING_CREDENTIAL, State.PAUSED, State.CANCELLED),
    },
    Action.RENEW: {
        **_stays(*(State(state) for state in State if state is not State.WAITING_CREDENTIAL)),
        State.WAITING_CREDENTIAL: frozenset({State.QUEUED}),
    },
}
"""For every action, the states it is allowed in and every state that may follow; a test holds the functions
to it."""
