"""Decide what becomes of a job.

Here lives the whole life of a job as a table and as functions from values to values: states, what every
action does to every state, backoff, keys, labels, poison. Here must never come: Twisted, SQL, JSON, a
clock, a random source of its own. Stores do what these functions say; the PostgreSQL store says the same in
SQL and is held to it by the contract suite.
"""

from crawlsock.jobs.rules import (
    assign,
    cancel,
    cancelled,
    complete,
    fail,
    lose,
    pause,
    progress,
    refuse,
    release,
    renew,
    resume,
    retry,
    start,
)
from crawlsock.jobs.states import (
    DEFAULT_BACKOFF,
    DEFAULT_MAX_ATTEMPTS,
    HELD,
    LIVE,
    POISON_LIMIT,
    TERMINAL,
    Action,
    Backoff,
    Change,
    JobFacts,
    State,
    WrongState,
    backoff,
    discovery_key,
    fits,
    waiting_state,
)
from crawlsock.jobs.table import TRANSITIONS, apply, as_markdown

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
    "as_markdown",
    "assign",
    "backoff",
    "cancel",
    "cancelled",
    "complete",
    "discovery_key",
    "fail",
    "fits",
    "lose",
    "pause",
    "progress",
    "refuse",
    "release",
    "renew",
    "resume",
    "retry",
    "start",
    "waiting_state",
]
