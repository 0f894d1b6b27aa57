"""Name the states of a job and everything its rules look at.

Here live words, defaults and the small rules that need no state: backoff, keys, labels. What actions do is in
`crawlsock.jobs.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Literal

from attrs import frozen


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
        super().__init__(f"a job that is {state.value} cannot be acted on by {action.value!r}; {_REMEDIES[state]}")
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


def fits(needed: frozenset[str], job_type: str, labels: frozenset[str], job_types: frozenset[str] | None) -> bool:
    """Tell whether a crawler with `labels`, taking `job_types` (None: any), may get a job that needs
    `needed`."""
    return (job_types is None or job_type in job_types) and needed <= labels


def waiting_state(facts: JobFacts) -> State:
    """Return where a job waits for a crawler: in the queue, or for a credential while its account's is
    refused."""
    return State.WAITING_CREDENTIAL if facts.credential_refused else State.QUEUED
