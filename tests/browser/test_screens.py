"""Every screen with data, empty, failing and reconnecting; light and dark; narrow and wide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.browser.case import WIDTHS, BrowserCase
from tests.browser.pictures import DIRECTORY, picture
from tests.browser.rig import SHARED
from tests.browser.screens import NOT_LIVE, PATHS, cut_stream, fail_api

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCHEMES: Final = ("light", "dark")
BOTH: Final = (("light", "wide"), ("dark", "narrow"))
PICTURED: Final = {
    "data": {(scheme, width) for scheme in SCHEMES for width in WIDTHS},
    "empty": set(BOTH),
    "failing": set(BOTH),
    "reconnecting": {("dark", "narrow")},
}
"""Of what pictures are kept: enough to see everything, in two megabytes."""


def audited(name: str, state: str) -> set[tuple[str, str]]:
    """Return where axe looks at a screen in a state.

    A wide window shows everything, so data is looked at there in both colours. What stands in the place of data is the
    same on all screens: it is looked at once on each, on every second one in dark and narrow.
    """
    if state == "data":
        return {("light", "wide"), ("dark", "wide"), ("dark", "narrow")}
    return {BOTH[list(PATHS).index(name) % 2]}


class LookCase(BrowserCase):
    """What is checked of a screen in each of its states: once loaded, it is looked at in both widths and colours."""

    def look(self, page: Page, name: str, state: str) -> None:
        """Check that the page fits and is accessible, whatever the window and the colours; take pictures."""
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width, (across, down) in WIDTHS.items():
                page.set_viewport_size({"width": across, "height": down})
                about = f"{name} {state} {scheme} {width}"
                self.assert_fits(page, about)
                if (scheme, width) in audited(name, state):
                    self.assert_accessible(page, about, part="header" if state == "reconnecting" else None)
                if (scheme, width) in PICTURED[state]:
                    self.take(page, f"{name}-{state}-{scheme}-{across}")

    def take(self, page: Page, name: str) -> None:
        """Take a picture, if pictures are wanted."""
        if DIRECTORY is not None:
            helper = SHARED.browser().new_page()
            picture(page, name, helper)
            helper.close()

    def path(self, name: str) -> str:
        """Return where a screen is on this site."""
        return PATHS[name](self.site)


class DataTests(LookCase):
    """A service in the middle of its work."""

    def shown(self, name: str) -> Page:
        page = self.page(self.path(name))
        self.assertEqual(page.locator("main .failed").count(), 0, page.locator("main").inner_text()[:2000])
        if name not in NOT_LIVE:
            self.live(page)
        if name == "events":
            self.site.order("advance")
            page.wait_for_selector("main .event")
        self.look(page, name, "data")
        page.set_viewport_size({"width": 1280, "height": 900})
        return page

    def test_overview(self) -> None:
        """The overview shows counters that lead to their lists."""
        page = self.shown("overview")
        counts = self.site.api("GET", "/jobs/counts")["jobs"]
        failed = page.locator("a.counter[data-state=failed]")
        self.assertIn(str(counts["failed"]), failed.inner_text())
        failed.click()
        page.wait_for_url("**/jobs?states=failed")
        self.settled(page)

    def test_jobs(self) -> None:
        """The list of jobs shows jobs in every state."""
        self.shown("jobs")

    def test_job(self) -> None:
        """A job at the top of a tree of thousands shows the tree without drawing all of it."""
        page = self.shown("job")
        self.assertLess(page.locator("main *").count(), 4000)

    def test_crawlers(self) -> None:
        """Every crawler is there with its state, version, transport and process."""
        page = self.shown("crawlers")
        text = page.locator("main").inner_text()
        for crawler in self.site.api("GET", "/crawlers")["crawlers"]:
            if crawler["crawler_id"].startswith("crawler-"):
                self.assertIn(crawler["crawler_id"], text)
        for word in ("Connected", "Away", "Paused", "unix"):
            self.assertIn(word, text)

    def test_failures(self) -> None:
        """Failures are grouped whatever numbers are in their messages."""
        page = self.shown("failures")
        self.assertIn("not_found", page.locator("main").inner_text())

    def test_failure(self) -> None:
        """A group of failures says what it means, what to do, and which jobs met it."""
        page = self.shown("failure")
        self.assertGreater(page.locator("main table tbody tr").count(), 0)

    def test_accounts(self) -> None:
        """Accounts show the state of their credentials, queues their pauses, and areas what was seen."""
        page = self.shown("accounts")
        self.visit(page, "/accounts?search=planets&kind=group")
        text = page.locator("main").inner_text()
        for word in ("refused", "crawl_user", "planets/group-1"):
            self.assertIn(word, text)

    def test_events(self) -> None:
        """Events appear as they happen."""
        self.shown("events")

    def test_system(self) -> None:
        """The service says how it is, and each setting where it comes from."""
        page = self.shown("system")
        text = page.locator("main").inner_text()
        for word in ("option --heartbeat-interval", "config_set", "PostgreSQL"):
            self.assertIn(word, text)

    def test_access(self) -> None:
        """Tokens are listed without themselves, and the audit log says who did what."""
        page = self.shown("access")
        self.assertNotIn(self.site.token("admin"), page.content())


class EmptyTests(LookCase):
    """A service that nobody has used yet: each screen says what would change that."""

    site_name = "empty"

    def shown(self, name: str, words: str, expected: tuple[str, ...] = ()) -> None:
        self.expected = expected
        page = self.page(self.path(name))
        self.assertIn(words, page.locator("main").inner_text())
        self.look(page, name, "empty")

    def test_overview(self) -> None:
        """An overview without jobs says how to begin."""
        self.shown("overview", "crawlsock")

    def test_jobs(self) -> None:
        """A list without jobs says how to submit one."""
        self.shown("jobs", "crawlsock submit")

    def test_job(self) -> None:
        """A job that is not there is said to be not there, with the way back."""
        self.shown("job", "there is no job", expected=("404",))

    def test_crawlers(self) -> None:
        """Without a crawler the page says how to start one."""
        self.shown("crawlers", "crawlsock crawl")

    def test_failures(self) -> None:
        """Without failures the page says that nothing has failed."""
        self.shown("failures", "Nothing has failed")

    def test_failure(self) -> None:
        """A group that is not there is said to be not there."""
        self.shown("failure", "Failure", expected=("404",))

    def test_accounts(self) -> None:
        """Without areas the page says what finds them."""
        self.shown("accounts", "discover_namespaces")

    def test_events(self) -> None:
        """Without events the page says what would make some."""
        self.shown("events", "Nothing has happened yet")

    def test_system(self) -> None:
        """A new service knows all about itself."""
        self.shown("system", "Configuration")

    def test_access(self) -> None:
        """A new service has the tokens that it made itself."""
        self.shown("access", "admin of this machine")


def _failing(name: str) -> Any:
    def test(self: LookCase) -> None:
        self.expected = ("503",)
        page = self.page()
        fail_api(page)
        page.goto(self.site.url + self.path(name))
        if name == "events":
            self.live(page, "reconnecting")
        else:
            page.wait_for_selector("main .failed")
            self.assertIn("the database cannot be reached", page.locator("main").inner_text())
        self.look(page, name, "failing")
        page.unroute_all()
        if name != "events":
            page.evaluate("document.querySelectorAll('main .failed button').forEach((button) => button.click())")
            self.wait(page, "!document.querySelector('main .failed')")
        if name not in NOT_LIVE:
            self.live(page)

    test.__doc__ = f"The screen {name} says that it cannot be read and what to do, and comes back when it can."
    return test


def _reconnecting(name: str) -> Any:
    def test(self: LookCase) -> None:
        self.expected = ("net::ERR_FAILED",)
        page = self.page()
        cut_stream(page)
        self.visit(page, self.path(name))
        self.live(page, "reconnecting")
        self.assertIn("Reconnecting", page.locator("#live").inner_text())
        self.assertEqual(page.locator("main .failed").count(), 0)
        self.look(page, name, "reconnecting")
        page.unroute_all()
        self.live(page)

    test.__doc__ = f"The screen {name} keeps its data and says so while the stream is cut, and goes on by itself."
    return test


class FailingTests(LookCase):
    """The server answers that it cannot answer."""


class ReconnectingTests(LookCase):
    """The event stream is cut, and opened again."""


for _name in PATHS:
    setattr(FailingTests, f"test_{_name}", _failing(_name))
    if _name not in NOT_LIVE:
        setattr(ReconnectingTests, f"test_{_name}", _reconnecting(_name))

__all__ = ["DataTests", "EmptyTests", "FailingTests", "ReconnectingTests"]
