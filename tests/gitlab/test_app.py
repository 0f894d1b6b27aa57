"""The crawler as `crawlsock crawl` builds it."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.trial.unittest import TestCase

from crawlsock.gitlab import HostRefused, make_executor

reactor: Any = the_reactor


class MakeExecutorTests(TestCase):
    """Putting a crawler together."""

    async def test_stop(self) -> None:
        """An executor that never had a server can be stopped, and lets go of what it opened."""
        output = self.mktemp()
        executor = make_executor("unix:/nonexistent/socket", "token", output_root=output, reactor=reactor)
        self.assertTrue(os.path.isdir(output))
        executor.start().addErrback(lambda _: None)
        await executor.stop()
        held = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_link(name)]
        self.assertNotIn(os.path.abspath(output), held)

    def test_bad_output(self) -> None:
        """An output root that is no folder is told at once, not job by job."""
        output = self.mktemp()
        with open(output, "w", encoding="ascii"):
            pass
        self.assertRaises(OSError, make_executor, "unix:/x", "token", output_root=output, reactor=reactor)

    def test_bad_host(self) -> None:
        """An allowed host that is none is told at once."""
        self.assertRaises(
            HostRefused,
            make_executor,
            "unix:/x",
            "token",
            output_root=self.mktemp(),
            allowed_hosts=["http://gitlab.example.com"],
            reactor=reactor,
        )


def _is_link(name: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{name}")
