"""Without JavaScript the overview, the jobs and a job are there, as HTML of the server."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.browser.case import BrowserCase
from tests.browser.hostile import NAMES


class WithoutJavaScriptTests(BrowserCase):
    """A browser that runs no script."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.site.hostile()

    def test_the_way_to_a_job(self) -> None:
        """From the overview links lead to a list of jobs, and from there to a job with its state and progress."""
        page = self.page(java_script_enabled=False)
        page.goto(self.site.url + "/")
        counts = self.site.api("GET", "/jobs/counts")["jobs"]
        self.assertIn(str(counts["failed"]), page.inner_text("main"))
        page.locator('main a[href*="states=paused"]').first.click()
        self.assertIn("/jobs?", page.url)
        page.get_by_role("link", name="Paused", exact=True).last.click()
        self.assertIn("/jobs/", page.url)
        self.assertIn("the owner asked for a break", page.inner_text("main"))

    def test_a_running_job(self) -> None:
        """A job shows what it has counted."""
        page = self.page(java_script_enabled=False)
        page.goto(f"{self.site.url}/jobs/{self.site.made['running']}")
        text = page.inner_text("main")
        for word in ("A long one", "unning", "issue"):
            self.assertIn(word, text)

    def test_hostile_names(self) -> None:
        """Names are text in the server's HTML, too, and break no layout."""
        page = self.page(java_script_enabled=False, width="narrow")
        for path in (f"/jobs?{urlencode({'account': NAMES[0]})}", f"/jobs/{self.site.made['hostile_held']}", "/"):
            page.goto(self.site.url + path)
            self.assertEqual(page.locator("main script, main img, main iframe, main form[action^='//']").count(), 0)
            widths = page.locator("html").evaluate("e => [e.scrollWidth, e.clientWidth]")
            self.assertEqual(widths[0], widths[1], path)

    def assert_unhurt(self, page: object, about: str = "") -> None:
        """Nothing to ask: no script runs here at all."""
