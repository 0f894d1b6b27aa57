"""Know how many jobs there are, without counting them for everybody who asks.

The law: what is counted by looking at every job is counted when somebody asks and the last count is old, never by two
at a time, and no more often than costs a fortieth of a connection. Whoever is told a number is told of when it is. A
small installation is counted within milliseconds, and so its numbers are never older than a second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from crawlsock.jobs import State
from crawlsock.store.listing_values import ItemSum, JobCount, SessionRate

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
"""A count younger than this is not taken anew."""
SHARE: Final = 1 / 40
"""Part of the time of one connection that one kind of count may take, whoever asks how often."""
SMALL: Final = 20_000
"""With so many jobs or fewer a count is always waited for: it is quick, however long it took on a busy machine."""
PATIENCE: Final = 0.1
"""A count that takes longer is not waited for, once there is an earlier one."""


@frozen
class Taken(Generic[T]):
    """Hold what was counted, and when."""

    value: T
    at: datetime


class Count(Generic[T]):
    """Hold the last of one kind of count, and take it anew when it is asked for and old.

    :param small: tells whether there is so little to count that what it costs does not matter.
    """

    def __init__(
        self, clock: IReactorTime, read: Callable[[], Deferred[T]], small: Callable[[], bool] = lambda: False
    ) -> None:
        self._clock = clock
        self._read = read
        self._small = small
        self._last: Taken[T] | None = None
        self._began = 0.0
        self._cost = 0.0
        self._reading = False
        self._failure: Failure | None = None
        self._waiting: list[Deferred[Taken[T]]] = []

    def get(self) -> Deferred[Taken[T]]:
        """Fire with the last count, or with a new one when that is old. Fails as the store does."""
        last = self._last
        cost = 0.0 if self._small() else self._cost
        age = self._clock.seconds() - self._began
        if last is not None and not self._reading and age < max(FRESH_SECONDS, cost / SHARE):
            return succeed(last)
        if not self._reading:
            self._take()
        if last is not None and cost > PATIENCE:
            return succeed(last)
        waiting: Deferred[Taken[T]] = Deferred()
        self._waiting.append(waiting)
        if not self._reading:
            # It was read within the call, as a store in memory does.
            self._answer()
        return waiting

    def _take(self) -> None:
        self._reading = True
        began = self._clock.seconds()
        at = datetime.fromtimestamp(began, timezone.utc)
        self._failure = None

        def done(value: T) -> None:
            self._last = Taken(value, at)
            self._began = began
            self._cost = self._clock.seconds() - began

        def failed(failure: Failure) -> None:
            self._failure = failure

        def over(_: object) -> None:
            self._reading = False
            self._answer()

        self._read().addCallbacks(done, failed).addCallback(over)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._failure is not None:
                each.errback(self._failure)
            elif self._last is not None:
                each.callback(self._last)


class Census:
    """The counts of all jobs, for everybody who asks this server."""

    def __init__(self, clock: IReactorTime, store: IStore) -> None:
        self._all = 0
        self._jobs: Count[list[JobCount]] = Count(clock, store.census, self._small)
        self._items: Count[list[ItemSum]] = Count(clock, store.item_sums, self._small)
        self._rates: Count[list[SessionRate]] = Count(clock, store.rates, self._small)

    def _small(self) -> bool:
        return self._all <= SMALL

    async def jobs(self, accounts: frozenset[str] | None) -> Taken[list[JobCount]]:
        """Return the number of jobs by account, type and state; of some accounts, or of all."""
        taken = await self._jobs.get()
        self._all = sum(row.jobs for row in taken.value)
        return Taken([row for row in taken.value if accounts is None or row.account in accounts], taken.at)

    async def items(self, accounts: frozenset[str] | None) -> Taken[list[ItemSum]]:
        """Return the items by account; of some accounts, or of all."""
        taken = await self._items.get()
        return Taken([row for row in taken.value if accounts is None or row.account in accounts], taken.at)

    async def rates(self, accounts: frozenset[str] | None = None) -> list[SessionRate]:
        """Return the pace of crawlers now; for some accounts, or for all."""
        return [row for row in (await self._rates.get()).value if accounts is None or row.account in accounts]


def by_state(rows: list[JobCount]) -> dict[str, int]:
    """Sum counts by state, zeros included."""
    sums = {state.value: 0 for state in State}
    for row in rows:
        sums[row.state] = sums.get(row.state, 0) + row.jobs
    return sums
