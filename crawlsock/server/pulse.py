"""Ask the database every second whether it is there, and now and then how it is.

The law: what a probe of ours costs is fixed, whoever asks for the result and however often: questions about health are
answered from what was seen last.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore
    from crawlsock.store.vitals import Vitals

INTERVAL: Final = 1.0
DEADLINE: Final = 2.5
"""Seconds after which a database that does not answer counts as lost."""
STALE: Final = INTERVAL + DEADLINE + 0.5
_VITALS_EVERY: Final = 10.0
_PROCESS_EVERY: Final = 30.0


@frozen
class Disk:
    """The file system that holds the data directory, in bytes."""

    free: int
    size: int


class Pulse:
    """Look; `run` is the work of a duty whose interval is `INTERVAL`.

    :ivar reason: why the last look failed; empty when it did not.
    :ivar round_trip: seconds that the database took for the last answer.
    :ivar vitals: what it said last of how it is.
    :ivar disk: of the data directory, None where there is no such directory.
    :ivar descriptors: open files of this process.
    """

    def __init__(self, clock: IReactorTime, store: IStore, data_dir: Path) -> None:
        self._clock = clock
        self._store = store
        self._data_dir = data_dir
        self._answered: float | None = None
        self._vitals_at: float | None = None
        self._process_at: float | None = None
        self.reason = "not asked yet"
        self.round_trip = 0.0
        self.vitals: Vitals | None = None
        self.disk: Disk | None = None
        self.descriptors = 0

    async def run(self) -> None:
        """Look once. What goes wrong is what is looked for, and no failure."""
        began = self._clock.seconds()
        if self._is_time(self._process_at, _PROCESS_EVERY):
            self._process_at = began
            self._look_at_process()
        try:
            await self._store.pulse().addTimeout(DEADLINE, self._clock)
            now = self._clock.seconds()
            self.round_trip = now - began
            self._answered = now
            if self.reason or self._is_time(self._vitals_at, _VITALS_EVERY):
                self.vitals = await self._store.vitals().addTimeout(DEADLINE, self._clock)
                self._vitals_at = self._clock.seconds()
            self.reason = ""
        except DeferredTimeout:
            self.reason = f"no answer within {DEADLINE:g} s"
        except Refusal as refusal:
            self.reason = refusal.message

    @property
    def beats(self) -> bool:
        """Whether the database is there: it answered the last question, not long ago, and was not lost since."""
        return not self.reason and self.age < STALE and self._store.state == "up"

    @property
    def age(self) -> float:
        """Seconds since the last answer."""
        return float("inf") if self._answered is None else self._clock.seconds() - self._answered

    def _is_time(self, last: float | None, every: float) -> bool:
        return last is None or self._clock.seconds() - last >= every

    def _look_at_process(self) -> None:
        try:
            usage = shutil.disk_usage(self._data_dir)
            self.disk = Disk(usage.free, usage.total)
            self.descriptors = len(os.listdir("/proc/self/fd"))
        except OSError:
            # No such directory, or no such system: there is nothing to say about it.
            self.disk = None
