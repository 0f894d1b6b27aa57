"""How often somebody may ask: GitLab's request windows and their headers.

Law: pure state, told what time it is. Windows start at whole multiples of the period, as GitLab's do, so a
client that is refused learns exactly when the next one begins.
"""

from __future__ import annotations

from email.utils import formatdate

from attrs import define, field, frozen

NAME = "throttle_authenticated_api"


@frozen
class Verdict:
    """Say whether a request is within the limit, and what its answer's headers are."""

    allowed: bool
    headers: dict[str, str]


@define
class Throttle:
    """Count requests by caller in windows of ``period`` seconds, ``limit`` each."""

    limit: int
    period: int
    _window: int = -1
    _counts: dict[str, int] = field(factory=dict)

    def check(self, caller: str, now: float) -> Verdict:
        """Count one request and judge it."""
        second = int(now)
        window = second // self.period
        if window != self._window:
            self._window = window
            self._counts.clear()
        observed = self._counts[caller] = self._counts.get(caller, 0) + 1
        allowed = observed <= self.limit
        wait = self.period - second % self.period
        headers = rate_headers(
            self.limit * 60 // self.period or 1, observed, max(0, self.limit - observed), second + wait
        )
        if not allowed:
            headers["Retry-After"] = str(wait)
        return Verdict(allowed, headers)


def rate_headers(limit: int, observed: int, remaining: int, reset: int) -> dict[str, str]:
    """Return the headers by which GitLab tells a client about its limit; the limit is given for a minute."""
    return {
        "RateLimit-Name": NAME,
        "RateLimit-Limit": str(limit),
        "RateLimit-Observed": str(observed),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(reset),
        "RateLimit-ResetTime": formatdate(reset, usegmt=True),
    }
