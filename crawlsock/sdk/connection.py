"""
Connection: one peer's stay at a server, over as many links as it takes.

What lives here: getting connected, the greeting, the session's ticket, signs of life. What must never come here:
jobs. The peer (an executor, a manager) is asked what to say in `hello` and hears of pushes; what was asked and
not answered yet is kept by `requests.py`.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from crawlsock.sdk.errors import NotConnected, Refused
from crawlsock.sdk.hello import FINAL_REFUSALS, Peer, Ticket, Welcome, answered_ids, hello_body
from crawlsock.sdk.link import Link
from crawlsock.sdk.outbox import Request
from crawlsock.sdk.reconnect import Connector, client_endpoint
from crawlsock.sdk.requests import Requests, keeping
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import FrameError, InvalidMessage
from crawlsock.wire.message import Message
from crawlsock.wire.session import PROTOCOL_VERSIONS

HELLO_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
SILENCE = 3.0
"""Intervals without a byte from the server after which the link is given up."""


class Connection:
    """
    Talk to a server: `start()`, then `requests.ask()`, and in the end `stop()`.

    :param endpoint: path of a Unix socket, a Twisted client endpoint string, or an endpoint.
    :param peer: who is talking; see `Peer`.
    :param outbox_limit: unanswered requests above which `requests.room()` makes callers wait.
    """

    def __init__(
        self,
        endpoint: str | IStreamClientEndpoint,
        peer: Peer,
        *,
        reactor: IReactorTime,
        codec: Codec | None = None,
        random: Random | None = None,
        outbox_limit: int = 10_000,
    ) -> None:
        self._clock = reactor
        self._peer = peer
        self._codec = codec or Codec(Catalog.load())
        self._random = random or Random()
        self._log = Logger()
        self.welcome: Welcome | None = None
        self.requests = Requests(reactor, self._codec, peer.turn_ends, outbox_limit, self._random)
        self._connector = Connector(
            client_endpoint(reactor, endpoint),
            Factory.forProtocol(lambda: Link(self)),
            reactor,
            self._attempt_failed,
            self._random,
        )
        self._link: Link | None = None
        self._ticket: Ticket | None = None
        self._hello_id = 0
        self._come_back: float | None = None
        self._timer: IDelayedCall | None = None
        self._heard = 0.0
        self._watch_due = 0.0
        self._waiters: list[Deferred[Welcome]] = []
        self._gone: list[Deferred[None]] = []
        self._ended: Exception | None = NotConnected("the connection was not started")
        self._last_problem = ""
        self._farewell = False

    @property
    def connected(self) -> bool:
        """Whether a `welcome` was heard on the link of this moment."""
        return self.welcome is not None

    # Beginning and end.

    def start(self, deadline: float | None = None) -> Deferred[Welcome]:
        """
        Connect, and stay connected until `stop()`. Starting twice is one start.

        :param deadline: seconds after which to give up on the first connection; default: never.
        :returns: fires at the (next) welcome; fails with `Refused` when the server will never have us, with
            `NotConnected` after the deadline or when stopped.
        """
        if self._ended is not None:
            self._ended = None
            self.requests.started()
            # An old link may still be closing; its end is then followed by the first try.
            self._connector.start(now=self._link is None)
        waiter = self.when_welcome()
        if deadline is not None and not waiter.called:
            waiter.addBoth(keeping(self._clock.callLater(deadline, self._too_late, deadline)))
        return waiter

    def when_welcome(self) -> Deferred[Welcome]:
        """Give a Deferred that fires when connected (at once if so), and fails when that can never be."""
        waiter: Deferred[Welcome] = Deferred()
        if self.welcome is not None:
            waiter.callback(self.welcome)
        elif self._ended is not None:
            waiter.errback(self._ended)
        else:
            self._waiters.append(waiter)
        return waiter

    def stop(self) -> Deferred[None]:
        """
        Close, after what was written has gone out. Unanswered requests fail with `NotConnected`.

        :returns: fires when there is no link any more.
        """
        if self._ended is None:
            self.requests.flush()
        self._end(NotConnected("the connection was stopped"))
        gone: Deferred[None] = Deferred()
        if self._link is None:
            gone.callback(None)
        else:
            self._gone.append(gone)
        return gone

    def _too_late(self, deadline: float) -> None:
        why = f" ({self._last_problem})" if self._last_problem else ""
        self._end(NotConnected(f"no server answered within {deadline:g} seconds{why}"))

    def _end(self, reason: Exception) -> None:
        """End for good (until the next `start()`), and tell everybody who waits."""
        if self._ended is not None:
            return
        self._ended = reason
        self.welcome = None
        self._ticket = None
        self._connector.stop()
        self._drop_timer()
        link = self._link
        if link is not None:
            link.close()
            self._timer = self._clock.callLater(CLOSE_TIMEOUT, link.abort)
        self.requests.ended(reason)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(reason)
        if isinstance(reason, Refused):
            self._log.error("The server will not have us: {reason}", reason=reason)
            self._peer.refused(reason)

    def _drop_timer(self) -> None:
        call, self._timer = self._timer, None
        if call is not None and call.active():
            call.cancel()

    # The link.

    def link_made(self, link: Link) -> None:
        if self._ended is not None:
            link.abort()
            return
        self._link = link
        self._heard = self._clock.seconds()
        self._timer = self._clock.callLater(HELLO_TIMEOUT, self._silent, link)
        self._say_hello(link)

    def _say_hello(self, link: Link) -> None:
        self._hello_id = self.requests.outbox.next_id()
        link.write(self._codec.encode("hello", hello_body(self._peer, self._ticket), id=self._hello_id))

    def link_ready(self, link: Link) -> None:
        self.requests.touch()

    def link_broke(self, link: Link, error: FrameError) -> None:
        self._log.error("The server sent what is no frame: {error}", error=error)
        link.abort()

    def link_lost(self, link: Link, reason: Failure) -> None:
        if link is not self._link:
            return
        was_connected = self.welcome is not None
        self._link = None
        self.welcome = None
        self._farewell = False
        self._drop_timer()
        gone, self._gone = self._gone, []
        for waiter in gone:
            waiter.callback(None)
        if self._ended is None:
            self.requests.closed()
            if was_connected:
                self._log.info("Lost the link to the server: {why}", why=reason.getErrorMessage())
                self._peer.link_lost()
            elif not isinstance(reason.value, (ConnectionDone, ConnectionAborted)):
                # Of TLS: the connection is made first, and the certificate is looked at afterwards.
                self._attempt_failed(reason)
            delay, self._come_back = self._come_back, None
            self._connector.again(delay)

    def _attempt_failed(self, failure: Failure) -> None:
        problem = failure.getErrorMessage()
        # Said once: who waits for a server that is not there yet must not fill the log.
        say = self._log.debug if problem == self._last_problem else self._log.warn
        say("Did not reach the server: {why}", why=problem)
        self._last_problem = problem

    def _silent(self, link: Link) -> None:
        """Give up a link on which nothing is heard; it may be half open, or the server may be frozen."""
        self._timer = None
        self._last_problem = "connected, but it stayed silent"
        self._log.warn("Heard nothing from the server for too long")
        link.abort()

    def _watch(self) -> None:
        """Every interval: ask for a sign of life when there was none, and lose patience in the end."""
        self._timer = None
        link, welcome = self._link, self.welcome
        if link is None or welcome is None:
            return
        now = self._clock.seconds()
        silence = now - self._heard
        # A process that stood still itself (a blocking job, SIGSTOP) has not listened: its link may be fine, and
        # what came meanwhile still waits to be read.
        stood_still = now - self._watch_due > welcome.patience / 2
        if silence >= welcome.patience * SILENCE and not stood_still:
            self._silent(link)
            return
        if silence >= welcome.patience / 2:
            self.requests.send(Request("ping", {}, keep=False))
        self._watch_later(welcome)

    def _watch_later(self, welcome: Welcome) -> None:
        self._watch_due = self._clock.seconds() + welcome.patience
        self._timer = self._clock.callLater(welcome.patience, self._watch)

    # Messages.

    def frames_came(self, link: Link, frames: list[bytes]) -> None:
        self._heard = self._clock.seconds()
        decode = self._codec.decode
        requests = self.requests
        requests.in_turn = True
        try:
            for frame in frames:
                if link is not self._link or self._ended is not None:
                    return
                try:
                    message = decode(frame)
                except InvalidMessage as error:
                    self._not_understood(frame, error)
                    continue
                if message.type == "ack":
                    requests.acknowledged(message)
                else:
                    self._received(link, message)
        finally:
            requests.in_turn = False
        requests.turn_over()
        if self._farewell and not requests.outbox.in_flight:
            # Every answer has come. Staying longer would only make the server wait.
            link.close()

    def _not_understood(self, frame: bytes, error: InvalidMessage) -> None:
        # A newer server may push what this SDK does not know: that is no reason to part. But nobody shall wait
        # for an answer that came and was not understood.
        self._log.warn("The server sent a message not understood here: {error}", error=error)
        ids = answered_ids(frame)
        if self.welcome is None and self._hello_id in ids:
            self._end(Refused("internal", f"the answer to hello was not understood: {error}"))
            return
        for id in ids:
            request = self.requests.outbox.answered(id)
            if request is not None and request.done is not None:
                request.done(None, Refused("internal", f"the answer was not understood: {error}"))

    def _received(self, link: Link, message: Message) -> None:
        ids = message.answers()
        if self.welcome is None and (message.type == "error" or self._hello_id in ids):
            self._greeted(link, message)
        elif message.type == "error":
            self._refused(link, message, ids)
        elif ids:
            self.requests.replied(ids, message)
        else:
            if message.id is not None:
                self.requests.ack(message.id)
            if message.type == "shutdown":
                self._server_leaves(message)
            elif message.type == "broadcast":
                self._log.info("Word from the server: {text}", text=message.data["message"])
            elif message.type != "ping":
                self._peer.pushed(message)

    def _server_leaves(self, message: Message) -> None:
        """Take leave of a server that will soon be gone; the session and the jobs in hand outlive the link."""
        self._log.info("The server ends this connection: {why}", why=message.data["reason"])
        if message.data.get("leave", False):
            self._peer.pushed(message)
        else:
            self._come_back = float(message.data["reconnect_delay"])
            self._farewell = True
            self.requests.ask_no_more()

    def _greeted(self, link: Link, message: Message) -> None:
        """Hear the answer to `hello`."""
        if message.type == "welcome":
            if message.data["version"] not in PROTOCOL_VERSIONS:
                self._end(Refused("unsupported_version", "the server chose a version that was not offered"))
            else:
                self._begin(link, Welcome.of(message.data))
            return
        refused = refusal_of(message.data)
        final = refused.code in FINAL_REFUSALS
        if self._ticket is not None and (final or refused.code == "session_expired"):
            # The old stay is over, whatever the reason; perhaps a new one may begin.
            self._ticket = None
            self._peer.session_lost()
            if final:
                link.close()
            else:
                self._say_hello(link)
        elif final:
            self._end(refused)
        else:
            self._log.warn("The server does not want us now: {error}", error=refused)
            self._last_problem = str(refused)
            if refused.retry_after is not None:
                self._come_back = refused.retry_after * self._random.uniform(1, 1.5)
            link.close()

    def _begin(self, link: Link, welcome: Welcome) -> None:
        if self._ticket is not None and not welcome.resumed:
            self._peer.session_lost()
        self._ticket = Ticket(welcome.ticket) if welcome.ticket is not None else None
        self.welcome = welcome
        self._last_problem = ""
        self.requests.opened(link, welcome)
        self._connector.worked()
        self._drop_timer()
        self._watch_later(welcome)
        self._log.info("Connected, session {session}", session=welcome.session_id, resumed=welcome.resumed)
        self._peer.welcomed(welcome)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(welcome)

    def _refused(self, link: Link, message: Message, ids: tuple[int, ...]) -> None:
        refused = refusal_of(message.data)
        if refused.code == "session_expired" and self._ticket is not None:
            # The session ended while this process stood still. Begin a new one on a new link.
            self._ticket = None
            self._peer.session_lost()
            self._come_back = 0.0
            link.close()
        elif ids:
            self.requests.refused(ids, refused)
        else:
            self._log.warn("The server complained: {error}", error=refused)


def refusal_of(data: dict[str, Any]) -> Refused:
    """Make the exception of an `error` message's body."""
    return Refused(data["code"], data["message"], data.get("pointer"), data.get("retry_after"))
