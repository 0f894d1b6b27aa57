"""The demo's processes together: sample GitLab, server, crawlers.

The law: a process that people kill to see what happens is started again a few times; the sample GitLab, whose tokens
are in its memory, is not. What cannot go on is told once, to `on_trouble`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool

from crawlsock.demo.children import Child, environment
from crawlsock.demo.place import Place
from crawlsock.demo.plan import Plan, crawler_command, sample_command, server_command

_RESTARTS: Final = 3
_AGAIN: Final = 0.2
_CRAWLER_PATIENCE: Final = 5.0
_SERVER_PATIENCE: Final = 20.0


class DemoFailed(Exception):
    """The demo cannot go on; the message says why, `child` whose log says more."""

    def __init__(self, message: str, child: Child | None = None) -> None:
        super().__init__(message)
        self.child = child


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now. It is the server's over restarts, and so is a page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """Start the processes, start them again, and stop them all."""

    def __init__(self, reactor: Any, plan: Plan, place: Place, on_trouble: Callable[[DemoFailed], None]) -> None:
        self.restarts: list[str] = []
        self._reactor = reactor
        self._plan = plan
        self._place = place
        self._on_trouble = on_trouble
        self._environ = environment(os.environ)
        self._ready: set[str] = set()
        self._commands: dict[str, list[str]] = {}
        self._children: dict[str, Child] = {}
        self._stopped: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []

    def start_sample(self) -> Deferred[bytes]:
        """Start the sample GitLab; fire with the line in which it says where it is and what it holds."""
        line: Deferred[bytes] = Deferred()
        self._start("sample GitLab", sample_command(self._plan), line)
        return line

    def start_server(self) -> None:
        """Start the server, which starts its PostgreSQL."""
        self._start("server", server_command(self._plan, self._place, free_port()))

    def start_crawlers(self, host: str) -> None:
        """Start the crawlers."""
        for number in range(1, self._plan.crawlers + 1):
            self._start(f"crawler {number}", crawler_command(self._plan, self._place, number, host))

    def is_ready(self, *names: str) -> None:
        """Note that these have worked: from now on they are started again."""
        self._ready.update(names or (name for name in self._children if name.startswith("crawler")))

    def _start(self, name: str, command: list[str], first_line: Deferred[bytes] | None = None) -> None:
        log = self._place.logs / f"{name.replace(' ', '-')}.log"
        child = Child(self._reactor, name, log, self._ended, first_line)
        self._commands[name] = command
        self._children[name] = child
        child.start(command, self._environ, self._place.data)

    def _ended(self, child: Child, how: str) -> None:
        if self._stopped is not None:
            return
        again = sum(each == child.name for each in self.restarts) < _RESTARTS
        if child.name not in self._ready or not again:
            self._on_trouble(DemoFailed(f"the {child.name} {how}", child))
            return
        self.restarts.append(child.name)
        self._reactor.callLater(_AGAIN, self._again, child.name)

    def _again(self, name: str) -> None:
        if self._stopped is None:
            self._start(name, self._commands[name])

    def stop(self) -> Deferred[None]:
        """Stop everything, the crawlers first and the database last; fires when all is gone. Again is fine."""
        if self._stopped is None:
            self._stopped = Deferred.fromCoroutine(self._stop())
            self._stopped.addBoth(self._all_gone)
        gone: Deferred[None] = Deferred()
        if self._stopped.called:
            gone.callback(None)
        else:
            self._waiting.append(gone)
        return gone

    async def _stop(self) -> None:
        others = [child for name, child in self._children.items() if name != "server"]
        await gatherResults([child.stop(_CRAWLER_PATIENCE) for child in others])
        server = self._children.get("server")
        if server is not None:
            await server.stop(_SERVER_PATIENCE)
            pool = self._reactor.getThreadPool()
            await deferToThreadPool(self._reactor, pool, self._place.stop_database)

    def _all_gone(self, result: object) -> object:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        return result

    def kill(self) -> None:
        """End every process at once; `stop` is still needed, and quick then."""
        for child in self._children.values():
            child.kill()

    @property
    def pids(self) -> list[int]:
        """The processes that live."""
        return [child.pid for child in self._children.values() if child.alive and child.pid is not None]
