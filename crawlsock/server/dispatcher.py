"""Bring jobs to the crawlers that have room for them.

The law: push, no polling. A crawler gives credit (`job_request`), and jobs come until the credit is used up. One
question to the store is under way at a time, and it carries the demands of all crawlers; what happens meanwhile asks
once more when the answer is there. A job that was assigned to somebody who left, or who takes no more, is given back
unharmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from crawlsock.server.peer import Peer, PeerState
from crawlsock.server.pool import ConnectionPool
from crawlsock.store.values import Assignment, Demand, JobRef, Release
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.server.credentials import CredentialKeeper
    from crawlsock.store.interface import IStore

MAX_CREDIT: Final = 10_000
_AT_ONCE: Final = 1000
"""Jobs that one crawler gets in one assignment; the next round follows at once."""
_REPLY_BYTES: Final = 512 * 1024
"""What one ``job_response`` may hold of jobs, well below a frame; the rest follows as pushes."""


class Dispatcher:
    """Match credits with due jobs.

    `wake` is called whenever there may be something to match: by the store when jobs became due, by the poll duty,
    and by new credit. It is cheap and may be called without cause.
    """

    _log = Logger()

    def __init__(self, store: IStore, pool: ConnectionPool, credentials: CredentialKeeper) -> None:
        self._store = store
        self._pool = pool
        self._credentials = credentials
        self._asking = False
        self._again = False
        self._stopped = False
        self._waiting: dict[Peer, list[Deferred[list[dict[str, Any]]]]] = {}
        self._idle: list[Deferred[None]] = []
        self.assigned = 0

    def ask(self, peer: Peer, slots: int) -> Deferred[list[dict[str, Any]]]:
        """Add `slots` to the credit of the peer; fire with the jobs there are now, as in ``job_response``.

        Zero withdraws all credit. Fails with `Refusal` ``session_expired``, and ``unavailable`` when the store is
        away: the credit is then as it was before.
        """
        if not peer.session_id:
            raise Refusal(ErrorCode.SESSION_EXPIRED, "the session has ended; say hello again")
        if slots == 0:
            peer.credits = 0
            return succeed([])
        peer.credits = min(peer.credits + slots, MAX_CREDIT)
        if not peer.wants_jobs:
            return succeed([])
        answer: Deferred[list[dict[str, Any]]] = Deferred()
        self._waiting.setdefault(peer, []).append(answer)

        def not_asked(failure: Any) -> Any:
            peer.credits = max(0, peer.credits - slots)
            return failure

        answer.addErrback(not_asked)
        self.wake()
        return answer

    def wake(self) -> None:
        """Look whether there is work for somebody."""
        if self._stopped:
            return
        if self._asking:
            self._again = True
            return
        if self._waiting or self._pool.wanting():
            self._asking = True
            Deferred.fromCoroutine(self._rounds())

    def repeat(self, peer: Peer) -> None:
        """Push again what the peer was given and has not begun: it resumed without saying which leases it holds.

        A crawler ignores an assignment whose lease it has.
        """
        Deferred.fromCoroutine(self._repeat(peer)).addErrback(self._not_repeated)

    async def _repeat(self, peer: Peer) -> None:
        for assignment in await self._store.unstarted(peer.session_id):
            body = await self._body(assignment)
            if body is not None:
                peer.push("job_assignment", body, assignment.job_id, assignment.lease)

    def _not_repeated(self, failure: Any) -> None:
        failure.trap(Refusal)
        self._log.warn("Assignments could not be repeated: {reason}", reason=str(failure.value))

    def start(self) -> None:
        """Begin to assign."""
        self._stopped = False
        self.wake()

    def stop(self) -> Deferred[None]:
        """Assign no more; fire when no question to the store is under way."""
        self._stopped = True
        if not self._asking:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    async def _rounds(self) -> None:
        try:
            more = True
            while more and not self._stopped:
                self._again = False
                more = await self._round() or self._again
        finally:
            self._asking = False
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)
            self._answer_all({}, self._waiting)

    async def _round(self) -> bool:
        """Ask the store once. Answer whether there may be more for those who still have credit."""
        answering, self._waiting = self._waiting, {}
        try:
            peers = self._pool.wanting()
            if not peers:
                return False
            demands = [
                Demand(peer.session_id, min(peer.credits, _AT_ONCE), peer.labels, peer.job_types) for peer in peers
            ]
            assignments = await self._store.assign(demands)
            bodies = [await self._body(each) for each in assignments]
            self._hand_out(assignments, bodies, answering)
            return len(assignments) == sum(demand.slots for demand in demands)
        except Refusal as refusal:
            # The store is away. It wakes us when it is back, and so does the poll.
            self._log.debug("Nothing was assigned: {reason}", reason=str(refusal))
            self._refuse_all(refusal, answering)
            return False
        except Exception:
            self._log.failure("Assigning failed")
            self._refuse_all(Refusal(ErrorCode.INTERNAL, "the server failed to assign jobs"), answering)
            return False
        finally:
            self._answer_all({}, answering)

    async def _body(self, assignment: Assignment) -> dict[str, Any] | None:
        """Return the data of an assignment, or None when its credential cannot be opened."""
        generation = assignment.credential_generation
        if generation is None:
            return assignment_data(assignment, None)
        credential = await self._credentials.current(assignment.account, generation)
        return None if credential is None else assignment_data(assignment, credential)

    def _hand_out(
        self,
        assignments: list[Assignment],
        bodies: list[dict[str, Any] | None],
        answering: dict[Peer, list[Deferred[list[dict[str, Any]]]]],
    ) -> None:
        replies: dict[Peer, list[dict[str, Any]]] = {}
        room: dict[Peer, int] = {}
        for assignment, body in zip(assignments, bodies, strict=True):
            peer = self._pool.by_session(assignment.session_id)
            if peer is None or body is None or peer.credits <= 0 or peer.state is not PeerState.READY:
                self._give_back(assignment)
                continue
            size = len(orjson.dumps(body)) if peer in answering else 0
            if peer in answering and size <= room.setdefault(peer, _REPLY_BYTES):
                room[peer] -= size
                job = {**body, "job_id": assignment.job_id, "lease": assignment.lease}
                replies.setdefault(peer, []).append(job)
            elif not peer.push("job_assignment", body, assignment.job_id, assignment.lease):
                self._give_back(assignment)
                continue
            peer.credits -= 1
            self.assigned += 1
        self._answer_all(replies, answering)

    def _give_back(self, assignment: Assignment) -> None:
        ref = JobRef(assignment.job_id, assignment.lease, assignment.session_id)
        self._store.release(ref, Release("its crawler left or takes no more")).addErrback(self._not_given_back)

    def _not_given_back(self, failure: Any) -> None:
        # The lease has ended otherwise, or the store is away and the reaper will find the job.
        failure.trap(Refusal)

    def _answer_all(
        self,
        replies: Mapping[Peer, list[dict[str, Any]]],
        answering: dict[Peer, list[Deferred[list[dict[str, Any]]]]],
    ) -> None:
        for peer, answers in list(answering.items()):
            # All jobs in the first answer: which of several requests they answer makes no difference.
            for number, answer in enumerate(answers):
                answer.callback(replies.get(peer, []) if number == 0 else [])
        answering.clear()

    def _refuse_all(self, refusal: Refusal, answering: dict[Peer, list[Deferred[list[dict[str, Any]]]]]) -> None:
        for answers in answering.values():
            for answer in answers:
                answer.errback(refusal)
        answering.clear()


def assignment_data(assignment: Assignment, credential: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the data of a ``job_assignment``."""
    data: dict[str, Any] = {
        "type": assignment.type,
        "attempt": assignment.attempt,
        "account": assignment.account,
        "priority": assignment.priority,
        "root_id": assignment.root_id,
        "limits": {} if assignment.no_progress_limit is None else {"no_progress_limit": assignment.no_progress_limit},
    }
    for name in ("host", "entity_id", "namespace_path", "name", "payload", "resume_state", "parent_id"):
        value = getattr(assignment, name)
        if value is not None:
            data[name] = value
    if credential is not None:
        data["credential"] = dict(credential)
    return data
