"""Start and stop in order, and do things again and again, whatever goes wrong.

The law: a server's parts start one after the other and stop in reverse; a part that cannot start fails the
whole start, loudly, and what had begun is stopped again; a stop is over when nothing runs any more, and no
part holds it up beyond its deadline. Before starting, twice, in the wrong order: all of it works. Nothing
here knows what a part does.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol, cast

from attrs import evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

Eventually = Awaitable[object] | None
"""What starting, stopping or working gives back: nothing, a Deferred, or a coroutine."""


class Part(Protocol):
    """Something with a beginning and an end.

    `stop` must work on a part that has not started, whose start failed, or that was stopped already.
    """

    def start(self) -> Eventually: ...
    def stop(self) -> Eventually: ...


class StopTimeout(Exception):
    """A part did not stop within its deadline."""


def _settled(function: Callable[[], Eventually]) -> Deferred[None]:
    """Call `function`; return a Deferred that fires with nothing when what it began is over, or fails with
    it.
    """

    def wait(result: object) -> object:
        return Deferred.fromCoroutine(result) if isinstance(result, Coroutine) else result

    ended = maybeDeferred(function).addCallback(wait)
    return cast("Deferred[None]", ended.addCallback(lambda _: None))


@frozen
class _Entry:
    name: str
    part: Part
    stop_deadline: float


class Lifecycle:
    """Start parts in the order in which they were added, and stop them in reverse."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, stop_deadline: float = 10.0) -> None:
        """Take time from `clock`; a part has `stop_deadline` seconds to stop unless `add` says otherwise."""
        self._clock = clock
        self._stop_deadline = stop_deadline
        self._entries: list[_Entry] = []
        self._begun: list[_Entry] = []
        self._running = False
        self._wanted = False  # start() was the last word
        self._stop_due = False  # stop() was said and has not been carried out
        self._busy = False  # _drive() is under way
        self._starting: Deferred[None] | None = None
        self._start_waiters: list[Deferred[None]] = []
        self._stop_waiters: list[Deferred[None]] = []

    @property
    def running(self) -> bool:
        """Whether every part has started and none was told to stop."""
        return self._running

    def add(self, name: str, part: Part, stop_deadline: float | None = None) -> None:
        """Add `part` behind those added before; raise `RuntimeError` when a start has begun."""
        if self._busy or self._running:
            raise RuntimeError(f"{name} was added to a lifecycle that has started; add every part first")
        deadline = self._stop_deadline if stop_deadline is None else stop_deadline
        self._entries.append(_Entry(name, part, deadline))

    def start(self) -> Deferred[None]:
        """Start every part; the result comes when the last has started.

        When a part fails, those that had begun, itself included, are stopped, and the result is its failure.
        When a stop comes in between, the result is `CancelledError`. A start during a stop begins when the
        stop is over.
        """
        if self._running and not self._stop_due:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._start_waiters.append(waiter)
        self._wanted = True
        self._go()
        return waiter

    def stop(self) -> Deferred[None]:
        """Stop every part that has begun; the result comes when nothing runs any more, and is never a
        failure.

        A start under way is given up: the part that is just starting is cancelled, then stopped like the
        others.
        """
        if not self._busy and not self._running:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._stop_waiters.append(waiter)
        self._wanted, self._stop_due = False, True
        given_up, self._start_waiters = self._start_waiters, []
        for each in given_up:
            each.errback(CancelledError("stopped before everything had started"))
        if self._starting is not None:
            self._starting.cancel()
        self._go()
        return waiter

    def _go(self) -> None:
        if not self._busy:
            self._busy = True
            Deferred.fromCoroutine(self._drive()).addErrback(self._log_bug)

    def _log_bug(self, failure: Failure) -> None:
        self._log.failure("The lifecycle itself failed", failure)

    async def _drive(self) -> None:
        """Do what was last asked for until there is nothing left to do; only one of these runs at a time."""
        try:
            while self._stop_due or (self._wanted and not self._running):
                if self._stop_due:
                    await self._carry_out_stop()
                else:
                    await self._carry_out_start()
        finally:
            self._busy = False

    async def _carry_out_stop(self) -> None:
        self._stop_due = self._running = False
        await self._stop_parts()
        stopped, self._stop_waiters = self._stop_waiters, []
        for waiter in stopped:
            waiter.callback(None)

    async def _carry_out_start(self) -> None:
        starting = self._starting = Deferred.fromCoroutine(self._start_parts())
        if self._stop_due:  # said by a part while it started; there was nothing to cancel yet
            starting.cancel()
        failure: Failure | None = None
        try:
            await starting
        except Exception:
            failure = Failure()  # type: ignore[no-untyped-call]
        self._starting = None
        if self._stop_due:
            return
        if failure is not None:
            self._wanted = False
            await self._stop_parts()
        else:
            self._running = True
        waiters, self._start_waiters = self._start_waiters, []
        for waiter in waiters:
            waiter.callback(None) if failure is None else waiter.errback(failure)

    async def _start_parts(self) -> None:
        for entry in self._entries:
            if self._stop_due:
                raise CancelledError
            self._begun.append(entry)
            await _settled(entry.part.start)
            self._log.debug("{part} started", part=entry.name)

    async def _stop_parts(self) -> None:
        while self._begun:
            entry = self._begun.pop()
            try:
                await self._within(entry.stop_deadline, _settled(entry.part.stop))
            except StopTimeout:
                self._log.error(
                    "{part} did not stop within {deadline} s and was left behind",
                    part=entry.name,
                    deadline=entry.stop_deadline,
                )
            except Exception:
                self._log.failure("{part} failed to stop", part=entry.name)
            else:
                self._log.debug("{part} stopped", part=entry.name)

    def _within(self, seconds: float, ending: Deferred[None]) -> Deferred[None]:
        """Follow `ending`, or fail with `StopTimeout` after `seconds` whatever `ending` does.

        `Deferred.addTimeout` is not enough: it waits for a coroutine that swallows its cancellation.
        """
        outcome: Deferred[None] = Deferred()

        def expire() -> None:
            outcome.errback(StopTimeout())
            ending.cancel()

        expiry = self._clock.callLater(seconds, expire)

        def ended(result: Failure | None) -> None:
            if expiry.active():
                expiry.cancel()
                outcome.callback(result) if result is None else outcome.errback(result)

        ending.addBoth(ended)
        return outcome


class LifecycleService(Service):
    """Let an application start and stop a lifecycle.

    A service cannot say that its start has failed after the reactor runs, so `on_failure` is called with the
    failure; `end_process` is what a server wants there.
    """

    _log = Logger()

    def __init__(self, lifecycle: Lifecycle, on_failure: Callable[[Failure], object]) -> None:
        self._lifecycle = lifecycle
        self._on_failure = on_failure

    def startService(self) -> None:
        """Begin to start; what goes wrong is logged and handed to `on_failure`."""
        super().startService()  # type: ignore[no-untyped-call]
        self._lifecycle.start().addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop everything; the reactor waits for the result before it ends."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._lifecycle.stop()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and not self.running:  # type: ignore[no-untyped-call]
            return
        if hasattr(failure.value, "exit_code"):
            # Refused for a reason that a person can act on; the place in our code would only hide it.
            self._log.critical("The server could not start: {reason}", reason=str(failure.value))
        else:
            self._log.failure("The server could not start", failure)
        self._on_failure(failure)


def end_process(reactor: IReactorCore, failure: Failure) -> None:
    """Stop the reactor, and end the process with the failure's `exit_code`, or 1.

    twistd has no other way: it ends with 0 whenever the reactor was stopped. By the time this handler runs it
    has stopped the services, written its last line of log and removed its pid file.
    """
    code = getattr(failure.value, "exit_code", 1)

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)

    atexit.register(leave)
    try:
        reactor.stop()
    except ReactorNotRunning:
        reactor.callWhenRunning(reactor.stop)


@frozen
class DutyStatistics:
    """How a duty fares: runs that ended, failures among them, seconds of the last run, and clock times.

    `last_error` is a type's name and no more: statistics are shown to people who may not see messages.
    """

    runs: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    last_duration: float | None = None
    last_success: float | None = None
    last_error: str | None = None


class Duty:
    """Do `work` now and every `interval` seconds after it ended, until stopped.

    A run that fails is logged and counted, and the next one comes later the more have failed in a row, up to
    `longest_backoff`. Two runs never overlap. `interval` may be set at any time and holds from the next wait
    on.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        interval: float,
        work: Callable[[], Eventually],
        clock: IReactorTime,
        longest_backoff: float = 60.0,
    ) -> None:
        self.name = name
        self.interval = interval
        self._work = work
        self._clock = clock
        self._longest_backoff = longest_backoff
        self._statistics = DutyStatistics()
        self._started = False
        self._under_way = False
        self._woken = False
        self._next: IDelayedCall | None = None
        self._stop_waiters: list[Deferred[None]] = []

    @property
    def statistics(self) -> DutyStatistics:
        """What happened so far."""
        return self._statistics

    def start(self) -> None:
        """Run once now, and then again and again; nothing happens when it was started already."""
        if not self._started:
            self._started = True
            if not self._under_way:
                self._run()

    def wake(self) -> None:
        """Run as soon as possible: now, or again at once when a run is under way, which may have looked too
        early.
        """
        if not self._started:
            return
        if self._under_way:
            self._woken = True
        else:
            self._schedule(0)

    def stop(self) -> Deferred[None]:
        """Stop; the result comes when the run under way, if there is one, has ended."""
        self._started = self._woken = False
        self._cancel_next()
        if not self._under_way:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._stop_waiters.append(waiter)
        return waiter

    def _cancel_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self, delay: float) -> None:
        self._cancel_next()
        self._next = self._clock.callLater(delay, self._run)

    def _run(self) -> None:
        self._next = None
        self._under_way = True
        began = self._clock.seconds()
        _settled(self._work).addBoth(self._ended, began)

    def _ended(self, result: Failure | None, began: float) -> None:
        now = self._clock.seconds()
        before = self._statistics
        after = evolve(before, runs=before.runs + 1, last_duration=now - began)
        if isinstance(result, Failure):
            self._log.failure("Duty {duty} failed and will be tried again", result, duty=self.name)
            self._statistics = evolve(
                after,
                failures=before.failures + 1,
                failures_in_a_row=before.failures_in_a_row + 1,
                last_error=type(result.value).__name__,
            )
        else:
            self._statistics = evolve(after, failures_in_a_row=0, last_success=now)
        self._under_way = False
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)
        if self._started and not self._under_way:
            # A woken duty whose runs fail still backs off, or it would spin.
            woken, self._woken = self._woken and not isinstance(result, Failure), False
            self._schedule(0 if woken else self._pause())

    def _pause(self) -> float:
        failed = self._statistics.failures_in_a_row
        if not failed:
            return self.interval
        # The exponent is bounded: 2.0 ** 2000 raises.
        return max(self.interval, min(self.interval * 2.0 ** min(failed, 30), self._longest_backoff))
