"""What the kernel says about the process at the other end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.server import peer_credentials as kernel

reactor: Any = installed_reactor
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


class CredentialTests(unittest.TestCase):
    def pair(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair(socket.AF_UNIX)
        for end in pair:
            self.addCleanup(end.close)
        return pair

    def test_unix(self) -> None:
        """On a Unix socket pid and user are known, and when the process began."""
        found = kernel.peer_credentials(self.pair()[0])
        assert found is not None
        self.assertEqual((found.pid, found.uid), (os.getpid(), os.geteuid()))
        self.assertEqual(found.start, kernel.process_start(os.getpid()))
        self.assertIsNotNone(found.boot_id)

    def test_tcp(self) -> None:
        """On TCP nothing is known: the kernel would answer with lies."""
        with socket.socket() as listening, socket.socket() as client:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            client.connect(listening.getsockname())
            self.assertIsNone(kernel.peer_credentials(client))
            self.assertIsNone(kernel.peer_pidfd(client))

    def test_process_start(self) -> None:
        """A process is told from a later one with the same pid by when it began."""
        process = subprocess.Popen(SLEEP)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        start = kernel.process_start(process.pid)
        assert start is not None
        self.assertTrue(kernel.is_alive(process.pid, start))
        self.assertFalse(kernel.is_alive(process.pid, start - 1))
        self.assertIsNone(kernel.open_pidfd(process.pid, start - 1))

    def test_zombie(self) -> None:
        """A process that has ended and was not waited for does not live."""
        process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.read()
        process.stdout.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertFalse(kernel.is_alive(process.pid, None))
        process.wait()
        self.assertFalse(kernel.is_alive(process.pid, None))


class WatchTests(unittest.TestCase):
    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(SLEEP)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def watch(self, process: subprocess.Popen[bytes]) -> tuple[kernel.ProcessWatch, Deferred[None]]:
        ended: Deferred[None] = Deferred()
        watcher = kernel.ProcessWatcher(reactor)
        start = kernel.process_start(process.pid)
        watch = watcher.of_process(process.pid, start, lambda: ended.callback(None))
        if watch is None:
            raise unittest.SkipTest("this system has no pidfd")
        self.addCleanup(watch.stop)
        return watch, ended

    async def test_killed(self) -> None:
        """The death of a watched process is heard of, once, by kill -9 as well."""
        process = self.start()
        watch, ended = self.watch(process)
        self.assertFalse(watch.dead())
        process.kill()
        await ended
        self.assertTrue(watch.dead())
        self.assertEqual(watch.fileno(), -1)

    def test_dead_before_the_reactor_knows(self) -> None:
        """Whether the process is dead can be asked before the reactor has heard of it."""
        process = self.start()
        watch, _ = self.watch(process)
        process.kill()
        process.wait()
        self.assertTrue(watch.dead())

    def test_stopped(self) -> None:
        """A watch that was stopped says nothing, and may be stopped again."""
        process = self.start()
        watch, ended = self.watch(process)
        watch.stop()
        watch.stop()
        process.kill()
        process.wait()
        self.assertNoResult(ended)

    def test_by_socket(self) -> None:
        """The process that connected a socket is watched through the socket."""
        ends = socket.socketpair(socket.AF_UNIX)
        for end in ends:
            self.addCleanup(end.close)
        watch = kernel.ProcessWatcher(reactor).of_socket(ends[0], lambda: None)
        assert watch is not None
        self.addCleanup(watch.stop)
        self.assertFalse(watch.dead())

    def test_reactor_that_cannot(self) -> None:
        """With a clock instead of a reactor nothing is watched, and deadlines do the work."""
        watcher = kernel.ProcessWatcher(Clock())
        self.assertIsNone(watcher.of_process(os.getpid(), None, lambda: None))
