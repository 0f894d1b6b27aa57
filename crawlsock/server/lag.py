"""How late the reactor is: what everything else in this process has to wait for.

The law: one timer, four times a second, and a subtraction. A reactor that is blocked runs no timer, so the lateness of
this one is what a message met that arrived in that moment.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.interfaces import IReactorTime

from crawlsock.tally import Histogram

INTERVAL: Final = 0.25
RECENT: Final = 30.0
"""Seconds for which a long wait is remembered."""
LAG_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ReactorLag:
    """Measure; `run` is the work of a duty whose interval is `INTERVAL`.

    :ivar lags: seconds by which each run was late.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._due: float | None = None
        # Falling from left to right: the first is the worst of the recent ones.
        self._worst: deque[tuple[float, float]] = deque()
        self.lags = Histogram(LAG_BOUNDS)
        self.last = 0.0

    def run(self) -> None:
        """Note how late this run is, and when the next one should be."""
        now = self._clock.seconds()
        if self._due is not None:
            lag = self.last = max(0.0, now - self._due)
            self.lags.observe(lag)
            while self._worst and self._worst[-1][1] <= lag:
                self._worst.pop()
            self._worst.append((now, lag))
        self._due = now + INTERVAL

    @property
    def recent(self) -> float:
        """The longest lag of the last half minute, that of a run that is overdue right now included, in seconds."""
        now = self._clock.seconds()
        while self._worst and self._worst[0][0] < now - RECENT:
            self._worst.popleft()
        return max(self._worst[0][1] if self._worst else 0.0, self.overdue)

    @property
    def overdue(self) -> float:
        """Seconds by which the next run is late already."""
        return 0.0 if self._due is None else max(0.0, self._clock.seconds() - self._due)
