"""Tell people: send what is in the outbox.

The law: a row of the outbox is sent by the one server that took it, and is settled after the receiver has answered; so
a server that dies leaves it to the next, and a receiver may see one twice, under the same id. What is sent is made in
`payload`. No redirect is followed, neither time nor size of an answer is without a bound, and no word of a receiver,
nor its address, is kept or logged.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from crawlsock.config import Settings
from crawlsock.duties.oauth import Poster
from crawlsock.incidents import payload
from crawlsock.interfaces import INotifier
from crawlsock.masking import Masker
from crawlsock.store.records_values import Outgoing
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

WEBHOOK: Final = "webhook"
INTERVAL: Final = 5.0
"""Seconds between looks into the outbox, when nothing said that there is something."""
MOST_AT_ONCE: Final = 20
MOST_ANSWERED: Final = 64 * 1024
_HOLD_BESIDE: Final = 30.0
"""Seconds that a row stays ours beyond the time that a receiver may take."""
_GONE: Final = 410
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class NotSent(Exception):
    """A try failed. `for_good`: no other one will do better; `retry_after`: when to come back, in seconds."""

    def __init__(self, reason: str, *, for_good: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.for_good = for_good
        self.retry_after = retry_after


class ChannelError(Exception):
    """A plugin's channel cannot be used; the sentence says why."""


@frozen
class _Answer:
    """What of a receiver's answer counts."""

    code: int
    retry_after: float | None


class Notifier:
    """Send notifications by webhook, and by the channels of plugins.

    :param http: posts webhooks.
    :param plugins: further channels.
    :param dice: returns numbers from 0 up to 1.
    :ivar failing: why the last try failed, by channel; a channel whose last try went well is not in it.
    :raises ChannelError: two channels have one name, or one has none.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        settings: Callable[[], Settings],
        http: Poster,
        masker: Masker,
        plugins: Sequence[INotifier] = (),
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._store = store
        self._settings = settings
        self._http = http
        self._masker = masker
        self._plugins = _by_name(plugins)
        self._dice = dice
        self.wake: Callable[[], None] = lambda: None
        self.failing: dict[str, str] = {}

    def channels(self) -> list[str]:
        """Return the channels by which people are told now."""
        settings = self._settings()
        webhook = [WEBHOOK] if settings.webhook_url is not None and settings.webhook_secret is not None else []
        return webhook + sorted(self._plugins)

    def test(self, actor: str) -> Deferred[list[dict[str, str]]]:
        """Put a test into the outbox for each channel; fire with the id and the channel of each.

        Fails with ``invalid_state`` when there is no channel.
        """
        return Deferred.fromCoroutine(self._test(actor))

    async def _test(self, actor: str) -> list[dict[str, str]]:
        channels = self.channels()
        if not channels:
            raise Refusal(ErrorCode.INVALID_STATE, "there is no channel: set webhook_secret and webhook_url first")
        made = await self._store.test_notification(channels, actor)
        self.wake()
        return [{"notification_id": notification_id, "channel": channel} for notification_id, channel in made]

    async def run(self) -> None:
        """Send what is due; the duty."""
        while True:
            channels = self.channels()
            if not channels or self._store.state != "up":
                return
            try:
                hold = self._settings().webhook_timeout + _HOLD_BESIDE
                taken = await self._store.take_notifications(channels, hold, MOST_AT_ONCE)
            except Refusal as refusal:
                self._log.debug("The outbox could not be read: {reason}", reason=str(refusal))
                return
            await DeferredList([Deferred.fromCoroutine(self._send(each)) for each in taken], consumeErrors=True)
            if len(taken) < MOST_AT_ONCE:
                return

    async def _send(self, outgoing: Outgoing) -> None:
        settings = self._settings()
        told = payload.message(outgoing, settings.server_name)
        outcome, reason, again = "sent", None, 0.0
        try:
            if outgoing.channel == WEBHOOK:
                await self._post(settings, outgoing.notification_id, payload.encode(told))
            else:
                await self._hand_over(settings, outgoing.channel, outgoing.notification_id, told)
            self.failing.pop(outgoing.channel, None)
        except NotSent as error:
            reason = self.failing[outgoing.channel] = str(error)
            last = error.for_good or outgoing.attempt >= settings.notify_attempts
            outcome = "failed" if last else "waiting"
            again = payload.pause(outgoing.attempt, error.retry_after, self._dice())
            self._log.warn(
                "A notification was not sent by {channel} (try {attempt}): {reason}",
                channel=outgoing.channel,
                attempt=outgoing.attempt,
                reason=reason,
            )
        try:
            await self._store.settle_notification(outgoing.notification_id, outgoing.attempt, outcome, reason, again)
        except Refusal as refusal:
            # It is due again when the hold is over; a receiver knows it by its id.
            self._log.debug("It could not be noted how a notification went: {reason}", reason=str(refusal))

    async def _post(self, settings: Settings, notification_id: str, body: bytes) -> None:
        """Post a webhook. Raises `NotSent`."""
        url, secret = settings.webhook_url, settings.webhook_secret
        if url is None or secret is None:
            raise NotSent("the webhook was turned off")
        self._masker.register(secret)
        self._masker.register(url)
        headers = payload.headers(secret, notification_id, body, self._clock.seconds())
        exchange = Deferred.fromCoroutine(_exchange(self._http, url, body, headers))
        exchange.addTimeout(settings.webhook_timeout, self._clock)
        try:
            answer = await exchange
        except Exception as error:
            # Whatever the HTTP client raises, there was no answer. Its text may hold the address: left out.
            raise NotSent(f"no answer from the receiver ({_name_of(error)})") from None
        if not 200 <= answer.code < 300:
            raise NotSent(
                f"the receiver answered {answer.code}",
                for_good=answer.code == _GONE,
                retry_after=answer.retry_after,
            )

    async def _hand_over(self, settings: Settings, channel: str, notification_id: str, told: Mapping[str, Any]) -> None:
        """Give a notification to a plugin. Raises `NotSent`."""
        delivery = Deferred.fromCoroutine(_delivered(self._plugins[channel], notification_id, told))
        delivery.addTimeout(settings.webhook_timeout, self._clock)
        try:
            await delivery
        except Exception as error:
            self._log.failure("The channel {channel} failed", channel=channel)
            raise NotSent(f"the channel failed ({_name_of(error)})") from None


async def _delivered(plugin: INotifier, notification_id: str, told: Mapping[str, Any]) -> None:
    under_way = plugin.deliver(notification_id, told)
    if under_way is not None:
        await under_way


def _by_name(plugins: Sequence[INotifier]) -> dict[str, INotifier]:
    named: dict[str, INotifier] = {}
    for plugin in plugins:
        name = plugin.name
        if not isinstance(name, str) or _CHANNEL.fullmatch(name) is None:
            raise ChannelError(f"a notifier is named {name!r}; use lower-case letters, digits and underscores")
        if name == WEBHOOK or name in named:
            raise ChannelError(f"two notifiers are named {name}; rename one of them")
        named[name] = plugin
    return named


def _name_of(error: BaseException) -> str:
    """Return what an error is called; of one that holds others, what the first of them is called."""
    reasons = getattr(error, "reasons", None)
    inner = reasons[0].value if reasons and isinstance(reasons[0], Failure) else error
    return type(inner).__name__


async def _exchange(client: Poster, url: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
    response = await client.post(url, data=body, headers=dict(headers), allow_redirects=False, unbuffered=True)
    # Whoever waits no longer must not leave the connection to a receiver that never ends.
    read: Deferred[None] = Deferred(lambda _: swallow.hang_up())
    swallow = _Swallow(read)
    response.deliverBody(swallow)  # type: ignore[no-untyped-call]
    await read
    wanted = (response.headers.getRawHeaders("Retry-After") or [""])[0]
    return _Answer(response.code, float(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else None)


class _Swallow(TwistedProtocol):
    """Take a body, keep nothing of it, and hang up when it is long: the status has said all."""

    def __init__(self, done: Deferred[None]) -> None:
        self._done: Deferred[None] | None = done
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST_ANSWERED:
            self._finish()
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, whatever is still to come."""
        if self.transport is not None:
            stop = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.callback(None)
