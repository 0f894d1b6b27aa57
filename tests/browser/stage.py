"""The company as a process: ``python -m tests.browser.stage ENDPOINT TOKENS [crawler]``.

It makes everything (or connects just one crawler), says in one JSON line what it made, and then does what it is told:
one JSON object a line on standard input, one answer a line. It ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet import stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineReceiver
from twisted.python import log

from tests.browser.company import TYPES, Company
from tests.integration.second_client import Client

reactor: Any = installed_reactor
PATIENCE = 60.0
"""Seconds that furnishing may take."""


class Orders(LineReceiver):
    """Standard input and output, one JSON object a line."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, handle: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]) -> None:
        self._handle = handle

    def lineReceived(self, line: bytes) -> None:
        Deferred.fromCoroutine(self._answer(json.loads(line)))

    async def _answer(self, order: dict[str, Any]) -> None:
        try:
            answer: dict[str, Any] = {"result": await self._handle(order)}
        except Exception as error:
            answer = {"error": repr(error)}
        self.say(answer)

    def say(self, answer: dict[str, Any]) -> None:
        """Write one line."""
        assert self.transport is not None
        self.transport.write(json.dumps(answer).encode() + b"\n")

    def connectionLost(self, reason: Any = None) -> None:
        if reactor.running:
            reactor.stop()


def doomed(endpoint: str, tokens: Path) -> None:
    """Take a job that wants a doomed crawler, begin it, and let the process end with it in hand."""
    client = Client(endpoint)
    token = (tokens / "crawler").read_text(encoding="utf-8").strip()
    client.hello("crawler", token, crawler_id="crawler-doomed", slots=1, labels=["doomed"], job_types=list(TYPES))
    job = client.job()
    client.ask("job_started", job_id=job["job_id"], lease=job["lease"])


def main(endpoint: str, tokens: str, what: str = "all") -> None:
    """Run until standard input ends."""
    if what == "doomed":
        doomed(endpoint, Path(tokens))
        return
    log.startLogging(sys.stderr, setStdout=False)
    company = Company(endpoint, Path(tokens))
    orders = Orders(company.told)
    stdio.StandardIO(orders)

    async def begin() -> None:
        work = company.furnish() if what == "all" else company.crawler("crawler-alpha")
        try:
            await Deferred.fromCoroutine(work).addTimeout(PATIENCE, reactor)
        except Exception as error:
            log.err()
            orders.say({"error": f"{error!r}, having made {sorted(company.made)}"})
        else:
            orders.say({"result": company.made})

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin()))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
