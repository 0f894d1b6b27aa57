"""Commit in groups: one transaction for all that was asked while the one before was under way.

The law of this module: it knows batches, not their meaning. What a kind of item says, and what its answer means, is
told to it by its owner. It holds no timer: an idle writer commits at once, a busy one in large groups, because the next
batch forms while this one is committed. A batch whose commit was cut off is sent again whole, which is why every item
must be idempotent. A batch that the database refuses is halved until the one bad item stands alone: its
neighbours do not pay for it.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.store.errors import CommitUnknown, DatabaseAway, Refused, Retryable
from crawlsock.tally import Histogram
from crawlsock.wire.errors import ErrorCode, Refusal

MOST_ITEMS: Final = 2000
"""Items after which a batch is closed and another begun: bounds the time that one commit takes."""

SIZE_BOUNDS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)
TIME_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REPETITIONS: Final = 10
"""How often a batch that lost against other transactions (class 40) is tried again before it is given up."""


class Waiter(Protocol):
    """What an item in a batch is answered through."""

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        """Return what it asks for as JSON objects; called again when the batch must be sent again."""

    def answer(self, answer: Any) -> None:
        """Take what the database says of the item; ``answer`` is what `Answers` found for its index."""

    def refuse(self, refusal: Refusal) -> None:
        """Fail the item."""


Answers = Callable[[Any, list[Any]], None]
"""Give every waiter of a kind its answer: called with what the phase returned, and the waiters by index."""


class Batch:
    """Items by kind, in the order they came, and the folded reports among them."""

    __slots__ = ("count", "folded", "items", "number")

    def __init__(self) -> None:
        self.items: dict[str, list[Any]] = {}
        self.folded: dict[Any, Any] = {}
        self.number = secrets.randbits(62)
        self.count = 0

    def halves(self) -> list[Batch]:
        """Split into two batches, phases kept in order; a batch of one item gives none."""
        flat = [(kind, waiter) for kind, waiters in self.items.items() for waiter in waiters]
        if len(flat) < 2:
            return []
        middle = len(flat) // 2
        parts = []
        for part in (flat[:middle], flat[middle:]):
            batch = Batch()
            for kind, waiter in part:
                batch.items.setdefault(kind, []).append(waiter)
            batch.count = len(part)
            parts.append(batch)
        return parts

    def waiters(self) -> list[Any]:
        """Return all waiters, whatever their kind."""
        return [waiter for waiters in self.items.values() for waiter in waiters]


class GroupCommit:
    """Collect items and commit them in groups, one group at a time.

    :param send: sends one batch as JSON text and fires with the answer's JSON text, once committed.
    :param when_up: fires when the database can be used again.
    :param answers: for each kind of item, how its waiters are answered.
    :param patience: seconds for which a batch of unknown outcome is kept for another try, before its items are
        answered ``unavailable``.

    :ivar sizes: items of each batch that was committed.
    :ivar took: seconds that each of them took, from sending it first to its commit.
    :ivar unavailable: batches that were given up because the database was away or too busy.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[str], Deferred[str]],
        when_up: Callable[[], Deferred[None]],
        answers: Mapping[str, Answers],
        *,
        header: Callable[[], dict[str, Any]],
        committed: Callable[[], None],
        patience: float = 5.0,
    ) -> None:
        self._clock = clock
        self._send = send
        self._when_up = when_up
        self._answers = answers
        self._header = header
        self._committed = committed
        self._patience = patience
        self._forming = Batch()
        self._closed: deque[Batch] = deque()
        self._running = False
        self._scheduled = False
        self._idle: list[Deferred[None]] = []
        self._began: float | None = None
        self.sizes = Histogram(SIZE_BOUNDS)
        self.took = Histogram(TIME_BOUNDS)
        self.unavailable = 0
        self.last_seconds = 0.0

    @property
    def waiting(self) -> int:
        """Items that wait for the commit under way, or for their batch to be sent."""
        return self._forming.count + sum(batch.count for batch in self._closed)

    @property
    def busy_for(self) -> float:
        """Seconds that the batch under way has been under way; 0 when there is none."""
        return 0.0 if self._began is None else self._clock.seconds() - self._began

    @property
    def forming(self) -> Batch:
        """The batch now forming: for owners that fold new items into earlier ones of it."""
        return self._forming

    def add(self, kind: str, waiter: Any) -> None:
        """Put an item into the batch now forming; its waiter is answered after the commit."""
        forming = self._forming
        items = forming.items.get(kind)
        if items is None:
            items = forming.items[kind] = []
        items.append(waiter)
        forming.count += 1
        if forming.count >= MOST_ITEMS:
            self._closed.append(forming)
            self._forming = Batch()
        if not self._scheduled and not self._running:
            # At the end of this turn: what arrives in one chunk of bytes is committed together.
            self._scheduled = True
            self._clock.callLater(0, self._begin)

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when nothing is under way or forming."""
        if not self._running and not self._scheduled:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def _begin(self) -> None:
        self._scheduled = False
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._work()).addErrback(
                lambda failure: self._log.failure("Group commit failed", failure)
            )

    async def _work(self) -> None:
        """Commit batch after batch. Who waits for one is answered while the next is under way, if there is a next one:
        the database need not wait for us to have told everybody."""
        answer: Callable[[], None] | None = None
        try:
            while True:
                batch = self._take()
                self._began = None if batch is None else self._clock.seconds()
                committing = None if batch is None else Deferred.fromCoroutine(self._commit(batch))
                if answer is not None:
                    tell, answer = answer, None
                    tell()
                elif committing is None:
                    return
                if committing is not None:
                    answer = await committing
        finally:
            self._running = False
            self._began = None
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _take(self) -> Batch | None:
        """Return the batch to commit next, None when nothing waits."""
        if self._closed:
            return self._closed.popleft()
        if not self._forming.count:
            return None
        batch, self._forming = self._forming, Batch()
        return batch

    async def _commit(self, batch: Batch) -> Callable[[], None]:
        """Commit one batch, come what may; return what answers its waiters."""
        started = self._clock.seconds()
        try:
            answer = await self._transact(batch, give_up=started + self._patience)
        except Refused as error:
            await self._isolate(batch, error)
            return lambda: None
        except Refusal as refusal:
            self.unavailable += 1
            return partial(self._refuse, batch, refusal)
        except Exception:
            # A bug of ours must not leave everybody waiting, nor end the commits that follow.
            self._log.failure("A batch could not be committed")
            bland = Refusal(ErrorCode.INTERNAL, "the server failed to record this; the log says why")
            return partial(self._refuse, batch, bland)
        self.last_seconds = self._clock.seconds() - started
        self.sizes.observe(batch.count)
        self.took.observe(self.last_seconds)
        self._committed()
        return partial(self._answer, batch, answer)

    def _answer(self, batch: Batch, answer: Mapping[str, Any]) -> None:
        for kind, waiters in batch.items.items():
            try:
                self._answers[kind](answer.get(kind), waiters)
            except Exception:
                self._log.failure("Answering the items of a batch failed, kind={kind}", kind=kind)

    async def _transact(self, batch: Batch, *, give_up: float) -> dict[str, Any]:
        """Send the batch until it is committed, or until it would take too long."""
        repeated = False
        tries = 0
        while True:
            try:
                answer: dict[str, Any] = orjson.loads(await self._send(self._encode(batch, repeated)))
                return answer
            except Retryable as error:
                tries += 1
                if tries > REPETITIONS:
                    raise _unavailable(f"the database is contended: {error}") from None
            except DatabaseAway as error:
                repeated = repeated or isinstance(error, CommitUnknown)
                if not await self._wait(give_up):
                    raise _unavailable(f"the database is away: {error.reason}") from None

    def _encode(self, batch: Batch, repeated: bool) -> str:
        message: dict[str, Any] = self._header()
        message["no"] = batch.number
        message["repeated"] = repeated
        for kind, waiters in batch.items.items():
            message[kind] = [item for index, waiter in enumerate(waiters) for item in waiter.encode(index)]
        return orjson.dumps(message).decode()

    async def _wait(self, give_up: float) -> bool:
        """Wait until the database is back; False when that would take too long."""
        left = give_up - self._clock.seconds()
        if left <= 0:
            return False
        # A pause first: a server that accepts connections and then fails each batch must not be hammered.
        back: Deferred[bool] = Deferred()
        timers = [self._clock.callLater(left, back.callback, False)]

        def up(_: object) -> None:
            if not back.called:
                timers.append(
                    self._clock.callLater(min(0.05, left), lambda: None if back.called else back.callback(True))
                )

        self._when_up().addCallbacks(up, lambda failure: None if back.called else back.callback(False))
        result = await back
        for timer in timers:
            if timer.active():
                timer.cancel()
        return result

    async def _isolate(self, batch: Batch, error: Refused) -> None:
        parts = batch.halves()
        if not parts:
            kind = next(iter(batch.items))
            self._log.error("The database refused an item: {error}, kind={kind}", error=str(error), kind=kind)
            self._refuse(batch, Refusal(ErrorCode.INTERNAL, "the database refused this; the log says why"))
        for part in parts:
            answer = await self._commit(part)
            answer()

    def _refuse(self, batch: Batch, refusal: Refusal) -> None:
        for waiter in batch.waiters():
            waiter.refuse(refusal)


def _unavailable(why: str) -> Refusal:
    return Refusal(ErrorCode.UNAVAILABLE, why, retry_after=1.0)
