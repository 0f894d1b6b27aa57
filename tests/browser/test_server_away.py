"""The server is killed for ten seconds under an open page: it says so, comes back, misses and doubles nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from tests.browser.case import BrowserCase
from tests.browser.rig import SHARED, Site

KINDS: Final = ("job_created", "job_assigned", "job_started", "job_completed")
SHOWN: Final = """() => [...document.querySelectorAll("main .event")].reverse()
    .map((row) => row.classList.contains("gap") ? ["gap", ""] : [row.dataset.kind, row.dataset.job])"""


class ServerAwayTests(BrowserCase):
    """A service of its own, with one crawler; jobs are submitted by SQL, too, as a web application may."""

    site_name = ""

    def setUp(self) -> None:
        super().setUp()
        self.site = Site("away").start().furnish("crawler")
        self.addCleanup(self.site.close)
        self.expected = ("net::ERR_", "Failed to load resource")

    def submit(self, name: str, count: int) -> None:
        """Submit jobs inside the database, where no server is needed."""
        self.site.rows(
            f"SELECT crawlsock.submit('crawl_project', name => '{name} ' || n) FROM generate_series(1, {count}) n"
        )

    def recorded(self) -> list[list[str]]:
        """Return kind and job of the events that the database holds, in their order."""
        rows: list[tuple[Any]] = self.site.rows("SELECT groups::text FROM crawlsock.event ORDER BY xid, id")
        events = []
        for (text,) in rows:
            for group in json.loads(text):
                for row in group["rows"]:
                    event = dict(zip(group["columns"], row, strict=False))
                    if event["kind"] in KINDS:
                        events.append([event["kind"], event["job_id"]])
        return events

    def test_killed_for_ten_seconds(self) -> None:
        """Events from before, during and after the outage are on the page once each, in the database's order."""
        page = self.page(f"/events?kinds={','.join(KINDS)}")
        overview = page.context.new_page()
        self.visit(overview, "/")
        for each in (page, overview):
            self.live(each)
        self.submit("before", 10)
        self.wait(page, "document.querySelectorAll('.event[data-kind=job_completed]').length === 10")
        self.site.kill()
        for each in (page, overview):
            self.live(each, "reconnecting")
        self.assertIn("Reconnecting", page.locator("#live").inner_text())
        self.submit("during", 10)
        # The page says how old its data is; so it tells when ten seconds are over.
        self.wait(page, r"/data 1\d s old/.test(document.querySelector('#live').innerText)", 30)
        self.assertEqual(page.locator(".event[data-kind=job_completed]").count(), 10, "what was shown stays")
        self.site.start()
        for each in (page, overview):
            self.live(each, "live", 20)
        self.submit("after", 10)
        self.wait(page, "document.querySelectorAll('.event[data-kind=job_completed]').length >= 30", 20)
        self.wait(overview, "document.querySelector('a.counter[data-state=completed] b')?.textContent === '30'", 20)
        shown, recorded = page.evaluate(SHOWN), self.recorded()
        self.assertEqual(max(Counter(map(tuple, shown)).values()), 1, "nothing is doubled")
        self.assertEqual(len(shown), 4 * 30)
        self.assertEqual(shown, recorded)

    def tearDown(self) -> None:
        SHARED.sites.pop("away", None)
