"""Keys pressed at the terminal, one by one.

The law: the terminal is left as it was found, however the command ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer


@implementer(IReadDescriptor)
class Keys:
    """Hear keys while this context lasts; without a terminal, or a reactor that reads, hear nothing."""

    _log = Logger()

    def __init__(self, reactor: Any, pressed: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._pressed = pressed
        self._before: list[Any] | None = None

    def __enter__(self) -> Keys:
        if sys.stdin.isatty() and IReactorFDSet.providedBy(self._reactor):
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin.fileno())
            # Keys at once and without an echo; Ctrl-C stays a signal.
            tty.setcbreak(sys.stdin.fileno())
            self._reactor.addReader(self)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            import termios

            self._reactor.removeReader(self)
            # What was typed meanwhile was meant for us, not for the shell.
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._before)
            self._before = None

    def fileno(self) -> int:
        """Return the terminal's descriptor."""
        return sys.stdin.fileno()

    def doRead(self) -> None:
        """Take what was typed."""
        for key in os.read(sys.stdin.fileno(), 64).decode("utf-8", "ignore"):
            self._pressed(key)

    def connectionLost(self, reason: Any) -> None:
        """Do nothing: the terminal is gone, and a signal says so."""

    def logPrefix(self) -> str:
        """Return who reads here."""
        return "keys"
