"""Hand the answers of a committed batch to those who wait.

The law of this module: it reads what the phases of ``crawlsock.apply`` return and knows who asked; it decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from crawlsock.store.batch import Answers
from crawlsock.store.postgres.waiters import (
    SPAN,
    Claim,
    Discovery,
    Heartbeat,
    Report,
    Submission,
    Write,
    lease_lost,
    session_expired,
)
from crawlsock.store.values import Assignment, ItemStatus
from crawlsock.tally import JobTally


def _plain(refused: Sequence[int] | None, waiters: list[Any]) -> None:
    if not refused:
        for waiter in waiters:
            waiter.answer(None)
        return
    lost = frozenset(refused)
    for index, waiter in enumerate(waiters):
        if index in lost:
            waiter.refuse(lease_lost())
        else:
            waiter.answer(None)


def _heartbeat(refused: Sequence[int], waiters: list[Heartbeat]) -> None:
    ended = frozenset(refused)
    for index, waiter in enumerate(waiters):
        if index in ended:
            waiter.refuse(session_expired())
        else:
            waiter.answer(None)


def _end(tally: JobTally, answer: Mapping[str, Any], waiters: list[Write]) -> None:
    states = {index: state for index, state, *_ in answer["states"]}
    tally.taken_back(answer["states"])
    lost = frozenset(answer["refused"] or ())
    for index, waiter in enumerate(waiters):
        if index in lost:
            waiter.refuse(lease_lost())
        else:
            waiter.answer(states.get(index))


def _complete(tally: JobTally, answer: Mapping[str, Any], waiters: list[Write]) -> None:
    for type, seconds in (answer["ran"] or {}).items():
        tally.completed(type, seconds)
    _plain(answer["refused"], waiters)


def _submit(tally: JobTally, statuses: Sequence[Sequence[Any]] | None, waiters: list[Submission]) -> None:
    by_message: dict[int, list[tuple[int, str, str | None]]] = defaultdict(list)
    for number, status, job_id in statuses or ():
        by_message[number // SPAN].append((number % SPAN, status, job_id))
    for index, waiter in enumerate(waiters):
        _settled(tally, waiter, waiter.settle(None if statuses is None else by_message[index]))


def _settled(tally: JobTally, waiter: Submission, statuses: list[ItemStatus]) -> None:
    tally.came(status.status for status in statuses)
    waiter.answer(statuses)


def _discover(tally: JobTally, answer: Mapping[str, Any], waiters: list[Discovery]) -> None:
    lost = frozenset(answer["refused"])
    cancelled = frozenset(answer["cancelled"])
    for index, waiter in enumerate(waiters):
        if index in lost:
            waiter.refuse(lease_lost())
        elif index in cancelled:
            _settled(tally, waiter, waiter.settle_cancelled())
        else:
            _settled(tally, waiter, waiter.settle(answer["statuses"].get(str(index))))


def _assign(tally: JobTally, rows: Sequence[Sequence[Any]], waiters: list[Claim]) -> None:
    by_session: dict[str, list[Assignment]] = defaultdict(list)
    for row in rows:
        assignment = Assignment(*row)
        tally.assigned(assignment.type, assignment.waited)
        by_session[assignment.session_id].append(assignment)
    for waiter in waiters:
        sessions = dict.fromkeys(demand.session_id for demand in waiter.demands)
        waiter.answer([assignment for session in sessions for assignment in by_session.pop(session, ())])


def answers(recorded: Callable[[str, Mapping[str, Any]], None], tally: JobTally) -> Mapping[str, Answers]:
    """Return how each kind of write is answered.

    :param recorded: told the counts that the database has for a lease, when it had to merge them itself.
    :param tally: where assignments and ends are counted.
    """

    def merged(answer: Mapping[str, Any], waiters: list[Report]) -> None:
        for index, entities in (answer["merged"] or {}).items():
            recorded(waiters[int(index)].ref.lease, entities)
        _plain(answer["refused"], waiters)

    return {
        "heartbeat": _heartbeat,
        "submit": partial(_submit, tally),
        "start": _plain,
        "progress": _plain,
        "merge": merged,
        "area": _plain,
        "discover": partial(_discover, tally),
        "complete": partial(_complete, tally),
        "end": partial(_end, tally),
        "assign": partial(_assign, tally),
    }
