"""A connection without a database, for tests of what is built on connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from crawlsock.store.errors import DatabaseAway
from crawlsock.store.pool import Row


class FakeLink:
    """Record what is executed; the test answers, kills or notifies."""

    def __init__(self) -> None:
        self.alive = True
        self.status = ""
        self.executed: list[tuple[str, Sequence[Any] | None]] = []
        self.answers: list[Deferred[list[Row]]] = []
        self.closed_because: str | None = None
        self._observers: list[Callable[[], None]] = []
        self._notify: Callable[[str, str], None] | None = None

    def execute(
        self, sql: str, parameters: Sequence[Any] | None, *, deadline: float, writes: bool
    ) -> Deferred[list[Row]]:
        """Take the statement; it stays unanswered until the test answers it."""
        if not self.alive:
            return fail(DatabaseAway("closed"))
        self.executed.append((sql, parameters))
        answer: Deferred[list[Row]] = Deferred()
        self.answers.append(answer)
        return answer

    def close(self, reason: str) -> None:
        """Die, and tell everybody."""
        if self.alive:
            self.alive = False
            self.closed_because = reason
            pending, self.answers = self.answers, []
            for answer in pending:
                answer.errback(DatabaseAway(reason))
            for observer in self._observers:
                observer()

    def when_lost(self, observer: Callable[[], None]) -> None:
        """Remember who wants to know."""
        self._observers.append(observer)

    def when_notified(self, observer: Callable[[str, str], None]) -> None:
        """Remember whom to notify."""
        self._notify = observer

    def notify(self, channel: str, payload: str) -> None:
        """Deliver a notification."""
        assert self._notify is not None
        self._notify(channel, payload)

    def answer(self, *rows: Row) -> None:
        """Answer the oldest statement."""
        self.answers.pop(0).callback(list(rows))


class FakeServer:
    """Give out a link an attempt, when the test says so."""

    def __init__(self) -> None:
        self.attempts: list[Deferred[FakeLink]] = []

    def connect(self) -> Deferred[FakeLink]:
        """Begin an attempt."""
        attempt: Deferred[FakeLink] = Deferred()
        self.attempts.append(attempt)
        return attempt

    def accept(self) -> FakeLink:
        """Let the oldest attempt succeed."""
        link = FakeLink()
        self.attempts.pop(0).callback(link)
        return link

    def refuse(self, error: Exception) -> None:
        """Let the oldest attempt fail."""
        self.attempts.pop(0).errback(error)
