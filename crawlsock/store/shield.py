"""Wait for a driver's Deferred without letting a cancel reach the driver.

The law of this module: no driver, no SQL; one way to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


async def cancellable(running: Deferred[T], give_up: Callable[[], None]) -> T:
    """Wait for a driver's Deferred; being cancelled closes the connection, which is what then ends it.

    Txpostgres answers a cancel by raising through the reactor; and the protocol would need the cancelled
    statement's answer to be read before the connection could be used again.
    """
    shield: Deferred[T] = Deferred(lambda _: give_up())
    running.addCallbacks(_unless_called(shield, shield.callback), _unless_called(shield, shield.errback))
    return await shield


def _unless_called(shield: Deferred[Any], settle: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda outcome: None if shield.called else settle(outcome)
