"""What goes wrong with the sample GitLab on purpose, and how often one may ask."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab.mishaps import Mishaps
from crawlsock.demo.gitlab.options import Faults, Options
from crawlsock.demo.gitlab.throttle import Throttle


class MishapTests(TestCase):
    """Injected faults."""

    FAULTS = Faults(too_many_requests=0.1, server_error=0.05, bad_gateway=0.05, slow=0.1)

    def test_shares(self) -> None:
        """Each fault hits about the share of requests that was asked for."""
        mishaps = Mishaps(1, self.FAULTS)
        hits = Counter(mishaps.next(f"/projects/{number}") for number in range(20_000))
        for name, share in (("429", 0.1), ("500", 0.05), ("502", 0.05), ("slow", 0.1)):
            self.assertLess(abs(hits[name] / 20_000 - share), 0.01)

    def test_order_does_not_matter(self) -> None:
        """An address meets the same faults in whatever order addresses are asked for."""
        addresses = [f"/projects/{number % 100}" for number in range(500)]
        forward, backward = Mishaps(1, self.FAULTS), Mishaps(1, self.FAULTS)
        first: dict[str, list[str | None]] = {}
        second: dict[str, list[str | None]] = {}
        for address in addresses:
            first.setdefault(address, []).append(forward.next(address))
        for address in reversed(addresses):
            second.setdefault(address, []).append(backward.next(address))
        self.assertEqual(first, second)
        other = Mishaps(2, self.FAULTS)
        self.assertNotEqual([first[address][0] for address in first], [other.next(address) for address in first])

    def test_never_for_ever(self) -> None:
        """Even when every request is to fail, an address is answered after three failures."""
        mishaps = Mishaps(1, Faults(server_error=1.0))
        self.assertEqual([mishaps.next("/x") for _ in range(8)], (["500"] * 3 + [None]) * 2)

    def test_none(self) -> None:
        """Without faults nothing happens and nothing is remembered."""
        self.assertIsNone(Mishaps(1, Faults()).next("/x"))

    def test_impossible_options(self) -> None:
        """Shares beyond one and negative times are refused."""
        self.assertRaises(ValueError, Faults, slow=1.5)
        self.assertRaises(ValueError, Faults, slow_by=-1)
        self.assertRaises(ValueError, Options, latency=-0.1)
        self.assertRaises(ValueError, Options, rate_period=0)


class ThrottleTests(TestCase):
    """Rate limits."""

    def test_window(self) -> None:
        """Requests beyond the limit are refused until the window ends, and the headers say when that is."""
        throttle = Throttle(2, 60)
        now = 1_800_000_010.0
        first, second, third = (throttle.check("a", now) for _ in range(3))
        self.assertEqual((first.allowed, second.allowed, third.allowed), (True, True, False))
        self.assertEqual(first.headers["RateLimit-Remaining"], "1")
        self.assertEqual(first.headers["RateLimit-Limit"], "2")
        self.assertNotIn("Retry-After", second.headers)
        self.assertEqual(third.headers["RateLimit-Observed"], "3")
        self.assertEqual(third.headers["RateLimit-Remaining"], "0")
        wait = int(third.headers["Retry-After"])
        self.assertEqual(int(third.headers["RateLimit-Reset"]), int(now) + wait)
        self.assertTrue(third.headers["RateLimit-ResetTime"].endswith("GMT"))
        self.assertFalse(throttle.check("a", now + wait - 1).allowed)
        self.assertTrue(throttle.check("a", now + wait).allowed)

    def test_each_caller_for_itself(self) -> None:
        """One caller's requests do not count against another."""
        throttle = Throttle(1, 60)
        self.assertTrue(throttle.check("a", 0).allowed)
        self.assertTrue(throttle.check("b", 0).allowed)
        self.assertFalse(throttle.check("a", 1).allowed)

    @given(st.integers(1, 50), st.integers(1, 90), st.lists(st.floats(0, 1000), max_size=200))
    @settings(max_examples=50, deadline=None)
    def test_never_more_than_the_limit(self, limit: int, period: int, moments: list[float]) -> None:
        """No window ever lets more requests through than its limit."""
        throttle = Throttle(limit, period)
        passed = Counter(int(now) // period for now in sorted(moments) if throttle.check("a", now).allowed)
        self.assertLessEqual(max(passed.values(), default=0), limit)
