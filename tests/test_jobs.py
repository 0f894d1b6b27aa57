"""What becomes of a job: every action in every state, and the documentation that says so."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock import jobs
from crawlsock.jobs import HELD, LIVE, TERMINAL, TRANSITIONS, Action, Backoff, Change, JobFacts, State, WrongState

DOCUMENT = Path(__file__).parent.parent / "docs" / "jobs.md"


def every_fact(state: State) -> list[JobFacts]:
    """Return all combinations of what the rules look at, for one state."""
    booleans = (False, True)
    return [
        JobFacts(
            state,
            failures=failures,
            max_attempts=3,
            releases=1,
            losses=losses,
            cancel_requested=cancel,
            pause_requested=pause,
            credential_refused=refused,
        )
        for failures, losses, cancel, pause, refused in product((0, 2), (0, 2), booleans, booleans, booleans)
    ]


def outcomes(action: Action, state: State) -> set[State]:
    """Return every state that an action leads to from a state; none where it is refused."""
    found = set()
    for facts in every_fact(state):
        try:
            found.add(jobs.apply(action, facts).state)
        except WrongState:
            continue
    return found


class Table(unittest.TestCase):
    """The table is what the rules do."""

    def test_every_action_in_every_state(self) -> None:
        """For each action and state the rules lead to exactly the states that the table names, or are
        refused."""
        for action, state in product(Action, State):
            expected = set(TRANSITIONS[action].get(state, ()))
            self.assertEqual(outcomes(action, state), expected, f"{action.value} when {state.value}")

    def test_refusal_depends_on_the_state_alone(self) -> None:
        """Where an action is refused it is refused whatever else is true of the job."""
        for action, state in product(Action, State):
            refused = set()
            for facts in every_fact(state):
                try:
                    jobs.apply(action, facts)
                    refused.add(False)
                except WrongState as wrong:
                    self.assertIn(state.value, str(wrong))
                    self.assertEqual((wrong.action, wrong.state), (action, state))
                    refused.add(True)
            self.assertEqual(len(refused), 1, (action, state))

    def test_an_ended_job_comes_back_by_retry_alone(self) -> None:
        """No action but retry leads from an ended state to a live one, and none from completed."""
        for action, state in product(Action, TERMINAL):
            if outcomes(action, state) & LIVE:
                self.assertEqual(action, Action.RETRY)
                self.assertNotEqual(state, State.COMPLETED)

    def test_only_assigning_gives_a_lease(self) -> None:
        """No action but assign leads from a state without a lease to one with."""
        for action, state in product(Action, set(State) - HELD):
            if outcomes(action, state) & HELD:
                self.assertEqual((action, state), (Action.ASSIGN, State.QUEUED))

    def test_every_state_can_be_reached_and_left_or_is_an_end(self) -> None:
        """Every state but queued follows from some action; every live state has a way to completed."""
        reached = {after for states in TRANSITIONS.values() for found in states.values() for after in found}
        self.assertEqual(reached, set(State))
        ways: dict[State, set[State]] = {state: {state} for state in State}
        for _ in State:
            for states in TRANSITIONS.values():
                for before, found in states.items():
                    for after in found:
                        ways[before] |= ways[after]
        for state in LIVE:
            self.assertIn(State.COMPLETED, ways[state])

    def test_what_is_not_changed_is_as_it_was(self) -> None:
        """A change that says it changed nothing has the state, counters and wishes of before, and orders
        nothing."""
        for action, state in product(Action, State):
            for facts in every_fact(state):
                try:
                    change = jobs.apply(action, facts)
                except WrongState:
                    continue
                if change.changed:
                    continue
                same = (change.state, change.failures, change.losses, change.releases)
                self.assertEqual(same, (state, facts.failures, facts.losses, facts.releases))
                self.assertEqual(change.cancel_requested, facts.cancel_requested)
                self.assertEqual(change.pause_requested, facts.pause_requested)
                self.assertIsNone(change.order)

    def test_wishes_live_only_while_a_crawler_has_the_job(self) -> None:
        """A job whose crawler ended its assignment has no wishes left: they were carried out or are moot."""
        ends = (Action.COMPLETE, Action.FAIL, Action.RELEASE, Action.CANCELLED, Action.LOSE, Action.REFUSE)
        for action, state in product(ends, HELD):
            for facts in every_fact(state):
                change = jobs.apply(action, facts)
                self.assertFalse(change.cancel_requested or change.pause_requested)
                self.assertFalse(change.holds_lease)


class Rules(unittest.TestCase):
    """Failures, releases and losses are counted apart."""

    def failed(self, facts: JobFacts, *, recoverable: bool = True, retry_after: float | None = None) -> Change:
        """Fail with dice that show three quarters and a backoff of ten seconds, a hundred at most."""
        return jobs.fail(facts, recoverable, retry_after, Backoff(10.0, 100.0), lambda: 0.75)

    def test_a_failure_counts_a_failure(self) -> None:
        """A recoverable failure counts one, waits its backoff and touches nothing else."""
        change = self.failed(JobFacts(State.RUNNING, failures=1, losses=2, releases=3))
        self.assertEqual((change.state, change.failures, change.due_in), (State.QUEUED, 2, 15.0))
        self.assertEqual((change.losses, change.releases, change.reason), (2, 3, None))

    def test_the_last_failure_ends_the_job(self) -> None:
        """The failure that uses the last attempt ends the job."""
        self.assertEqual(self.failed(JobFacts(State.RUNNING, failures=3)).state, State.QUEUED)
        self.assertEqual(self.failed(JobFacts(State.RUNNING, failures=4)).state, State.FAILED)

    def test_a_hopeless_failure_ends_the_job(self) -> None:
        """A failure that is not recoverable ends the job whatever attempts are left."""
        self.assertEqual(self.failed(JobFacts(State.RUNNING), recoverable=False).state, State.FAILED)

    def test_retry_after_replaces_the_backoff(self) -> None:
        """What the other side asked for is waited, no less and no more; never a negative time."""
        self.assertEqual(self.failed(JobFacts(State.RUNNING), retry_after=7.5).due_in, 7.5)
        self.assertEqual(self.failed(JobFacts(State.RUNNING), retry_after=-1.0).due_in, 0.0)

    def test_a_release_counts_a_release(self) -> None:
        """A release counts nothing against the job and leaves its time as it was."""
        change = jobs.release(JobFacts(State.RUNNING, failures=1, losses=1, releases=1))
        self.assertEqual((change.failures, change.losses, change.releases), (1, 1, 2))
        self.assertEqual((change.state, change.due_in), (State.QUEUED, None))

    def test_the_third_loss_is_poison(self) -> None:
        """Two losses are bad luck, the third is the job's fault; the limit can be set."""
        second = jobs.lose(JobFacts(State.RUNNING, losses=1))
        self.assertEqual((second.state, second.losses, second.reason), (State.QUEUED, 2, None))
        third = jobs.lose(JobFacts(State.RUNNING, losses=2))
        self.assertEqual((third.state, third.losses, third.reason), (State.FAILED, 3, "poison"))
        self.assertEqual(jobs.lose(JobFacts(State.RUNNING), poison_limit=1).reason, "poison")

    def test_a_cancel_goes_before_everything_but_success(self) -> None:
        """A job that was to be cancelled is cancelled however its assignment ends, unless the work was
        done."""
        facts = JobFacts(State.RUNNING, losses=2, cancel_requested=True, pause_requested=True)
        ends = {action: jobs.apply(action, facts).state for action in (Action.FAIL, Action.RELEASE, Action.LOSE)}
        self.assertEqual(set(ends.values()), {State.CANCELLED})
        self.assertEqual(jobs.apply(Action.REFUSE, facts).state, State.CANCELLED)
        self.assertEqual(jobs.apply(Action.COMPLETE, facts).state, State.COMPLETED)

    def test_a_pause_goes_before_the_queue(self) -> None:
        """A job that was to be paused is paused where it would have been queued."""
        facts = JobFacts(State.RUNNING, pause_requested=True)
        for action in (Action.FAIL, Action.RELEASE, Action.LOSE, Action.REFUSE):
            self.assertEqual(jobs.apply(action, facts).state, State.PAUSED, action)

    def test_retry_forgets_failures_and_losses(self) -> None:
        """A retried job has all its attempts before it, and is due now."""
        change = jobs.retry(JobFacts(State.FAILED, failures=5, losses=3, releases=2))
        self.assertEqual((change.failures, change.losses, change.releases), (0, 0, 2))
        self.assertEqual((change.state, change.due_in), (State.QUEUED, 0.0))


class Small(unittest.TestCase):
    """Backoff, keys and labels."""

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
    def test_backoff_is_bounded(self, base: float, cap: float, failures: int, dice: float) -> None:
        """However many failures, the wait is from zero to the cap."""
        wait = jobs.backoff(Backoff(base, cap), failures, lambda: dice)
        self.assertGreaterEqual(wait, 0.0)
        self.assertLessEqual(wait, cap)

    def test_backoff_doubles(self) -> None:
        """The ceiling doubles with every failure until the cap; the wait is anywhere below it, the cap
        included."""
        ceilings = [jobs.backoff(Backoff(5.0, 30.0), n, lambda: 1.0) for n in range(1, 6)]
        self.assertEqual(ceilings, [5.0, 10.0, 20.0, 30.0, 30.0])
        self.assertEqual(jobs.backoff(Backoff(5.0, 30.0), 9, lambda: 0.1), 3.0)

    def test_the_discovery_key(self) -> None:
        """Type, host and entity make the key; a missing host is an empty one."""
        self.assertEqual(jobs.discovery_key("crawl_user", "h", "7"), "crawl_user:h:7")
        self.assertEqual(jobs.discovery_key("crawl_user", None, "7"), "crawl_user::7")

    def test_labels_and_types(self) -> None:
        """A crawler fits when it takes the type and has every label that is needed."""
        needed = frozenset({"a"})
        self.assertTrue(jobs.fits(needed, "t", frozenset({"a", "b"}), None))
        self.assertTrue(jobs.fits(frozenset(), "t", frozenset(), frozenset({"t"})))
        self.assertFalse(jobs.fits(needed, "t", frozenset({"b"}), None))
        self.assertFalse(jobs.fits(needed, "t", needed, frozenset({"u"})))
        self.assertFalse(jobs.fits(needed, "t", needed, frozenset()))


class Documentation(unittest.TestCase):
    """`docs/jobs.md` says what the code does."""

    def test_the_table_is_the_table(self) -> None:
        """The table in the document is the one in the code, cell by cell."""
        self.assertIn(jobs.as_markdown(), DOCUMENT.read_text(encoding="utf-8"))

    def test_every_state_and_action_is_explained(self) -> None:
        """Each state and each action has an entry of its own."""
        text = DOCUMENT.read_text(encoding="utf-8")
        for word in (*State, *Action):
            self.assertIn(f"| `{word.value}` |", text)

    def test_the_numbers_are_the_numbers(self) -> None:
        """Defaults that the document names are those of the code."""
        text = DOCUMENT.read_text(encoding="utf-8")
        default = jobs.DEFAULT_BACKOFF
        self.assertIn(f"`max_attempts` (default {jobs.DEFAULT_MAX_ATTEMPTS})", text)
        self.assertIn(f"base {default.base:g} s, cap {default.cap:g} s", text)
        self.assertIn(f"at {jobs.POISON_LIMIT} losses", text)
