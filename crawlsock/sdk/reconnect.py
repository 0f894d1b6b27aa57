"""
Getting connected, and connected again: when to try next.

The law: full jitter (a uniform choice between 0 and a growing cap), so that thousands of crawlers never come
back in step; the first try is immediate; a server whose listen queue is full (EAGAIN) is tried again within a
blink, because it is there; a server that said when to come back is obeyed once.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, clientFromString
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

_LISTENING = re.compile(r":(mode|backlog|lockfile|wantPID)=[^:]*")
FIRST_CAP = 0.2
LAST_CAP = 5.0
BUSY_CAP = 0.05


def client_endpoint(reactor: object, where: str | IStreamClientEndpoint) -> IStreamClientEndpoint:
    """
    Turn what a user writes into a client endpoint.

    A string with a colon is a Twisted client endpoint (`unix:/run/crawlsock/socket`, `tls:host:port`), any
    other string is the path of a Unix socket.

    :raises ValueError: it is none, or one (`ssl:` without `hostname=`) that would show the token to whoever answers.
    """
    if not isinstance(where, str):
        return where
    if where.startswith("unix:"):
        # People copy what the server listens on: what only a listener needs to know is left out.
        where = _LISTENING.sub("", where)
    if where.startswith("ssl:") and ":hostname=" not in where:
        # Twisted then looks at no name, and without caCertsDir at no certificate.
        raise ValueError("ssl: without hostname= does not check who answers; write tls:host:port")
    if ":" in where:
        return IStreamClientEndpoint(clientFromString(reactor, where))  # type: ignore[no-untyped-call]
    return UNIXClientEndpoint(reactor, where)  # type: ignore[no-untyped-call]


class Connector:
    """
    Keep trying until there is a connection. After one is lost, `again()`.

    :param lost_attempt: told of every attempt that failed, with the failure.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        factory: IProtocolFactory,
        clock: IReactorTime,
        lost_attempt: Callable[[Failure], None],
        random: Random | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._clock = clock
        self._lost_attempt = lost_attempt
        self._random = random or Random()
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self._attempt: Deferred[IProtocol] | None = None
        self._stopped = True

    def start(self, now: bool = True) -> None:
        """Try at once, or (`now=False`) when told `again()`. One try at a time."""
        self._stopped = False
        self._failures = 0
        if now and self._attempt is None and self._timer is None:
            self._try()

    def stop(self) -> None:
        """Try no more; what was under way is cancelled."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def worked(self) -> None:
        """Learn that the connection came to a `welcome`: the next loss is followed by an immediate try."""
        self._failures = 0

    def again(self, delay: float | None = None) -> None:
        """Plan the next try: after `delay` seconds, or at once after a good connection, else with jitter."""
        if self._stopped or self._timer is not None or self._attempt is not None:
            return
        if delay is None:
            delay = self._jitter() if self._failures else 0.0
        self._failures += 1
        self._timer = self._clock.callLater(delay, self._due)

    def _jitter(self) -> float:
        cap: float = min(LAST_CAP, FIRST_CAP * 2.0 ** min(self._failures, 16))
        return self._random.uniform(0, cap)

    def _due(self) -> None:
        self._timer = None
        self._try()

    def _try(self) -> None:
        attempt = self._attempt = self._endpoint.connect(self._factory)
        attempt.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> None:
        self._attempt = None

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if self._stopped:
            return
        self._lost_attempt(failure)
        if _busy(failure):
            # The server lives and is slow to accept: that is no reason to stay away longer and longer.
            self._timer = self._clock.callLater(self._random.uniform(0, BUSY_CAP), self._due)
            return
        self._failures = max(self._failures, 1)
        self.again()


def _busy(failure: Failure) -> bool:
    error = failure.value
    code = getattr(error, "osError", None) if isinstance(error, ConnectError) else None
    return code == errno.EAGAIN or getattr(error, "errno", None) == errno.EAGAIN
