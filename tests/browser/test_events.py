"""The screen of events: filtered, held, and honest about what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.case import BrowserCase

if TYPE_CHECKING:
    from playwright.sync_api import Page


class EventsTests(BrowserCase):
    """A page that follows what happens in the furnished service."""

    def follow(self, query: str = "") -> Page:
        """Open the screen, and wait until it is live."""
        page = self.page(f"/events{query}")
        self.live(page)
        return page

    def test_the_filter_is_in_the_address(self) -> None:
        """Kinds that are ticked stand in the address, and others do not appear."""
        page = self.follow()
        page.get_by_label("Jobs end").check()
        page.wait_for_url("**/events?kinds=job_completed,job_failed,job_cancelled")
        self.live(page)
        job = self.site.api("POST", "/jobs", {"jobs": [{"type": "crawl_project", "name": "Seen at its end"}]})
        page.wait_for_selector(f"main .event[data-job='{job['items'][0]['job_id']}']")
        kinds = page.evaluate("[...new Set([...document.querySelectorAll('main .event')].map((e) => e.dataset.kind))]")
        self.assertEqual(set(kinds) - {"job_completed", "job_failed", "job_cancelled"}, set())
        self.assertIn("--kind job_completed", page.locator("main .command code").first.inner_text())
        page.go_back()
        page.wait_for_url("**/events")
        self.assertFalse(page.get_by_label("Jobs end").is_checked())

    def test_a_gap_is_marked(self) -> None:
        """A page that was held until its events were pruned says where some are missing, and goes on after them."""
        page = self.follow()
        self.site.order("advance")
        page.wait_for_selector("main .event")
        page.get_by_role("button", name="Hold").click()
        self.live(page, "paused")
        self.site.order("advance")
        self.site.rows("SELECT crawlsock.prune(now() + interval '1 minute', '-infinity')")
        page.get_by_role("main").get_by_role("button", name="Go on").click()
        self.live(page)
        page.wait_for_selector("main .event.gap")
        self.assertIn("Events are missing here", page.locator("main .event.gap").first.inner_text())
        before = page.locator("main .event").count()
        self.site.order("advance")
        self.wait(page, f"document.querySelectorAll('main .event').length > {before}")
        self.assertFalse(page.locator("main .event").first.evaluate("e => e.classList.contains('gap')"))
