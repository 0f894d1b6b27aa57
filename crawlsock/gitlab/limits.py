"""How fast we may ask: rate budgets and waits between retries.

Law: rules without wires. What decides here is told the time and returns seconds; it owns no timer. GitLab's
own limits (`RateLimit-*`, `Retry-After`) always win over our eagerness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from attrs import define, frozen

LONGEST_WAIT = 86_400.0
"""No header makes us wait longer than this; what a host says beyond it is taken for a mistake."""


@frozen
class Allowance:
    """What an answer says about the rate limit: requests left, and seconds until the count starts again."""

    limit: int
    left: int
    reset_in: float


def read_allowance(headers: Mapping[str, str], wall_clock: float) -> Allowance | None:
    """Read `RateLimit-*` headers, or return None when an answer has none (or nonsense).

    `RateLimit-Reset` is a point in time by the host's clock. Its distance is taken to the answer's own
    `Date`, so that a host whose clock is wrong does not make us wait for hours.
    """
    try:
        left = int(headers["ratelimit-remaining"])
        reset = int(headers["ratelimit-reset"])
        limit = int(headers.get("ratelimit-limit", "0"))
    except (KeyError, ValueError):
        return None
    reset_in = reset - (read_date(headers.get("date")) or wall_clock)
    return Allowance(max(limit, left, 0), max(left, 0), min(max(reset_in, 0.0), LONGEST_WAIT))


def read_date(text: str | None) -> float | None:
    """Read an HTTP date as Unix time, or return None when it is none."""
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def read_retry_after(headers: Mapping[str, str], wall_clock: float) -> float | None:
    """Read `Retry-After`, which is seconds or a date; return seconds from now, or None without a usable
    value.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT)
    date = read_date(text)
    if date is None:
        return None
    return min(max(date - (read_date(headers.get("date")) or wall_clock), 0.0), LONGEST_WAIT)


def full_jitter(failures: int, draw: Callable[[], float], *, base: float = 0.5, cap: float = 30.0) -> float:
    """Return how long to wait after so many failures in a row (1 or more): uniform between 0 and a doubling
    bound.

    The whole range, not the bound plus a little: clients that failed together must not come back together.
    """
    return draw() * min(cap, base * 2.0 ** min(failures - 1, 30))


@frozen
class Standing:
    """Where a budget stands: requests a period, those left, and seconds until it starts again or is open again.

    What is not known, or over, is None.
    """

    limit: int | None = None
    left: int | None = None
    reset_in: float | None = None
    blocked_for: float | None = None

    @property
    def ease(self) -> tuple[bool, float]:
        """Sorts the budget that holds us up most first."""
        share = 1.0 if self.left is None else self.left / max(self.limit or self.left, 1)
        return self.blocked_for is None, share


@define
class RateBudget:
    """Share one rate limit among all requests made under it.

    Far from the limit it lets everything pass. Within the last `slow_part` of it, what is left is spread
    over the time until the count starts again, so that a crawl slows down instead of running into 429; what
    arrives out of order never raises the count within one period.
    """

    slow_part: float = 0.1
    _limit: int = 0
    _left: int | None = None
    _reset_at: float = 0.0
    _not_before: float = 0.0
    _blocked_until: float = 0.0

    def take(self, now: float) -> float:
        """Return 0 and count one request, or return the seconds after which to ask again."""
        if now < self._blocked_until:
            return self._blocked_until - now
        if self._left is None or now >= self._reset_at:
            self._left = None
            return 0.0
        if self._left <= 0:
            return self._reset_at - now
        if self._left < self._limit * self.slow_part:
            if now < self._not_before:
                return self._not_before - now
            self._not_before = now + (self._reset_at - now) / (self._left + 1)
        self._left -= 1
        return 0.0

    def saw(self, allowance: Allowance, now: float) -> None:
        """Take in what an answer said."""
        reset_at = now + allowance.reset_in
        fresh = self._left is None or reset_at > self._reset_at + 1.5
        self._limit = allowance.limit
        if fresh:
            self._left, self._reset_at, self._not_before = allowance.left, reset_at, now
        elif self._left is not None:
            self._left = min(self._left, allowance.left)

    def standing(self, now: float) -> Standing | None:
        """Say where it stands, or None when the host has never said anything."""
        blocked_for = self._blocked_until - now if now < self._blocked_until else None
        limit = self._limit or None
        if self._left is None or now >= self._reset_at:
            # The count has begun again, or there is none: what is left of it nobody has told us.
            return None if limit is None and blocked_for is None else Standing(limit, blocked_for=blocked_for)
        return Standing(limit, self._left, self._reset_at - now, blocked_for)

    def block(self, seconds: float, now: float) -> None:
        """Let nothing pass for so long: the host said so."""
        self._blocked_until = max(self._blocked_until, now + seconds)
