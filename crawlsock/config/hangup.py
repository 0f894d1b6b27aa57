"""Read the configuration again when SIGHUP comes, which is how an administrator says that a file has changed."""

from __future__ import annotations

import signal
from types import FrameType

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from crawlsock.config.errors import ConfigError
from crawlsock.config.live import LiveSettings


class ReloadOnHangup:
    """A part of the server: from `start` to `stop`, SIGHUP reloads the settings.

    A configuration that cannot be used is logged and changes nothing: a slip in a file must not stop a
    server.
    """

    _log = Logger()

    def __init__(self, live: LiveSettings, reactor: IReactorFromThreads) -> None:
        self._live = live
        self._reactor = reactor
        self._previous: signal._HANDLER | None = None
        self._started = False

    def start(self) -> None:
        """Take the signal over."""
        if not self._started:
            self._started = True
            self._previous = signal.signal(signal.SIGHUP, self._hung_up)

    def stop(self) -> None:
        """Give the signal back to whoever had it."""
        if self._started:
            self._started = False
            # None stands for a handler that was not installed from Python; there is no giving that back.
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._previous is None else self._previous)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        # A signal interrupts anything at all; the reactor runs this when nothing else is half done.
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Reload now, and log what changed, what needs a restart, or why nothing was changed."""
        try:
            changes = self._live.reload()
        except ConfigError as error:
            self._log.error("The configuration was not reloaded: {reason}", reason=str(error))
            return
        for change in changes:
            effect = "changed" if change.applied else "needs a restart to change"
            self._log.info(
                "{name} {effect} from {old} to {new}", name=change.name, effect=effect, old=change.old, new=change.new
            )
        if not changes:
            self._log.info("The configuration was reloaded and nothing has changed")
