"""What is claimed about starting, stopping, and doing things again and again."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.lifecycle import Duty, Lifecycle, LifecycleService


class Part:
    """A part whose start and stop end when the test says so."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.journal = journal
        self.starting: Deferred[None] | None = None
        self.stopping: Deferred[None] | None = None

    def start(self) -> Deferred[None] | None:
        self.journal.append(f"start {self.name}")
        return self.starting

    async def stop(self) -> None:
        self.journal.append(f"stop {self.name}")
        if self.stopping is not None:
            await self.stopping


class LifecycleTests(SynchronousTestCase):
    """Parts start in order and stop in reverse."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal: list[str] = []
        self.lifecycle = Lifecycle(self.clock, stop_deadline=5.0)
        self.parts = [Part(name, self.journal) for name in "abc"]
        for part in self.parts:
            self.lifecycle.add(part.name, part)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def says(self, *words: str) -> None:
        self.assertEqual(self.journal, list(words))
        self.journal.clear()

    def test_each_waits_for_the_one_before(self) -> None:
        """A part begins to start when the one before has started."""
        self.parts[1].starting = Deferred()
        started = self.lifecycle.start()
        self.says("start a", "start b")
        self.assertNoResult(started)
        self.parts[1].starting.callback(None)
        self.says("start c")
        self.assertIsNone(self.successResultOf(started))
        self.assertTrue(self.lifecycle.running)

    def test_stop_is_the_reverse(self) -> None:
        """A part begins to stop when the one started after it has stopped."""
        self.successResultOf(self.lifecycle.start())
        self.journal.clear()
        self.parts[1].stopping = Deferred()
        stopped = self.lifecycle.stop()
        self.says("stop c", "stop b")
        self.assertNoResult(stopped)
        self.assertFalse(self.lifecycle.running)
        self.parts[1].stopping.callback(None)
        self.says("stop a")
        self.successResultOf(stopped)

    def test_one_that_fails_stops_those_that_began(self) -> None:
        """A failed start stops what had begun, the failed part included, and is the result."""
        self.parts[1].starting = Deferred()
        started = self.lifecycle.start()
        self.parts[1].starting.errback(OSError("in use"))
        self.failureResultOf(started, OSError)
        self.says("start a", "start b", "stop b", "stop a")
        self.assertFalse(self.lifecycle.running)

    def test_one_that_raises_is_one_that_fails(self) -> None:
        """An exception out of start() counts as its failure."""

        def refuse() -> None:
            raise OSError("in use")

        self.parts[0].start = refuse  # type: ignore[method-assign]
        self.failureResultOf(self.lifecycle.start(), OSError)
        self.says("stop a")

    def test_starting_again_after_a_failure(self) -> None:
        """What failed to start can be started again."""
        self.parts[1].starting = Deferred()
        started = self.lifecycle.start()
        self.parts[1].starting.errback(OSError("in use"))
        self.failureResultOf(started, OSError)
        self.parts[1].starting = None
        self.successResultOf(self.lifecycle.start())

    def test_twice_is_once(self) -> None:
        """Starting twice is one start, stopping twice is one stop, before and after they are done."""
        self.parts[0].starting = Deferred()
        first, second = self.lifecycle.start(), self.lifecycle.start()
        self.parts[0].starting.callback(None)
        for started in (first, second, self.lifecycle.start()):
            self.successResultOf(started)
        self.says("start a", "start b", "start c")
        self.parts[2].stopping = Deferred()
        first, second = self.lifecycle.stop(), self.lifecycle.stop()
        self.parts[2].stopping.callback(None)
        for stopped in (first, second, self.lifecycle.stop()):
            self.successResultOf(stopped)
        self.says("stop c", "stop b", "stop a")

    def test_stop_before_start(self) -> None:
        """Stopping what never started is done at once, and it can be started afterwards."""
        self.successResultOf(self.lifecycle.stop())
        self.successResultOf(self.lifecycle.start())
        self.says("start a", "start b", "start c")

    def test_stop_during_a_start(self) -> None:
        """A stop gives the start up: the part that is starting is cancelled, and nothing later begins."""
        cancelled: list[object] = []
        self.parts[1].starting = Deferred(cancelled.append)
        started = self.lifecycle.start()
        stopped = self.lifecycle.stop()
        self.failureResultOf(started, CancelledError)
        self.successResultOf(stopped)
        self.assertEqual(len(cancelled), 1)
        self.says("start a", "start b", "stop b", "stop a")

    def test_a_part_may_stop_everything_while_it_starts(self) -> None:
        """A stop out of a part's start() is carried out."""
        stops: list[Deferred[None]] = []
        self.parts[1].start = lambda: stops.append(self.lifecycle.stop())  # type: ignore[method-assign]
        self.failureResultOf(self.lifecycle.start(), CancelledError)
        self.successResultOf(stops[0])
        self.says("start a", "stop b", "stop a")

    def test_start_during_a_stop(self) -> None:
        """A start that is asked for during a stop begins when the stop is over."""
        self.successResultOf(self.lifecycle.start())
        self.journal.clear()
        self.parts[0].stopping = Deferred()
        stopped, started = self.lifecycle.stop(), self.lifecycle.start()
        self.says("stop c", "stop b", "stop a")
        self.assertNoResult(started)
        self.parts[0].stopping.callback(None)
        self.successResultOf(stopped)
        self.successResultOf(started)
        self.says("start a", "start b", "start c")

    def test_one_that_does_not_stop_is_left_behind(self) -> None:
        """A part has its deadline, and the rest stops although it swallows its cancellation."""

        async def stubborn() -> None:
            self.journal.append("stop b")
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    await Deferred()

        self.successResultOf(self.lifecycle.start())
        self.journal.clear()
        self.parts[1].stop = stubborn  # type: ignore[method-assign]
        stopped = self.lifecycle.stop()
        self.clock.advance(4.9)
        self.assertNoResult(stopped)
        self.clock.advance(0.2)
        self.successResultOf(stopped)
        self.says("stop c", "stop b", "stop a")

    def test_one_that_fails_to_stop_does_not_keep_the_others(self) -> None:
        """A failure while stopping is logged, and the rest stops."""
        self.successResultOf(self.lifecycle.start())
        self.journal.clear()
        self.parts[2].stopping = Deferred()
        stopped = self.lifecycle.stop()
        self.parts[2].stopping.errback(ZeroDivisionError())
        self.successResultOf(stopped)
        self.says("stop c", "stop b", "stop a")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nothing_is_added_to_what_runs(self) -> None:
        """A part that came too late would never be started, so it is refused."""
        self.successResultOf(self.lifecycle.start())
        self.assertRaises(RuntimeError, self.lifecycle.add, "d", Part("d", []))


class LifecycleServiceTests(SynchronousTestCase):
    """An application starts and stops a lifecycle."""

    def setUp(self) -> None:
        self.journal: list[str] = []
        self.part = Part("a", self.journal)
        self.lifecycle = Lifecycle(Clock())
        self.lifecycle.add("a", self.part)
        self.failures: list[Failure] = []
        self.service = LifecycleService(self.lifecycle, self.failures.append)

    def test_start_and_stop(self) -> None:
        """The service starts the parts, and its stop ends when they have stopped."""
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.journal, ["start a", "stop a"])
        self.assertEqual(self.failures, [])

    def test_a_failed_start_is_told(self) -> None:
        """A start that fails is logged and handed on, so that the process can end."""
        self.part.starting = Deferred()
        self.service.startService()
        self.part.starting.errback(OSError("in use"))
        self.assertEqual([type(failure.value) for failure in self.failures], [OSError])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_a_start_that_was_given_up_is_no_failure(self) -> None:
        """Whoever stops a starting server is not told that it could not start."""
        self.part.starting = Deferred()
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.failures, [])


class DutyTests(SynchronousTestCase):
    """Work that is done again and again, and survives itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.began: list[float] = []
        self.running: Deferred[None] | None = None
        self.duty = self.make(self.work)

    def make(self, work: Callable[[], Deferred[None] | None]) -> Duty:
        return Duty("testing", 10.0, work, self.clock, longest_backoff=60.0)

    def work(self) -> Deferred[None] | None:
        self.began.append(self.clock.seconds())
        return self.running

    def end(self, failure: Exception | None = None) -> None:
        running, self.running = self.running, None
        assert running is not None
        running.callback(None) if failure is None else running.errback(failure)

    def advance(self, *seconds: float) -> None:
        self.clock.pump(seconds)

    def test_now_and_again(self) -> None:
        """It runs at its start and every interval after, and not any more when it was stopped."""
        self.duty.start()
        self.duty.start()
        self.advance(10, 10)
        self.successResultOf(self.duty.stop())
        self.successResultOf(self.duty.stop())
        self.advance(10)
        self.assertEqual(self.began, [0, 10, 20])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_never_overlaps_itself(self) -> None:
        """The interval begins when the run has ended, however long that takes."""
        self.running = Deferred()
        self.duty.start()
        self.advance(25)
        self.assertEqual(self.began, [0])
        self.end()
        self.advance(9, 1)
        self.assertEqual(self.began, [0, 35])
        self.assertEqual(self.duty.statistics.last_duration, 0)

    def test_waking_runs_it_early(self) -> None:
        """A wake brings the next run forward, and many wakes bring one."""
        self.duty.start()
        self.advance(3)
        self.duty.wake()
        self.duty.wake()
        self.advance(0, 9, 1)
        self.assertEqual(self.began, [0, 3, 13])

    def test_waking_a_run_under_way_runs_it_again(self) -> None:
        """A wake during a run is not lost: the run may have looked too early."""
        self.running = Deferred()
        self.duty.start()
        self.duty.wake()
        self.end()
        self.advance(0)
        self.assertEqual(self.began, [0, 0])

    def test_waking_what_is_stopped_does_nothing(self) -> None:
        """A wake before the start or after the stop runs nothing."""
        self.duty.wake()
        self.advance(1)
        self.assertEqual(self.began, [])

    def test_it_survives_its_failures_and_backs_off(self) -> None:
        """A failure is logged and the next run comes, later with each failure in a row, up to a limit."""

        def fail() -> None:
            self.began.append(self.clock.seconds())
            raise ZeroDivisionError

        duty = self.make(fail)
        duty.start()
        self.advance(*[1.0] * 250)
        self.assertEqual(self.began, [0, 20, 60, 120, 180, 240])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 6)
        self.assertEqual((duty.statistics.runs, duty.statistics.failures_in_a_row), (6, 6))
        self.assertEqual(duty.statistics.last_error, "ZeroDivisionError")
        self.successResultOf(duty.stop())

    def test_a_success_ends_the_backoff(self) -> None:
        """After a run that went well the interval is the usual one again."""
        self.running = Deferred()
        self.duty.start()
        self.end(ZeroDivisionError())
        self.advance(20, 10)
        self.assertEqual(self.began, [0, 20, 30])
        self.assertEqual(self.duty.statistics.failures_in_a_row, 0)
        self.assertEqual(self.duty.statistics.last_success, 30)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_stop_waits_for_the_run_under_way(self) -> None:
        """The stop is over when the run is."""
        self.running = Deferred()
        self.duty.start()
        first, second = self.duty.stop(), self.duty.stop()
        self.assertNoResult(first)
        self.end()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_start_during_the_last_run(self) -> None:
        """A duty that is started again while its last run goes on does not run twice at a time."""
        self.running = Deferred()
        self.duty.start()
        stopped = self.duty.stop()
        self.duty.start()
        self.assertEqual(self.began, [0])
        self.end()
        self.successResultOf(stopped)
        self.advance(10)
        self.assertEqual(self.began, [0, 10])

    def test_another_interval_holds_from_the_next_wait(self) -> None:
        """The interval can be changed while it runs."""
        self.duty.start()
        self.duty.interval = 1.0
        self.advance(10, 1, 1)
        self.assertEqual(self.began, [0, 10, 11, 12])
