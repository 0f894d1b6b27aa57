"""One HTTP GET, through treq.

Law: this is the only place that touches treq, and it decides nothing. Redirects are not followed, bodies
are bounded while they arrive, and whatever the network does wrong becomes `NetworkFailed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol as ByteProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse


class NetworkFailed(Exception):
    """Say that no whole answer came: refused, cut off, timed out, or larger than allowed."""


@frozen
class Answer:
    """What came back. Header names are lower case; of a repeated header the last one counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """How the client reaches GitLab; the tests have one without a network."""

    def get(self, url: str, headers: Mapping[str, str]) -> Deferred[Answer]:
        """Fetch a URL, or fail with `NetworkFailed`. Cancelling it drops the request."""


class _Body(ByteProtocol):
    """Collect a body up to a limit; beyond it the connection is dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self.finished: Deferred[bytes] = Deferred(self._abandon)

    def _abandon(self, _: Deferred[bytes]) -> None:
        self._drop()

    def _drop(self) -> None:
        transport = self.transport
        # Bodies that came whole in one piece are delivered by a transport that is gone already.
        abort = getattr(transport, "abortConnection", None) or getattr(transport, "loseConnection", None)
        if abort is not None:
            abort()

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._chunks.append(data)
        elif not self.finished.called:
            self._chunks.clear()
            self.finished.errback(NetworkFailed(f"the answer is larger than {self._limit} bytes"))
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        # PotentialDataLoss: neither a length nor chunks; whether it is whole shows when it is parsed.
        if isinstance(reason.value, (ResponseDone, PotentialDataLoss)):
            self.finished.callback(b"".join(self._chunks))
        else:
            self.finished.errback(NetworkFailed(f"the answer broke off: {reason.getErrorMessage()}"))


def _quiet(*details: Any) -> Any:
    """Make a factory for a connection of a pool, without the two lines that each would leave in the log."""
    factory = HTTPConnectionPool._factory(*details)  # type: ignore[no-untyped-call]
    factory.noisy = False
    return factory


@frozen(eq=False)
class TreqTransport:
    """Fetch through a pool of persistent connections. `timeout` bounds one request, body included, in
    seconds.
    """

    client: HTTPClient
    reactor: IReactorTime
    pool: HTTPConnectionPool
    timeout: float = 60.0
    body_limit: int = 64 * 1024 * 1024

    @classmethod
    def on(cls, reactor: IReactorTCP, *, connections: int, timeout: float, body_limit: int) -> TreqTransport:
        """Build a transport with a pool of its own; `connections` of them to one host stay open between
        requests.
        """
        pool = HTTPConnectionPool(reactor, persistent=True)  # type: ignore[no-untyped-call]
        pool.maxPersistentPerHost = connections
        pool.cachedConnectionTimeout = 60
        pool._factory = _quiet  # type: ignore[assignment]
        agent = Agent(reactor, connectTimeout=10, pool=pool)  # type: ignore[no-untyped-call]
        client = HTTPClient(agent)
        return cls(client, cast(IReactorTime, reactor), pool, timeout, body_limit)

    def get(self, url: str, headers: Mapping[str, str]) -> Deferred[Answer]:
        """Fetch a URL, or fail with `NetworkFailed`."""
        waiting = Deferred.fromCoroutine(self._get(url, headers))
        given_up: list[Exception] = []

        def give_up(reason: Exception) -> None:
            given_up.append(reason)
            waiting.cancel()

        # Cancelled in the middle of something, Twisted's client fails with whatever that something was: the
        # reason has to be remembered here.
        outcome: Deferred[Answer] = Deferred(lambda _: give_up(CancelledError()))
        late = NetworkFailed(f"no whole answer within {self.timeout:g} s")
        timer = self.reactor.callLater(self.timeout, give_up, late)

        def settle(result: Answer | Failure) -> None:
            if timer.active():
                timer.cancel()
            if not isinstance(result, Failure):
                outcome.callback(result)
                return
            error = given_up[0] if given_up else result.value
            if not isinstance(error, (CancelledError, NetworkFailed)):
                # There is no common base of what may be raised; all of it means that there is no answer.
                error = NetworkFailed(f"{type(error).__name__}: {error}"[:500])
            outcome.errback(error)

        waiting.addBoth(settle)
        return outcome

    async def _get(self, url: str, headers: Mapping[str, str]) -> Answer:
        wanted = Headers({name: [value] for name, value in headers.items()})
        response = cast(
            IResponse,
            await self.client.get(url, headers=wanted, allow_redirects=False, unbuffered=True),
        )
        body = _Body(self.body_limit)
        response.deliverBody(body)  # type: ignore[no-untyped-call]
        content = await body.finished
        found = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return Answer(response.code, found, content)

    def close(self) -> Deferred[None]:
        """Close the connections that wait for more requests."""
        return cast("Deferred[None]", self.pool.closeCachedConnections())  # type: ignore[no-untyped-call]
