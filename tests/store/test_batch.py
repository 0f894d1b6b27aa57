"""Hold the group commit to its claims, on a clock and a database that are both made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.store.batch import MOST_ITEMS, REPETITIONS, GroupCommit
from crawlsock.store.errors import CommitUnknown, DatabaseAway, Refused, Retryable
from crawlsock.wire.errors import Refusal


class Item:
    """A write of the test: a name, and what it was answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answered: object = None

    def encode(self, index: int) -> Sequence[dict[str, Any]]:
        return ({"i": index, "name": self.name},)

    def answer(self, answer: Any) -> None:
        self.answered = answer

    def refuse(self, refusal: Refusal) -> None:
        self.answered = refusal.code.value


def _answer(names: list[str], items: list[Item]) -> None:
    for item in items:
        item.answer(f"{item.name} in {names}")


class GroupCommitTests(unittest.TestCase):
    """One batch is committed at a time, and everything that came meanwhile is the next."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[dict[str, Any]] = []
        self.under_way: list[Deferred[str]] = []
        self.up: Deferred[None] = succeed(None)
        self.commits = 0
        self.group = GroupCommit(
            self.clock,
            self._send,
            lambda: self.up,
            {"a": _answer, "b": _answer},
            header=lambda: {"from": "me"},
            committed=self._committed,
            patience=5.0,
        )

    def _send(self, batch: str) -> Deferred[str]:
        self.sent.append(orjson.loads(batch))
        self.under_way.append(Deferred())
        return self.under_way[-1]

    def _committed(self) -> None:
        self.commits += 1

    def add(self, name: str, kind: str = "a") -> Item:
        """Add an item."""
        item = Item(name)
        self.group.add(kind, item)
        return item

    def names(self, number: int, kind: str = "a") -> list[str]:
        """Return the names of the items of one kind in the batch that was sent as number so and so."""
        return [item["name"] for item in self.sent[number].get(kind, [])]

    def commit(self) -> None:
        """Let the batch under way commit."""
        number = len(self.under_way) - 1
        answer = {kind: self.names(number, kind) for kind in ("a", "b") if kind in self.sent[number]}
        self.under_way[number].callback(orjson.dumps(answer).decode())

    def break_(self, error: Exception) -> None:
        """Let the batch under way fail."""
        self.under_way[-1].errback(error)

    def test_a_turn_is_one_batch(self) -> None:
        """What is added in one turn of the reactor is committed together, kinds apart, in the order it came."""
        items = [self.add("1"), self.add("2", "b"), self.add("3")]
        self.assertEqual(self.sent, [])
        self.clock.advance(0)
        self.assertEqual((self.names(0), self.names(0, "b"), self.sent[0]["from"]), (["1", "3"], ["2"], "me"))
        self.assertEqual([item.answered for item in items], [None, None, None])
        self.commit()
        self.assertEqual([item.answered for item in items], ["1 in ['1', '3']", "2 in ['2']", "3 in ['1', '3']"])
        self.assertEqual((self.commits, self.group.sizes.count, self.group.sizes.total), (1, 1, 3))

    def test_the_next_batch_forms_meanwhile(self) -> None:
        """While a batch is under way all new items wait for its end, and then go together without a pause."""
        self.add("1")
        self.clock.advance(0)
        self.add("2")
        self.add("3")
        self.clock.advance(1)
        self.assertEqual(len(self.sent), 1)
        self.commit()
        self.assertEqual(self.names(1), ["2", "3"])

    def test_what_an_answer_adds_is_committed_next(self) -> None:
        """An item that is added because of an answer is committed without a pause."""
        first = self.add("1")
        first.answer = lambda answer: self.group.add("a", Item("because"))  # type: ignore[method-assign]
        self.clock.advance(0)
        self.commit()
        self.assertEqual(self.names(1), ["because"])

    def test_the_database_does_not_wait_for_answers(self) -> None:
        """A batch that has formed is sent before the one before it is answered."""
        first = self.add("1")
        sent: list[int] = []
        first.answer = lambda answer: sent.append(len(self.sent))  # type: ignore[method-assign]
        self.clock.advance(0)
        second = self.add("2")
        self.commit()
        self.assertEqual((sent, self.names(1)), ([2], ["2"]))
        self.commit()
        self.assertEqual(second.answered, "2 in ['2']")

    def test_a_batch_is_bounded(self) -> None:
        """More items than one batch may hold are committed in several, in order."""
        items = [self.add(str(number)) for number in range(MOST_ITEMS + 2)]
        self.clock.advance(0)
        self.commit()
        self.assertEqual((len(self.names(0)), self.names(1)), (MOST_ITEMS, [str(MOST_ITEMS), str(MOST_ITEMS + 1)]))
        self.commit()
        self.assertTrue(all(item.answered for item in items))

    def test_a_lost_commit_is_repeated(self) -> None:
        """A batch whose commit was cut off is sent again whole, under its own number, and marked as repeated."""
        item = self.add("1")
        self.clock.advance(0)
        self.break_(CommitUnknown("cut off"))
        self.assertIsNone(item.answered)
        self.clock.advance(0.1)
        self.assertEqual(self.names(1), ["1"])
        self.assertEqual((self.sent[0]["repeated"], self.sent[1]["repeated"]), (False, True))
        self.assertEqual(self.sent[0]["no"], self.sent[1]["no"])
        self.commit()
        self.assertEqual(item.answered, "1 in ['1']")

    def test_a_database_that_stays_away_is_unavailable(self) -> None:
        """After the patience the items are answered `unavailable`, and what came meanwhile is tried anew."""
        item = self.add("1")
        self.clock.advance(0)
        self.up = Deferred()
        self.break_(DatabaseAway("gone"))
        later = self.add("2")
        self.clock.advance(4.9)
        self.assertIsNone(item.answered)
        self.clock.advance(0.2)
        self.assertEqual((item.answered, later.answered, self.names(1)), ("unavailable", None, ["2"]))

    def test_contention_is_tried_again_but_not_for_ever(self) -> None:
        """A batch that lost against another transaction is sent again at once, a bounded number of times."""
        item = self.add("1")
        self.clock.advance(0)
        for _ in range(REPETITIONS):
            self.break_(Retryable("40001", "serialization"))
        self.assertIsNone(item.answered)
        self.break_(Retryable("40001", "serialization"))
        self.assertEqual((item.answered, len(self.sent)), ("unavailable", REPETITIONS + 1))

    def test_one_bad_item_never_fails_its_neighbours(self) -> None:
        """A refused batch is halved until the bad item stands alone; all the others are committed."""
        items = [self.add(name) for name in ("1", "2", "bad", "4", "5")]
        self.clock.advance(0)
        while any(item.answered is None for item in items):
            if "bad" in self.names(-1):
                self.break_(Refused("22023", "what is this"))
            else:
                self.commit()
        self.assertEqual([item.answered == "internal" for item in items], [False, False, True, False, False])
        self.assertTrue(all(str(item.answered).startswith(item.name) for item in items if item.name != "bad"))

    def test_idle_is_told(self) -> None:
        """Who waits for quiet is told when nothing forms and nothing is under way, at once if so."""
        self.successResultOf(self.group.when_idle())
        self.add("1")
        waiting = self.group.when_idle()
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.commit()
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
