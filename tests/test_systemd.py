"""What a service manager hears, through a real datagram socket."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.systemd import STATUS_SECONDS, Manager, Notifier


class SystemdCase(TestCase):
    """A socket as systemd has one."""

    def listen(self, address: str) -> socket.socket:
        """Listen for notifications."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        receiver.setblocking(False)
        return receiver

    def path(self) -> str:
        """Return a path for a socket."""
        directory = tempfile.mkdtemp()
        path = os.path.join(directory, "notify")

        def remove() -> None:
            if os.path.exists(path):
                os.unlink(path)
            os.rmdir(directory)

        self.addCleanup(remove)
        return path

    def heard(self, receiver: socket.socket) -> list[dict[str, str]]:
        """Return the messages that came."""
        found: list[dict[str, str]] = []
        while True:
            try:
                text = receiver.recv(65536).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in text.split("\n")))


class ManagerTests(SystemdCase):
    """Who the manager is, and how it is reached."""

    def test_a_process_without_a_manager_has_none(self) -> None:
        """Without the variable, or with one that names no socket, there is no manager."""
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "@"}):
            self.assertIsNone(Manager.from_environment(dict(environ)))

    def test_children_do_not_speak_for_the_process(self) -> None:
        """The variables are taken out of the environment that children get."""
        environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "HOME": "/"}
        manager = Manager.from_environment(environ, pid=7)
        self.assertEqual(environ, {"HOME": "/"})
        self.assertEqual(manager, Manager("/run/x", 30.0))

    def test_a_watchdog_for_somebody_else_is_none_of_ours(self) -> None:
        """A watchdog that asks about another process, or asks nonsense, is not fed."""
        for environ in (
            {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "8"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": "0"},
        ):
            manager = Manager.from_environment({"NOTIFY_SOCKET": "@x", **environ}, pid=7)
            self.assertEqual(manager, Manager("@x", None))

    def test_paths_and_abstract_names_are_reached(self) -> None:
        """A message arrives at a socket in the file system, and at one in the abstract namespace."""
        for address in (self.path(), f"@crawlsock-{secrets.token_hex(8)}"):
            receiver = self.listen(address)
            self.assertTrue(Manager(address).notify(READY="1", STATUS="well"))
            self.assertEqual(self.heard(receiver), [{"READY": "1", "STATUS": "well"}])

    def test_nobody_there_is_no_error(self) -> None:
        """A manager that does not listen, or does not read, costs nothing."""
        self.assertFalse(Manager(self.path()).notify(READY="1"))
        address = f"@crawlsock-{secrets.token_hex(8)}"
        self.listen(address)
        sent = [Manager(address).notify(STATUS="x" * 100) for _ in range(2000)]
        self.assertIn(False, sent, "a full socket would have to refuse something")


class NotifierTests(SystemdCase):
    """What is said when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.address = f"@crawlsock-{secrets.token_hex(8)}"
        self.receiver = self.listen(self.address)
        self.words = "3 crawlers"
        self.is_well = True

    def notifier(self, watchdog: float | None = None) -> Notifier:
        """Make one for the socket."""
        notifier = Notifier(self.clock, Manager(self.address, watchdog), lambda: self.words, lambda: self.is_well)
        self.addCleanup(notifier.stop)
        return notifier

    def test_a_whole_life(self) -> None:
        """Starting, ready, reloading, ready again, stopping: each is said once, in this order, with a sentence."""
        notifier = self.notifier()
        notifier.starting("waiting for\nthe database")
        notifier.ready()
        notifier.reloading()
        notifier.ready()
        notifier.stopping("leaving")
        notifier.stop()
        starting, ready, reloading, again, stopping = self.heard(self.receiver)
        self.assertEqual(starting, {"STATUS": "waiting for the database"})
        self.assertEqual(ready, {"READY": "1", "STATUS": "3 crawlers"})
        self.assertEqual(reloading["RELOADING"], "1")
        self.assertGreater(int(reloading["MONOTONIC_USEC"]), 0)
        self.assertEqual(again["READY"], "1")
        self.assertEqual(stopping, {"STOPPING": "1", "STATUS": "leaving"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_sentence_is_said_when_it_changes(self) -> None:
        """The status follows the process, and is not repeated."""
        self.notifier().ready()
        self.heard(self.receiver)
        self.clock.advance(STATUS_SECONDS)
        self.assertEqual(self.heard(self.receiver), [])
        self.words = "4 crawlers"
        self.clock.advance(STATUS_SECONDS)
        self.clock.advance(STATUS_SECONDS)
        self.assertEqual(self.heard(self.receiver), [{"STATUS": "4 crawlers"}])

    def test_the_watchdog_is_fed_in_half_its_time(self) -> None:
        """A process that is well says so twice as often as it is asked to."""
        self.notifier(watchdog=4.0).ready()
        self.clock.pump([1.0] * 8)
        fed = [message for message in self.heard(self.receiver) if "WATCHDOG" in message]
        self.assertEqual(len(fed), 5)

    def test_a_process_that_is_not_well_lets_the_watchdog_bite(self) -> None:
        """Once the self-check fails nothing is said to the watchdog, until it is well again."""
        self.notifier(watchdog=4.0).ready()
        self.heard(self.receiver)
        self.is_well = False
        self.clock.pump([1.0] * 8)
        self.assertEqual([message for message in self.heard(self.receiver) if "WATCHDOG" in message], [])
        self.is_well = True
        self.clock.pump([1.0] * 2)
        self.assertEqual(len([message for message in self.heard(self.receiver) if "WATCHDOG" in message]), 1)

    def test_without_a_manager_nothing_runs(self) -> None:
        """A process that nobody watches keeps no timer for it."""
        notifier = Notifier(self.clock, None, lambda: "", lambda: True)
        notifier.starting("x")
        notifier.ready()
        notifier.reloading()
        notifier.stopping("x")
        notifier.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
