"""Hand the answers of a committed batch to those who wait.

The law of this module: it reads what the phases of ``crawlsock.apply`` return and knows who asked; it decides nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from crawlsock.store.values import Assignment


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


def _end(answer: Mapping[str, Any], waiters: list[Write]) -> None:
    states = dict(answer["states"])
    lost = frozenset(answer["refused"] or ())
    for index, waiter in enumerate(waiters):
        if index in lost:
            waiter.refuse(lease_lost())
        else:
            waiter.answer(states.get(index))


def _submit(statuses: Sequence[Sequence[Any]] | None, waiters: list[Submission]) -> None:
    by_message: dict[int, list[tuple[int, str, str | None]]] = defaultdict(list)
    for number, status, job_id in statuses or ():
        by_message[number // SPAN].append((number % SPAN, status, job_id))
    for index, waiter in enumerate(waiters):
        waiter.answer(None if statuses is None else by_message[index])


def _discover(answer: Mapping[str, Any], waiters: list[Discovery]) -> None:
    lost = frozenset(answer["refused"])
    cancelled = frozenset(answer["cancelled"])
    for index, waiter in enumerate(waiters):
        if index in lost:
            waiter.refuse(lease_lost())
        elif index in cancelled:
            waiter.answer_cancelled()
        else:
            waiter.answer(answer["statuses"].get(str(index)))


def _assign(rows: Sequence[Sequence[Any]], waiters: list[Claim]) -> None:
    by_session: dict[str, list[Assignment]] = defaultdict(list)
    for row in rows:
        by_session[row[0]].append(Assignment(*row))
    for waiter in waiters:
        sessions = dict.fromkeys(demand.session_id for demand in waiter.demands)
        waiter.answer([assignment for session in sessions for assignment in by_session.pop(session, ())])


def answers(recorded: Callable[[str, Mapping[str, Any]], None]) -> Mapping[str, Answers]:
    """Return how each kind of write is answered.

    :param recorded: told the counts that the database has for a lease, when it had to merge them itself.
    """

    def merged(answer: Mapping[str, Any], waiters: list[Report]) -> None:
        for index, entities in (answer["merged"] or {}).items():
            recorded(waiters[int(index)].ref.lease, entities)
        _plain(answer["refused"], waiters)

    return {**_ANSWERS, "merge": merged}


_ANSWERS: Mapping[str, Answers] = {
    "heartbeat": _heartbeat,
    "submit": _submit,
    "start": _plain,
    "progress": _plain,
    "area": _plain,
    "discover": _discover,
    "complete": _plain,
    "end": _end,
    "assign": _assign,
}
