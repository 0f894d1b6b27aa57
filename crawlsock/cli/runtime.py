"""Running a command's coroutine: the reactor, the signals, the connection.

The law: the only place of the command line that touches the global reactor. A signal cancels what is awaited, so that
every ``finally`` on the way runs; a second one ends at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from crawlsock.cli.access import find_access
from crawlsock.cli.command import Invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.sdk import JobManager

T = TypeVar("T")


class Runtime(Protocol):
    """What a command needs of the world. `connect_deadline`: seconds for the first connection."""

    connect_deadline: float

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run `work(reactor)` to its end; return or raise what it did."""

    def manager(self, invocation: Invocation, role: str) -> JobManager:
        """Make a manager for the server that the invocation means, not started; what is wrong with it is told now."""


@implementer(ILogObserver)
class _Silence:
    """Hear nothing: results and problems are told by the commands."""

    def __call__(self, event: LogEvent) -> None:
        """Drop the event."""


class ReactorRuntime:
    """The real world: one run of the global reactor in this process."""

    connect_deadline = 5.0

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run to the end. SIGINT and SIGTERM cancel; the process then ends as by that signal."""
        from twisted.internet import reactor as installed

        reactor: Any = installed
        outcome: list[Any] = []
        signals: list[int] = []
        running: list[Deferred[T]] = []

        def on_signal(number: int, frame: FrameType | None) -> None:
            reactor.callFromThread(interrupt, number)

        def interrupt(number: int) -> None:
            signals.append(number)
            if len(signals) == 1 and running:
                running[0].cancel()
            else:
                # Parts of a command that must not be left behind hang on the reactor's shutdown.
                end(None)

        def begin() -> None:
            # After the reactor has installed its own handlers, which would end it with nothing cleaned up.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, on_signal)
            done = Deferred.fromCoroutine(work(reactor))
            running.append(done)
            done.addBoth(outcome.append).addBoth(end)

        def end(_: object) -> None:
            try:
                reactor.stop()
            except ReactorNotRunning:
                pass  # it is stopping already

        # Without an observer Twisted prints what is critical, with its traceback, over our output.
        globalLogBeginner.beginLoggingTo([_Silence()], redirectStandardIO=False)
        reactor.callWhenRunning(begin)
        reactor.run()
        if not outcome:
            raise SystemExit(128 + (signals or [signal.SIGINT])[0])
        result = outcome[0]
        if isinstance(result, Failure):
            if signals and isinstance(result.value, CancelledError):
                raise SystemExit(128 + signals[0])
            result.raiseException()
        return result  # type: ignore[no-any-return]

    def manager(self, invocation: Invocation, role: str) -> JobManager:
        """Make a manager from what options, environment and configuration say."""
        access = find_access(invocation, role)
        try:
            return JobManager(access.endpoint, access.token, role=access.role)
        except (ValueError, TypeError) as error:
            raise CommandError(
                Exit.BAD_CONFIGURATION,
                f"{access.endpoint!r} is nothing that one can connect to ({error}); "
                "write the path of a socket, or a Twisted client endpoint such as tcp:host:port",
            ) from None
