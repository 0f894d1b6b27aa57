"""The modules of the page that hold rules only, run where they run in life: inside Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import crawlsock
from tests.browser.case import BrowserCase

if TYPE_CHECKING:
    from playwright.sync_api import Route

HERE = Path(__file__).parent / "units"
STATIC = Path(crawlsock.__file__).parent / "web" / "static"
VIEWERS = Path(__file__).parents[1] / "feed" / "data" / "viewers.json"
ORIGIN = "http://units.test"
RUN = """async (name) => {
    const failed = [];
    const { units } = await import(name);
    for (const [claim, check] of Object.entries(units)) {
        try {
            await check();
        } catch (error) {
            failed.push(`${claim}: ${error.message}`);
        }
    }
    return [Object.keys(units).length, failed];
}"""


class UnitTests(BrowserCase):
    """Each test runs one file of claims; no server is needed."""

    site_name = ""

    def run_units(self, name: str) -> None:
        page = self.page(role=None)
        page.route("**/*", self._serve)
        page.goto(f"{ORIGIN}/")
        count, failed = page.evaluate(RUN, f"/{name}.js")
        self.assertEqual(failed, [])
        self.assertGreater(count, 0)

    def _serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(body="<!doctype html><title>units</title>", content_type="text/html")
        elif path.startswith("/static/"):
            route.fulfill(path=STATIC / path.removeprefix("/static/"), content_type="text/javascript")
        elif path == "/viewers.json":
            route.fulfill(path=VIEWERS, content_type="application/json")
        elif path.endswith(".js"):
            route.fulfill(path=HERE / path[1:], content_type="text/javascript")
        else:
            route.fulfill(status=204)

    def test_numbers(self) -> None:
        """Numbers of 64 bits are read, added and written exactly."""
        self.run_units("numbers")

    def test_words(self) -> None:
        """Moments, durations, speeds and sizes are words that cannot mislead."""
        self.run_units("format")

    def test_events(self) -> None:
        """Whatever order events come in, what they make of a job is the same, and it never goes back."""
        self.run_units("reduce")

    def test_viewers(self) -> None:
        """What the page makes of a stream is what the store says, for viewers of every kind."""
        self.run_units("viewers")

    def test_addresses_texts_and_commands(self) -> None:
        """Addresses keep what is put into them, hidden characters show, and command lines are safe to paste."""
        self.run_units("address")

    def test_tree(self) -> None:
        """A tree that is read page by page shows each child once, in its place."""
        self.run_units("forest")

    def test_history(self) -> None:
        """A job tells what happened to it, and what can be done with it, from its rows alone."""
        self.run_units("history")
