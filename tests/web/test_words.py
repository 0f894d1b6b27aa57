"""What the pages say: moments, durations, counts, names of others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.web.words import ago, exact, headline, percent, rate, seconds_of, text, took

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)


def moment(seconds: float) -> str:
    """Return a moment so many seconds before now, as the protocol writes it."""
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class WordsTests(SynchronousTestCase):
    """One word at a time."""

    def test_durations(self) -> None:
        """A duration has one or two units, and is never negative."""
        said = {0: "0 s", 0.25: "250 ms", 4.2: "4.2 s", 59.7: "1 min", 75: "1 min 15 s", 3600: "1 h", 90061: "1 d 1 h"}
        said |= {-5: "0 s", 40 * 86400: "40 d", 12 * 3600 + 60: "12 h"}
        self.assertEqual({size: seconds_of(size) for size in said}, said)

    def test_ago(self) -> None:
        """A moment says how long ago it is, with the moment itself in its title; what is just ahead of us is now."""
        self.assertIn(">3 min ago</time>", ago(moment(200), NOW))
        self.assertIn('title="2026-11-26 11:56:40 UTC"', ago(moment(200), NOW))
        self.assertIn(">now<", ago(moment(-1.5), NOW))
        self.assertIn(">in 1 min<", ago(moment(-61), NOW))
        self.assertIn("–", ago(None, NOW))
        self.assertEqual(took(moment(30), moment(60), NOW), "0 s")

    def test_percent(self) -> None:
        """Only what is done is 100 %, only what has not begun 0 %."""
        said = {
            0.0: "0 %",
            0.01: "<0.1 %",
            5.55: "5.5 %",
            42.9: "42 %",
            99.95: ">99.9 %",
            100.0: "100 %",
            101.0: "100 %",
        }
        self.assertEqual({size: percent(size) for size in said}, said)

    def test_numbers(self) -> None:
        """Counts keep every digit; a speed has as many as mean something."""
        self.assertEqual(exact(9007199254740993), "9,007,199,254,740,993")
        self.assertEqual(
            [rate(each) for each in (0, 0.001, 0.5, 4.25, 12.6)], ["0/s", "<0.01/s", "0.5/s", "4.2/s", "13/s"]
        )
        self.assertEqual(headline("waiting_credential"), "Waiting for credential")

    def test_text(self) -> None:
        """A text of others is escaped and isolated, and what would not show in it is marked."""
        self.assertEqual(text("<b>"), "<bdi>&lt;b&gt;</bdi>")
        self.assertIn('<span class="unseen" title="invisible character U+202E">RLO</span>', text("a\u202eb"))
        self.assertIn("U+E0041", text("\U000e0041"))
        self.assertEqual(text("a\nb", lines=True), '<bdi class="lines">a\nb</bdi>')
        self.assertIn("LF", text("a\nb"))
        self.assertNotIn("unseen", text("👩\u200d💻 שלום"))

    def test_text_of_marks(self) -> None:
        """A text in which nothing shows takes no longer than its length: whoever submits a payload must not stop us."""
        began = process_time()
        shown = text("\x7f" * 32_000 + "<", lines=True)
        self.assertLess(process_time() - began, 5)
        self.assertEqual(shown.count(">DEL</span>"), 32_000)
        self.assertTrue(shown.endswith("&lt;</bdi>"))
