"""How much the page weighs: every byte of page, scripts and styles that a reader of all screens loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.browser.case import BrowserCase
from tests.browser.screens import PATHS

if TYPE_CHECKING:
    from playwright.sync_api import Response

MOST: Final = 120_000
FOLLOW: Final = """(path) => {
    const link = document.createElement("a");
    link.href = path;
    document.body.append(link);
    link.click();
    link.remove();
}"""


class WeightTests(BrowserCase):
    """A browser with an empty cache."""

    site_name = "empty"

    def test_all_screens(self) -> None:
        """The page with all its screens is at most 120 kB compressed, and its files may be kept for ever."""
        self.expected = ("404",)
        files: dict[str, int] = {}
        wrong: list[str] = []

        def answered(response: Response) -> None:
            if "/api/" in response.url:
                return
            headers = response.headers
            files[response.url] = int(headers.get("content-length", "0"))
            if "/static/" in response.url and "immutable" not in headers.get("cache-control", ""):
                wrong.append(response.url)

        page = self.context().new_page()
        page.on("response", answered)
        self.visit(page, "/")
        for name in ("jobs", "job", "crawlers", "failures", "failure", "accounts", "events", "system", "access"):
            page.evaluate(
                FOLLOW,
                PATHS[name](self.site),
            )
            self.settled(page)
        self.assertEqual(wrong, [])
        scripts = [url for url in files if "/js/screens/" in url]
        self.assertGreaterEqual(len(scripts), 10, scripts)
        self.assertTrue(all(files.values()), {url: size for url, size in files.items() if not size})
        self.assertLessEqual(sum(files.values()), MOST, sorted(files.items(), key=lambda item: -item[1])[:12])
