"""
Run: drive one job's coroutine from its first step to its last.

What lives here: what `Deferred.fromCoroutine` would do, without its price for the many jobs that never wait,
and with a handle on what the job waits for, so that it can be interrupted. What must never come here: what the
end of a job means to the server (`endings.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from crawlsock.sdk.job import Job

JobFunction = Callable[[Job], Coroutine[Deferred[Any], Any, Any]]


class Run:
    """
    One job being done.

    :param over: told the outcome once: the coroutine's result, or a `Failure`.
    :ivar ended: whether the coroutine has come to its end.
    :ivar successor: called by the owner after the end, when the same job waits to be run anew.
    """

    __slots__ = ("_awaited", "_context", "_coroutine", "_interruption", "_over", "ended", "job", "successor")

    def __init__(self, job: Job, over: Callable[[Run, Any], None]) -> None:
        self.job = job
        self.ended = False
        self.successor: Callable[[], None] | None = None
        self._over = over
        self._awaited: Deferred[Any] | None = None
        self._coroutine: Coroutine[Deferred[Any], Any, Any] | None = None
        self._context: Context | None = None
        self._interruption: IDelayedCall | None = None

    def begin(self, function: JobFunction) -> None:
        """Take the first step now. Every job has a context of its own, as variables of `contextvars` expect."""
        context = self._context = copy_context()
        job = self.job
        try:
            coroutine = context.run(function, job) if not job.paused else _held(function, job)
            if not hasattr(coroutine, "send"):
                raise TypeError(f"the function for {job.type} must be declared with 'async def'")
            self._coroutine = coroutine
        except BaseException:
            self.abandon(Failure())  # type: ignore[no-untyped-call]
        else:
            self._step(None)

    def abandon(self, outcome: Failure) -> None:
        """End without having begun."""
        self._end(outcome)

    def interrupt(self) -> None:
        """Cancel what the job waits for. It meets `CancelledError`, and the reason at its next checkpoint."""
        awaited = self._awaited
        if awaited is not None:
            awaited.cancel()

    def interrupt_later(self, clock: IReactorTime, delay: float) -> None:
        """Interrupt after a while, unless the job has ended by then."""
        if not self.ended and self._interruption is None:
            self._interruption = clock.callLater(delay, self._interruption_due)

    def _interruption_due(self) -> None:
        self._interruption = None
        self.interrupt()

    def _step(self, result: Any) -> None:
        """Go on until the coroutine waits again, or ends."""
        self._awaited = None
        coroutine, context = self._coroutine, self._context
        if coroutine is None or context is None:
            return
        try:
            if isinstance(result, Failure):
                awaited = context.run(result.throwExceptionIntoGenerator, coroutine)
            else:
                awaited = context.run(coroutine.send, result)
            while not isinstance(awaited, Deferred):
                # Say so where it was awaited: that line is where to look for the mistake.
                mistake = TypeError(f"a job can wait for Deferreds and coroutines, not for {awaited!r}")
                awaited = context.run(coroutine.throw, mistake)
        except StopIteration as stop:
            self._end(stop.value)
        except BaseException:
            # Not only Exception: a job that calls sys.exit() must not take its neighbours with it.
            self._end(Failure())  # type: ignore[no-untyped-call]
        else:
            self._awaited = awaited
            awaited.addBoth(self._step)

    def _end(self, outcome: Any) -> None:
        self.ended = True
        self._coroutine = self._context = None
        call, self._interruption = self._interruption, None
        if call is not None:
            call.cancel()
        self._over(self, outcome)


async def _held(function: JobFunction, job: Job) -> Any:
    """Do a job that was assigned while paused: wait before its first step."""
    await job.checkpoint()
    return await function(job)
