"""
A crawler as a whole process: the reactor, the signals, the end.

The first SIGTERM or SIGINT drains, the second one ends at once.
"""

from __future__ import annotations

import signal
import threading
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Stoppable(Protocol):
    clock: Any

    def start(self) -> Deferred[Any]: ...

    def stop(self, drain: bool = True) -> Deferred[None]: ...

    def when_over(self) -> Deferred[None]: ...


def run_until_stopped(executor: Stoppable) -> None:
    """Run the executor's reactor until the executor is over; raise what it was refused with."""
    reactor = executor.clock
    problem: list[Failure] = []
    asked: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        reactor.callFromThread(leave)

    def leave() -> None:
        asked.append(1)
        executor.stop(drain=len(asked) == 1)

    def begin() -> None:
        # After the reactor has installed its own handlers, which would end it without a drain.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, on_signal)
        executor.when_over().addErrback(keep).addBoth(lambda _: end())
        executor.start().addErrback(lambda _: None)

    def keep(failure: Failure) -> None:
        problem.append(failure)

    def end() -> None:
        if reactor.running:
            reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run()
    if problem:
        problem[0].raiseException()
