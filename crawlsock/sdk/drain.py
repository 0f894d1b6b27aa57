"""
Drain: how a crawler leaves. Ask for nothing more, let jobs reach a checkpoint, hand them back, go.

The law: leaving takes no longer than promised. When the deadline has come, what the jobs wait for is cancelled;
a job that does not even end then is left behind for the reaper.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from crawlsock.sdk.connection import Connection
from crawlsock.sdk.in_hand import JobsInHand

LAST_WORDS = 5.0
"""Seconds for interrupted jobs to end, and for last words to be answered."""


class Leaving(Protocol):
    """What a drain needs from the executor that leaves."""

    connection: Connection
    in_hand: JobsInHand

    def withdraw(self) -> None: ...

    def ended(self, reason: Exception | None) -> None: ...


class Drain:
    """One leaving. `begin(0)` to hurry it."""

    def __init__(self, executor: Leaving, clock: IReactorTime) -> None:
        self._executor = executor
        self._in_hand = executor.in_hand
        self._clock = clock
        self._log = Logger()
        self._call: IDelayedCall | None = None
        self._waiters: list[Deferred[None]] = []
        self._begun = False
        self._last_words = False
        self._closing = False
        self._done = False

    def begin(self, deadline: float) -> Deferred[None]:
        """Leave within `deadline` seconds, and five more for the last words. Fires when gone."""
        waiter: Deferred[None] = Deferred()
        if self._done:
            waiter.callback(None)
            return waiter
        self._waiters.append(waiter)
        if not self._begun:
            self._begun = True
            self._log.info("Leaving; {jobs} jobs are to reach a checkpoint", jobs=self._in_hand.active)
            self._plan(deadline)
            self._executor.withdraw()
            self._in_hand.release_all("the crawler is leaving")
        if deadline <= 0:
            self._interrupt()
        self.look()
        return waiter

    def look(self) -> None:
        """See how far it is; called whenever a job ends or its end is answered."""
        if self._closing:
            return
        if not self._in_hand.leases:
            self._close()
        elif not self._in_hand.active and not self._last_words:
            self._last_words = True
            self._plan(LAST_WORDS)

    def _plan(self, delay: float) -> None:
        """Set the time of the next, harder step: interrupt the jobs, or go without the last answers."""
        self._drop_call()
        step = self._close if self._last_words else self._interrupt
        self._call = self._clock.callLater(delay, step)

    def _interrupt(self) -> None:
        if self._closing or self._last_words:
            return
        self._last_words = True
        self._plan(LAST_WORDS)
        self._in_hand.interrupt_all()

    def _close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._drop_call()
        self._executor.connection.stop().addCallback(self._closed)

    def _closed(self, _: None) -> None:
        self._done = True
        # What did not end by itself is given up: nothing it says is sent any more.
        self._in_hand.keep_only(())
        self._executor.ended(None)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _drop_call(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
