"""How fast the crawler may ask."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.gitlab.limits import (
    Allowance,
    RateBudget,
    Standing,
    full_jitter,
    read_allowance,
    read_retry_after,
)

NOON = 1_700_000_000.0
NOON_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


class HeaderTests(TestCase):
    """Reading what GitLab says about its limits."""

    def test_allowance(self) -> None:
        """The distance to the reset is taken by the host's own clock."""
        headers = {
            "ratelimit-limit": "600",
            "ratelimit-remaining": "5",
            "ratelimit-reset": str(int(NOON) + 30),
            "date": NOON_DATE,
        }
        self.assertEqual(read_allowance(headers, NOON - 10_000), Allowance(600, 5, 30.0))

    def test_no_allowance(self) -> None:
        """Without the headers, or with nonsense in them, there is no limit to know of."""
        self.assertIsNone(read_allowance({}, NOON))
        self.assertIsNone(read_allowance({"ratelimit-remaining": "x", "ratelimit-reset": "1"}, NOON))

    def test_retry_after(self) -> None:
        """`Retry-After` is seconds or a date, and never longer than a day."""
        self.assertEqual(read_retry_after({"retry-after": "7"}, NOON), 7.0)
        later = "Tue, 14 Nov 2023 22:14:20 GMT"
        self.assertEqual(read_retry_after({"retry-after": later, "date": NOON_DATE}, 0.0), 60.0)
        self.assertEqual(read_retry_after({"retry-after": "9" * 30}, NOON), 86_400.0)
        self.assertIsNone(read_retry_after({"retry-after": "soon"}, NOON))
        self.assertIsNone(read_retry_after({}, NOON))


class BudgetTests(TestCase):
    """A rate budget, with a clock."""

    def run_for(self, budget: RateBudget, clock: Clock, seconds: float) -> int:
        """Ask as often as the budget lets us; return how often that was."""
        end, asked = clock.seconds() + seconds, 0
        while clock.seconds() < end:
            wait = budget.take(clock.seconds())
            if wait:
                clock.advance(min(wait + 1e-6, end - clock.seconds()))
            else:
                asked += 1
                if asked > 10_000:
                    break
        return asked

    def test_unknown(self) -> None:
        """Without a known limit nothing waits."""
        self.assertEqual(RateBudget().take(0.0), 0.0)

    def test_never_exceeded(self) -> None:
        """However eager the crawler, it makes no more requests than are left until the reset."""
        clock, budget = Clock(), RateBudget()
        budget.saw(Allowance(600, 100, 30.0), clock.seconds())
        self.assertLessEqual(self.run_for(budget, clock, 30.0), 100)

    def test_slows_down(self) -> None:
        """Close to the limit the requests that are left are spread over the time that is left."""
        clock, budget = Clock(), RateBudget()
        budget.saw(Allowance(600, 30, 30.0), clock.seconds())
        self.assertLess(self.run_for(budget, clock, 3.0), 6)
        self.assertGreater(self.run_for(budget, clock, 26.0), 15)

    def test_after_reset(self) -> None:
        """After the reset everything passes again until the next answer tells more."""
        budget = RateBudget()
        budget.saw(Allowance(600, 0, 10.0), 0.0)
        self.assertEqual(budget.take(4.0), 6.0)
        self.assertEqual(budget.take(10.0), 0.0)

    def test_out_of_order(self) -> None:
        """An older answer that arrives late does not raise what is left."""
        budget = RateBudget()
        budget.saw(Allowance(600, 1, 10.0), 0.0)
        budget.saw(Allowance(600, 300, 10.0), 0.0)
        self.assertEqual(budget.take(0.0), 0.0)
        self.assertGreater(budget.take(0.0), 0.0)

    def test_standing(self) -> None:
        """What is told of a budget is what the host said, as long as it holds."""
        budget = RateBudget()
        self.assertIsNone(budget.standing(0.0))
        budget.saw(Allowance(600, 300, 10.0), 0.0)
        budget.take(0.0)
        self.assertEqual(budget.standing(4.0), Standing(600, 299, 6.0))
        budget.block(20.0, 0.0)
        self.assertEqual(budget.standing(4.0), Standing(600, 299, 6.0, 16.0))
        self.assertEqual(budget.standing(10.0), Standing(600, blocked_for=10.0))
        self.assertEqual(budget.standing(20.0), Standing(600))

    def test_blocked(self) -> None:
        """A host that says how long to stay away is obeyed."""
        budget = RateBudget()
        budget.block(5.0, 0.0)
        budget.block(2.0, 0.0)
        self.assertEqual(budget.take(1.0), 4.0)
        self.assertEqual(budget.take(5.0), 0.0)


class JitterTests(TestCase):
    """The waits between retries."""

    def test_bounds(self) -> None:
        """The bound doubles up to its cap, and the whole range below it is used."""
        bounds = [full_jitter(failures, lambda: 1.0, base=0.5, cap=30.0) for failures in range(1, 9)]
        self.assertEqual(bounds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
        self.assertEqual(full_jitter(100_000, lambda: 0.0), 0.0)
