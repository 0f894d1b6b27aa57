"""
JobExecutor: what a crawler is built from. Coroutines by job type, run side by side under leases.

The law: free slots are credits, and as many as became free in a turn are asked for in one message; a new link
starts without any. What happens to a job is the concern of `in_hand.py`, leaving that of `drain.py`.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from crawlsock.sdk.connection import Connection
from crawlsock.sdk.drain import Drain
from crawlsock.sdk.errors import Refused
from crawlsock.sdk.hello import Welcome
from crawlsock.sdk.in_hand import JobsInHand
from crawlsock.sdk.job import Job
from crawlsock.sdk.monitor import Monitor
from crawlsock.sdk.outbox import Request
from crawlsock.sdk.run import JobFunction
from crawlsock.sdk.values import HostBudget
from crawlsock.wire.codec import Codec
from crawlsock.wire.message import Message

CANCEL_GRACE = 5.0
DRAIN_DEADLINE = 30.0
PAUSE = 1.0
MOST_SLOTS = 10_000


class JobExecutor:
    """
    Run jobs that a server hands out.

    :param endpoint: path of the server's Unix socket, or a Twisted client endpoint string.
    :param token: the crawler's token, if the server wants one.
    :param crawler_id: a lasting name, unique among living crawlers. Default: host, process id, a random word.
    :param slots: how many jobs to run side by side, 1 to 10,000.
    :param labels: what this crawler can do that others cannot; jobs may ask for labels.
    :param reactor: default the global one.
    :param cancel_grace: seconds that a cancelled job has to reach a checkpoint before what it waits for is
        cancelled.
    :param drain_deadline: seconds that running jobs have to reach a checkpoint when the crawler leaves.
    """

    def __init__(
        self,
        endpoint: str | IStreamClientEndpoint,
        token: str | None = None,
        crawler_id: str | None = None,
        slots: int = 4,
        labels: Iterable[str] = (),
        reactor: Any = None,
        *,
        cancel_grace: float = CANCEL_GRACE,
        drain_deadline: float = DRAIN_DEADLINE,
        codec: Codec | None = None,
    ) -> None:
        if not 1 <= slots <= MOST_SLOTS:
            raise ValueError(f"a crawler has 1 to {MOST_SLOTS} slots, not {slots}")
        if reactor is None:
            from twisted.internet import reactor
        self.clock: IReactorTime = reactor
        self.crawler_id = crawler_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.slots = slots
        self._token = token
        self._labels = tuple(labels)
        self._drain_deadline = drain_deadline
        self._functions: dict[str, JobFunction] = {}
        self._credit = 0
        self._pause: IDelayedCall | None = None
        self._drain: Drain | None = None
        self._over: list[Deferred[None]] = []
        self._log = Logger()
        self.connection = Connection(
            endpoint, self, reactor=self.clock, codec=codec, outbox_limit=max(10_000, 8 * slots)
        )
        self._requests = self.connection.requests
        self.in_hand = JobsInHand(self.clock, self._requests, self._functions, cancel_grace, self._changed)
        self.monitor = Monitor(self.in_hand, self._requests, self.clock)

    # What a crawler's author uses.

    def job(self, *types: str) -> Callable[[JobFunction], JobFunction]:
        """
        Decorate the function that does jobs of these types: `async def crawl(job: Job) -> JobResult | None`.

        :raises ValueError: no type is named, or one has a function already.
        """
        if not types:
            raise ValueError("say which job types the function is for")

        def register(function: JobFunction) -> JobFunction:
            for type in types:
                if type in self._functions:
                    raise ValueError(f"there are two functions for jobs of type {type!r}")
                self._functions[type] = function
            return function

        return register

    def report_hosts(self, source: Callable[[], Iterable[HostBudget]]) -> None:
        """
        Let people see what hosts allow this crawler: `source` is asked at every heartbeat.

        :param source: gives the budgets as they are; the first 64 are told.
        """
        self.monitor.hosts = source

    def start(self, deadline: float | None = None) -> Deferred[Welcome]:
        """
        Connect and begin to work; go on through lost links and restarts of the server until `stop()`.

        :param deadline: seconds after which to give up on the first connection; default: never.
        :returns: fires at the first welcome; fails with `Refused` if the server will never have this crawler,
            with `NotConnected` after the deadline.
        """
        self._drain = None
        self.in_hand.leaving = False
        return self.connection.start(deadline)

    def stop(self, drain: bool = True, deadline: float | None = None) -> Deferred[None]:
        """
        Stop working. Jobs get up to `deadline` seconds to reach a checkpoint, and are handed back with what
        they have saved.

        :param drain: `False`: at once. Calling with `False` during a drain cuts it short.
        :returns: fires when the jobs are handed back, or the time for that is over, and the link is closed.
        """
        if self._drain is None:
            self._drain = Drain(self, self.clock)
        patience = self._drain_deadline if deadline is None else deadline
        return self._drain.begin(patience if drain else 0.0)

    def run(self) -> None:
        """
        Run the reactor until the crawler ends. SIGTERM and SIGINT drain; a second one ends at once.

        :raises Refused: the server will never have this crawler (wrong token or version, taken crawler id).
        """
        from crawlsock.sdk.process import run_until_stopped

        run_until_stopped(self)

    def when_over(self) -> Deferred[None]:
        """Give a Deferred that fires when the crawler was stopped, and fails when it was refused for good."""
        over: Deferred[None] = Deferred()
        self._over.append(over)
        return over

    @property
    def jobs(self) -> list[Job]:
        """The jobs being worked on."""
        return self.in_hand.jobs

    # What the connection asks and tells (Peer).

    def introduction(self) -> dict[str, Any]:
        body: dict[str, Any] = {"role": "crawler", "crawler_id": self.crawler_id, "slots": self.slots}
        if self._functions:
            body["job_types"] = sorted(self._functions)
        if self._labels:
            body["labels"] = list(self._labels)
        if self._token is not None:
            body["token"] = self._token
        return body

    def held(self) -> Sequence[str]:
        return self.in_hand.leases

    def welcomed(self, welcome: Welcome) -> None:
        self.in_hand.progress_interval = welcome.progress_interval
        self.in_hand.keep_only(welcome.leases_kept)
        unknown = len(welcome.leases_kept.difference(self.in_hand.leases))
        if unknown:
            # Assigned on the old link, and never arrived. Only when the leases in hand did not fit into hello
            # can the server not know; it assigns them anew, and an assignment known here changes nothing.
            self._log.warn("The server kept {count} leases that never came here", count=unknown)
        self._credit = 0
        self.monitor.start(welcome.heartbeat_interval)

    def session_lost(self) -> None:
        self.in_hand.keep_only(())

    def link_lost(self) -> None:
        self._credit = 0
        self.monitor.stop()

    def refused(self, reason: Exception) -> None:
        self.in_hand.keep_only(())
        self.ended(reason)

    def pushed(self, message: Message) -> None:
        handler = _PUSHES.get(message.type)
        if handler is not None:
            handler(self, message)

    def turn_ends(self) -> None:
        """Ask for as many jobs as have become possible since the last time, in one message."""
        free = self.slots - self.in_hand.active - self._credit
        if free <= 0 or self._drain is not None or self.in_hand.paused or self._pause is not None:
            return
        if self._functions and not self._requests.full:
            self._credit += free
            done = partial(self._jobs_came, free)
            self._requests.send(Request("job_request", {"slots": free}, None, None, done, False))

    # Jobs come.

    def _jobs_came(self, asked: int, message: Message | None, error: Exception | None) -> None:
        if message is not None:
            for fields in message.data["jobs"]:
                self._assigned(fields["job_id"], fields["lease"], fields)
        elif isinstance(error, Refused):
            self._credit = max(0, self._credit - asked)
            if self._pause is None:
                self._pause = self.clock.callLater(error.retry_after or PAUSE, self._ask_again)

    def _ask_again(self) -> None:
        self._pause = None
        self._requests.touch()

    def _assigned(self, job_id: str, lease: str, fields: dict[str, Any]) -> None:
        if self._credit > 0:
            self._credit -= 1
        self.in_hand.assigned(job_id, lease, fields)

    def _changed(self) -> None:
        if self._drain is not None:
            self._drain.look()
        self._requests.touch()

    def _pushed_assignment(self, message: Message) -> None:
        self._assigned(message.job_id or "", message.lease or "", message.data)

    def _pushed_shutdown(self, message: Message) -> None:
        self.stop(deadline=min(self._drain_deadline, message.data["deadline"]))

    def _pause_all(self, paused: bool) -> None:
        if self.in_hand.paused is not paused:
            self.in_hand.pause_all(paused)
            if paused:
                self.withdraw()

    def withdraw(self) -> None:
        """Take back what was asked for: no more jobs, please. Those that cross this on their way are ours."""
        self._credit = 0
        if self.connection.connected:
            self._requests.send(Request("job_request", {"slots": 0}, None, None, self._withdrawn, False))

    def _withdrawn(self, message: Message | None, error: Exception | None) -> None:
        self._jobs_came(0, message, None)

    # The end.

    def ended(self, reason: Exception | None) -> None:
        """Stop the heartbeat and tell whoever waits in `when_over()`."""
        self.monitor.stop()
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
        over, self._over = self._over, []
        for waiter in over:
            if reason is None:
                waiter.callback(None)
            else:
                waiter.errback(reason)


_PUSHES: dict[str, Callable[[JobExecutor, Message], None]] = {
    "job_assignment": JobExecutor._pushed_assignment,
    "job_cancel": lambda executor, message: executor.in_hand.cancel(message),
    "job_pause": lambda executor, message: executor.in_hand.pause(message, True),
    "job_resume": lambda executor, message: executor.in_hand.pause(message, False),
    "crawler_pause": lambda executor, _: executor._pause_all(True),
    "crawler_resume": lambda executor, _: executor._pause_all(False),
    "credential_update": lambda executor, message: executor.in_hand.credentials.update(message.data),
    "shutdown": JobExecutor._pushed_shutdown,
}
