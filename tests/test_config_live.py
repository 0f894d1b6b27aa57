"""What is claimed about settings that change while the server runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.config import (
    Change,
    ConfigError,
    LiveSettings,
    NotReloadable,
    ReloadOnHangup,
    Settings,
    UnknownSetting,
    load,
)


class LiveSettingsTests(SynchronousTestCase):
    """Reload, set, and tell."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.file.write_text("queue_limit = 5\n")
        self.live = LiveSettings(load({"config": str(self.file)}, {}))
        self.heard: list[tuple[int, frozenset[str]]] = []
        self.unsubscribe = self.live.subscribe(self.hear)

    def hear(self, settings: Settings, changed: frozenset[str]) -> None:
        self.heard.append((settings.queue_limit, changed))

    def test_reload_applies_what_may_change(self) -> None:
        """A reload changes reloadable settings, tells subscribers once, and names what needs a restart."""
        self.file.write_text("queue_limit = 6\npoison_limit = 2\ndatabase_pool_size = 9\n")
        changes = self.live.reload()
        self.assertEqual(
            set(changes),
            {
                Change("queue_limit", "5", "6", True),
                Change("poison_limit", "3", "2", True),
                Change("database_pool_size", "4", "9", False),
            },
        )
        self.assertEqual(self.heard, [(6, frozenset({"queue_limit", "poison_limit"}))])
        self.assertEqual(self.live.current.database_pool_size, 4)

    def test_reload_without_a_change_tells_nobody(self) -> None:
        """A file that says the same changes nothing."""
        self.assertEqual(self.live.reload(), ())
        self.assertEqual(self.heard, [])

    def test_a_bad_file_changes_nothing(self) -> None:
        """A reload that cannot be used is refused and everything stays as it was."""
        self.file.write_text("queue_limit = 'many'\n")
        self.assertRaises(ConfigError, self.live.reload)
        self.assertEqual(self.live.current.queue_limit, 5)

    def test_a_reload_may_not_break_a_rule(self) -> None:
        """Applying only the reloadable half of a file must not leave settings that contradict each other."""
        self.file.write_text("rate_limit_requests = 50000\nrate_limit_burst = 60000\n")
        self.live.reload()
        self.file.write_text("rate_limit_burst = 10\n")
        self.assertRaises(ConfigError, self.live.reload)
        self.assertEqual(self.live.current.rate_limit_burst, 60000)

    def test_set_changes_one_setting(self) -> None:
        """config_set acts at once, is the named source, and reports old and new."""
        self.assertEqual(self.live.set("queue_limit", "1_000"), (Change("queue_limit", "5", "1000", True),))
        self.assertEqual(self.heard, [(1000, frozenset({"queue_limit"}))])
        self.assertEqual(str(self.live.loaded.sources["queue_limit"]), "config_set queue_limit")

    def test_set_survives_a_reload(self) -> None:
        """What was set by hand stays, whatever the file says, until the next start."""
        self.live.set("queue_limit", "7")
        self.file.write_text("queue_limit = 8\n")
        self.assertEqual(self.live.reload(), ())
        self.assertEqual(self.live.current.queue_limit, 7)

    def test_set_refuses(self) -> None:
        """Settings that do not exist, that are read at start only, and bad values are told apart."""
        self.assertIn(
            "did you mean queue_limit?",
            str(self.assertRaises(UnknownSetting, self.live.set, "queu_limit", "1")),
        )
        self.assertIn("restart", str(self.assertRaises(NotReloadable, self.live.set, "database_pool_size", "5")))
        self.assertIn("'x'", str(self.assertRaises(ConfigError, self.live.set, "queue_limit", "x")))
        self.assertRaises(ConfigError, self.live.set, "rate_limit_burst", "1")
        self.assertEqual((self.heard, self.live.current.rate_limit_burst), ([], 40_000))

    def test_one_deaf_subscriber_does_not_silence_the_others(self) -> None:
        """A subscriber that raises is logged, and the next one is told all the same."""

        def broken(settings: Settings, changed: frozenset[str]) -> None:
            raise ZeroDivisionError

        self.unsubscribe()
        self.live.subscribe(broken)
        self.live.subscribe(self.hear)
        self.live.set("queue_limit", "6")
        self.assertEqual(self.heard, [(6, frozenset({"queue_limit"}))])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unsubscribing_twice_is_harmless(self) -> None:
        """Nobody is told after unsubscribing, which may be done again."""
        self.unsubscribe()
        self.unsubscribe()
        self.live.set("queue_limit", "6")
        self.assertEqual(self.heard, [])


class Reactor:
    """As much of a reactor as a signal handler may touch: it keeps the calls for later."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, function: Callable[[], None]) -> None:
        self.calls.append(function)


class HangupTests(SynchronousTestCase):
    """SIGHUP reads the configuration again."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.file.write_text("queue_limit = 5\n")
        self.live = LiveSettings(load({"config": str(self.file)}, {}))
        self.reactor = Reactor()
        self.part = ReloadOnHangup(self.live, cast(IReactorFromThreads, self.reactor))
        self.before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, self.before)
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def hang_up(self) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        for call in self.reactor.calls:
            call()

    def test_a_signal_reloads(self) -> None:
        """SIGHUP applies what the file says now, once the reactor is free."""
        self.part.start()
        self.part.start()
        self.file.write_text("queue_limit = 6\ndatabase_pool_size = 9\n")
        self.hang_up()
        self.assertEqual(self.live.current.queue_limit, 6)
        said = [event.get("effect") for event in self.events if "effect" in event]
        self.assertEqual(said, ["needs a restart to change", "changed"])
        self.part.stop()

    def test_a_bad_file_is_logged(self) -> None:
        """A file that cannot be used is logged with its place, and the server goes on as it was."""
        self.part.start()
        self.file.write_text("queue_limit = 'x'\n")
        self.hang_up()
        self.assertEqual(self.live.current.queue_limit, 5)
        errors = [event["reason"] for event in self.events if event.get("log_level") is LogLevel.error]
        self.assertIn(f"{self.file}:1", errors[0])
        self.part.stop()

    def test_the_signal_is_given_back(self) -> None:
        """After the stop, which may come twice or first, the signal does what it did before."""
        self.part.stop()
        self.part.start()
        self.part.stop()
        self.part.stop()
        self.assertEqual(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
