"""The parts of which the feed for many viewers is made, one by one."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.trial import unittest

from crawlsock.feed.filter import Filter
from crawlsock.feed.fold import Fold
from crawlsock.feed.recent import Delivery, Recent
from crawlsock.feed.sheet import Item, Sheet
from crawlsock.web import sse
from tests.feed import vectors
from tests.feed.viewers import parse


def progress(job: str, seq: int) -> Item:
    """Return progress of a job."""
    return Item({"kind": "job_progress", "job_id": job, "seq": seq})


def other(kind: str, **fields: Any) -> Item:
    """Return any other event."""
    return Item({"kind": kind, **fields})


def words(items: list[Item]) -> list[tuple[Any, Any]]:
    """Return what identifies items in these tests."""
    return [(item.event.get("job_id", item.event["kind"]), item.event.get("seq")) for item in items]


class FoldTests(unittest.TestCase):
    """What waits is shown in order, and of each job the last."""

    def test_last_progress_of_each_job(self) -> None:
        """Progress that newer progress of the same job replaces is not shown; the newer stands where it happened."""
        fold = Fold(0.25)
        fold.add([progress("a", 1), other("job_started"), progress("b", 1), progress("a", 2)])
        self.assertEqual(len(fold), 3)
        self.assertEqual(words(fold.take(0.0)), [("job_started", None), ("b", 1), ("a", 2)])
        self.assertEqual(words(fold.take(0.0)), [])

    def test_everything_else_stays(self) -> None:
        """Every event that is no progress is shown, however many there are of a job."""
        fold = Fold(0.25)
        fold.add([other("job_assigned", job_id="a"), other("job_lost", job_id="a"), other("job_assigned", job_id="a")])
        self.assertEqual(len(fold.take(0.0)), 3)

    def test_when(self) -> None:
        """Progress waits until the job's last is an interval old; nothing waits for a job that was not shown."""
        fold = Fold(0.25)
        fold.add([progress("a", 1)])
        self.assertEqual(fold.not_before, 0.0)
        fold.take(10.0)
        fold.add([progress("b", 1)])
        self.assertEqual(fold.not_before, 0.0)
        fold.add([progress("a", 2)])
        self.assertEqual(fold.not_before, 10.25)
        fold.take(10.25)
        fold.add([progress("b", 2)])
        self.assertEqual(fold.not_before, 10.5)

    def test_what_was_shown_is_forgotten(self) -> None:
        """It remembers whose progress was shown for an interval, and no longer."""
        fold = Fold(0.25)
        for number in range(1000):
            fold.add([progress(str(number), 1)])
            fold.take(number * 0.1)
        self.assertLessEqual(len(fold._shown), 3)


class FilterTests(unittest.TestCase):
    """Equal wishes are equal filters."""

    def test_the_same_in_other_words(self) -> None:
        """Who may see one account, and who asks for it, share what is made."""
        bound = Filter.of({}, ["team"])
        self.assertEqual(bound, Filter.of({"account": "team"}))
        self.assertEqual(bound, Filter.of({"account": "team"}, ["team", "other"]))
        self.assertEqual(Filter.of({"kinds": ["a", "b", "a"]}), Filter.of({"kinds": ["b", "a"]}))
        self.assertEqual(Filter.of({"kinds": []}), Filter())

    def test_what_may_be_seen(self) -> None:
        """A bound viewer sees its accounts and nothing that belongs to none."""
        filter = Filter.of({}, ["team", "other"])
        self.assertTrue(filter.matches({"kind": "job_created", "account": "team"}))
        self.assertFalse(filter.matches({"kind": "job_created", "account": "default"}))
        self.assertFalse(filter.matches({"kind": "crawler_lost"}))
        self.assertFalse(Filter.of({}, []).matches({"kind": "job_created", "account": "team"}))
        self.assertFalse(Filter.of({"account": "default"}, ["team"]).matches({"kind": "x", "account": "default"}))

    def test_sheets_and_filters_agree(self) -> None:
        """What a sheet finds by a field is what the filter lets through."""
        events = [
            {"kind": kind, "job_id": job, "root_id": "r", "account": account}
            for kind in ("job_created", "job_progress")
            for job in ("a", "b")
            for account in ("team", "default")
        ]
        events.append({"kind": "queue_paused"})
        sheet = Sheet(events)
        for filter in (
            Filter(),
            Filter(job_id="a"),
            Filter(job_id="a", account="team"),
            Filter(root_id="r", kinds=frozenset({"job_progress"})),
            Filter(root_id="nobody"),
            Filter(accounts=frozenset({"team"})),
        ):
            found = [item.event for item in sheet.matching(filter)]
            self.assertEqual(found, [event for event in events if filter.matches(event)])

    def test_encoded_once(self) -> None:
        """An event is the same bytes for everybody who is shown it."""
        sheet = Sheet([{"kind": "job_created", "job_id": "a"}])
        (one,), (another,) = sheet.matching(Filter()), sheet.matching(Filter(job_id="a"))
        self.assertIs(one.json, another.json)


class RecentTests(unittest.TestCase):
    """What was shown is shown again to who comes back soon."""

    def test_after_a_position(self) -> None:
        """From every position that was told, what followed is known; from others nothing is."""
        recent = Recent()
        recent.mark("0")
        deliveries = [Delivery(b"x" * 10, str(number)) for number in range(1, 5)]
        for delivery in deliveries:
            recent.add(delivery, 1000)
        recent.mark("4.5")
        self.assertEqual(recent.after("0"), deliveries)
        self.assertEqual(recent.after("3"), deliveries[3:])
        self.assertEqual(recent.after("4.5"), [])
        self.assertIsNone(recent.after("7"))

    def test_bounded(self) -> None:
        """It holds so many bytes and no more, and does not remember positions that it could not serve."""
        recent = Recent()
        for number in range(1, 10_000):
            recent.add(Delivery(b"x" * 100, str(number)), 1000)
        self.assertIsNone(recent.after("9000"))
        self.assertEqual(len(recent.after("9989") or ()), 10)
        self.assertLessEqual(len(recent._next), 100)

    def test_positions_without_deliveries(self) -> None:
        """Being told how far the feed is, day and night, costs no memory."""
        recent = Recent()
        for number in range(10_000):
            recent.mark(str(number))
        self.assertLessEqual(len(recent._next), 100)
        self.assertEqual(recent.after("9999"), [])


class VectorTests(unittest.TestCase):
    """What was written down for readers in other languages."""

    def test_vectors(self) -> None:
        """A viewer that keeps to the rules ends as written down."""
        found = vectors.load()
        self.assertGreater(len(found), 5)
        for vector in found:
            self.assertEqual(vectors.end_of(vector), vector["end"], vector["name"])


class EncodingTests(unittest.TestCase):
    """Streams are what the HTML standard says."""

    def test_messages(self) -> None:
        """Whatever stands in an event, a delivery is one message with its position as id."""
        events: list[dict[str, Any]] = [
            {"kind": "x", "message": "a\nb\r\n\n: data\u2028", "n": 2**63 - 1},
            {"kind": "y"},
        ]
        items = [Item(event) for event in events]
        stream = sse.retry(1.5) + sse.hello("1.2", "now") + sse.ping(None) + sse.ping("1.3")
        stream += sse.delivery(items, "1.4", True, True) + sse.delivery([], "1.5", False, False) + sse.end("bye")
        retry, hello, *rest = parse(stream)
        self.assertEqual(retry, (None, None, None))
        self.assertEqual(hello, ("hello", "1.2", {"position": "1.2", "at": "now"}))
        marked = {"events": events, "position": "1.4", "gap": True, "snapshot": True}
        self.assertEqual(
            [message for message in rest if message != (None, None, None)],
            [
                (None, "1.3", None),
                ("events", "1.4", marked),
                ("events", "1.5", {"events": [], "position": "1.5"}),
                ("end", None, {"reason": "bye"}),
            ],
        )
        self.assertIn(orjson.dumps(events[0]), stream)
