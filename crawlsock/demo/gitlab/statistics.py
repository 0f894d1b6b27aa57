"""What a sample GitLab saw.

Law: counting only. Numbers are as the server saw them, so a client's own account can be checked against them.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from crawlsock.demo.gitlab.kinds import JsonObject


@define
class Statistics:
    """Count requests, answers and faults since the start.

    ``requests`` is by endpoint pattern, ``statuses`` by HTTP status. ``faults`` is by name: ``429``, ``500``,
    ``502`` and ``slow`` are injected, ``refused`` are configured refusals. ``rate_limited`` and
    ``unauthorized`` are refusals that a client brought upon itself. ``peak`` is the greatest number of
    requests under way at once.
    """

    requests: Counter[str] = field(factory=Counter)
    statuses: Counter[int] = field(factory=Counter)
    faults: Counter[str] = field(factory=Counter)
    items: int = 0
    rate_limited: int = 0
    unauthorized: int = 0
    refreshes: int = 0
    refreshes_refused: int = 0
    disconnected: int = 0
    in_flight: int = 0
    peak: int = 0

    def started(self) -> None:
        """Note that a request has come in."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def finished(self, status: int) -> None:
        """Note that a request was answered."""
        self.in_flight -= 1
        self.statuses[status] += 1

    def lost(self) -> None:
        """Note that a client went away before its answer was sent."""
        self.in_flight -= 1
        self.disconnected += 1

    @property
    def total_requests(self) -> int:
        """The number of API requests, the refused ones included."""
        return sum(self.requests.values())

    def as_json(self) -> JsonObject:
        """Return all the numbers as one JSON object."""
        return {
            "total_requests": self.total_requests,
            "requests": dict(self.requests),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "faults": dict(self.faults),
            "items": self.items,
            "rate_limited": self.rate_limited,
            "unauthorized": self.unauthorized,
            "refreshes": self.refreshes,
            "refreshes_refused": self.refreshes_refused,
            "disconnected": self.disconnected,
            "in_flight": self.in_flight,
            "peak": self.peak,
        }
