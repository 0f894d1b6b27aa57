"""Keep the queue within its limit.

The law: a submission that would take the queue above `queue_limit` is refused whole, before the store hears of it. The
count is the store's, taken again when it is old or when it decides; in between it is carried forward by what was
admitted, so it errs on the side of counting again. What crawlers discover is not refused: a crawl would lose what it
found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

FRESH_SECONDS: Final = 10.0
"""How long a count is good enough while the queue is far from its limit."""

RETRY_SECONDS: Final = 1.0
"""When a refused submission may be tried again; near the limit the store counts at most this often."""


class Admission:
    """Decide whether jobs may be submitted.

    :param limit: the number of live jobs allowed, read at the moment of use.
    """

    def __init__(self, clock: IReactorTime, store: IStore, limit: Callable[[], int]) -> None:
        self._clock = clock
        self._store = store
        self._limit = limit
        self._live = 0
        self._counted_at: float | None = None
        self._counting = False

    async def admit(self, jobs: int) -> None:
        """Let so many jobs pass. Fails with `Refusal` ``queue_full``, and ``unavailable`` when the store is away."""
        if self._counted_at is None or (self._over(jobs) and self._age() >= RETRY_SECONDS):
            await self._count()
        elif self._age() > FRESH_SECONDS and not self._counting:
            # Far from the limit nobody waits for a count: it is for the next ones.
            Deferred.fromCoroutine(self._count()).addErrback(self._not_counted)
        if self._over(jobs):
            raise Refusal(
                ErrorCode.QUEUE_FULL,
                f"the queue holds {self._live} of at most {self._limit()} jobs: {jobs} more do not fit",
                retry_after=RETRY_SECONDS,
            )
        self._live += jobs

    async def _count(self) -> None:
        self._counting = True
        try:
            self._live = await self._store.live_jobs()
            self._counted_at = self._clock.seconds()
        finally:
            self._counting = False

    def _not_counted(self, failure: Any) -> None:
        # The store is away; the submission that asked finds that out for itself.
        failure.trap(Refusal)

    def _over(self, jobs: int) -> bool:
        return self._live + jobs > self._limit()

    def _age(self) -> float:
        return self._clock.seconds() - (self._counted_at or 0.0)
