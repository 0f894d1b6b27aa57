"""Show the whole life of a job at a glance: for every action and state, which states may follow.

The table is what `docs/jobs.md` prints and what tests hold both the functions and every store to. It
decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from crawlsock.jobs import rules
from crawlsock.jobs.states import DEFAULT_BACKOFF, HELD, TERMINAL, Action, Change, JobFacts, State


def _fail_by_default(facts: JobFacts) -> Change:
    return rules.fail(facts, True, None, DEFAULT_BACKOFF, lambda: 0.0)


_RULES: Final[Mapping[Action, Callable[[JobFacts], Change]]] = {
    Action.ASSIGN: rules.assign,
    Action.START: rules.start,
    Action.PROGRESS: rules.progress,
    Action.COMPLETE: rules.complete,
    Action.FAIL: _fail_by_default,
    Action.RELEASE: rules.release,
    Action.CANCELLED: rules.cancelled,
    Action.LOSE: rules.lose,
    Action.CANCEL: rules.cancel,
    Action.PAUSE: rules.pause,
    Action.RESUME: rules.resume,
    Action.RETRY: rules.retry,
    Action.REFUSE: rules.refuse,
    Action.RENEW: rules.renew,
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


def as_markdown() -> str:
    """Return the table as Markdown, a row for each action and a column for each state, for `docs/jobs.md`.

    A dash means that the action is refused, `=` that the state stays as it is.
    """

    def cell(action: Action, state: State) -> str:
        after = TRANSITIONS[action].get(state)
        if after is None:
            return "—"
        return ", ".join("=" if there is state else f"`{there.value}`" for there in State if there in after)

    head = ["action", *(f"`{state.value}`" for state in State)]
    rows = [[f"`{action.value}`", *(cell(action, state) for state in State)] for action in Action]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
