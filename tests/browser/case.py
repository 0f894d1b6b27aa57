"""A test that looks at the page: a context of its own in the shared Chromium, and what must never happen in it.

The law: every test ends by asking what went wrong unseen: a report of the content security policy, an error on the
console, a script that a name smuggled in, a request to somebody else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.browser.rig import SHARED, Site, missing, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request

WATCH: Final = """
    window.hurts = [];
    window.hurt = (how) => { window.hurts.push(String(how)); };
    window.alert = window.hurt;
    document.addEventListener("securitypolicyviolation", (e) =>
        window.hurts.push(`policy: ${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""
"""Runs before anything of the page, in every document."""
WIDTHS: Final = {"wide": (1280, 900), "narrow": (360, 740)}
_PATIENCE: Final = 15_000


class BrowserCase(SynchronousTestCase):
    """Tests in a browser on the server that `site_name` names."""

    site_name = "furnished"
    site: Site
    state: Any = None
    """What a signed-in browser keeps, one for each site and role; see `signed_in`."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        reason = missing()
        if reason is not None:
            raise SkipTest(reason)
        if cls.site_name:
            cls.site = SHARED.site(cls.site_name)

    def setUp(self) -> None:
        self._contexts: list[BrowserContext] = []
        self._kept: list[tuple[tuple[str, str], Page, dict[str, Callable[..., None]]]] = []
        self.wrong: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Parts of console messages and addresses that a test provokes."""
        method = getattr(self, self._testMethodName)
        setattr(self, self._testMethodName, self._telling(method))

    def _telling(self, method: Callable[[], Any]) -> Callable[[], Any]:
        """Show what the processes said when the test fails, and what went wrong unseen."""

        @functools.wraps(method)
        def run() -> None:
            try:
                method()
                for page in self.pages():
                    self.assert_unhurt(page)
                self.assertEqual(self.wrong, [])
                self._give_back()
            except BaseException:
                if getattr(self, "site", None) is not None:
                    print(self.site.tails())  # noqa: T201
                for number, page in enumerate(self.pages()):
                    path = Path(self.mktemp()).with_suffix(f".{number}.png")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=path)
                    print(f"{page.url} is shown in {path.absolute()}")  # noqa: T201
                for _, page, _ in self._kept:
                    page.context.close()
                raise

        return run

    # -- pages

    def kept(self, role: str, width: str) -> Page:
        """Return the page that tests of this site and role share; a test that fails leaves the next one a new page."""
        key = (self.site.name, role)
        page = SHARED.kept.pop(key, None) or self.context(role=role, lasts=True).new_page()
        handlers: dict[str, Callable[..., None]] = self._handlers()
        events: Any = page
        for event, handler in handlers.items():
            events.on(event, handler)
        page.set_viewport_size({"width": WIDTHS[width][0], "height": WIDTHS[width][1]})
        self._kept.append((key, page, handlers))
        return page

    def _give_back(self) -> None:
        for key, page, handlers in self._kept:
            for event, handler in handlers.items():
                page.remove_listener(event, handler)
            page.unroute_all()
            for other in page.context.pages:
                if other is not page:
                    other.close()
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            page.evaluate("localStorage.clear()")
            # Of the same origin, so that the process stays; and quiet.
            page.goto(f"{self.site.url}/livez")
            SHARED.kept[key] = page
        self._kept.clear()

    def context(
        self, *, lasts: bool = False, role: str | None = "admin", width: str = "wide", **options: Any
    ) -> BrowserContext:
        """Open a context, signed in with a role, or not at all."""
        size = WIDTHS[width]
        state = None if role is None else self.signed_in(role)
        context: BrowserContext = SHARED.browser().new_context(
            viewport={"width": size[0], "height": size[1]},
            storage_state=state,
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(_PATIENCE)
        context.add_init_script(WATCH)
        if not lasts:
            context.on("page", self._watch)
            self.addCleanup(context.close)
        self._contexts.append(context)
        return context

    def pages(self) -> list[Page]:
        """Return the pages that are open."""
        contexts = {page.context for _, page, _ in self._kept} | set(self._contexts)
        return [page for context in contexts for page in context.pages]

    def page(self, path: str = "", *, role: str | None = "admin", width: str = "wide", **options: Any) -> Page:
        """Open a page, signed in with a role, or not at all; with a `path`, go there and wait until it shows something.

        Without `options` it is one that other tests had before.
        """
        if role is None or options or any(key == (self.site.name, role) for key, _, _ in self._kept):
            page = self.context(role=role, width=width, **options).new_page()
        else:
            page = self.kept(role, width)
        if path:
            self.visit(page, path)
        return page

    def visit(self, page: Page, path: str) -> None:
        """Go to a path, and wait until the screen shows data, emptiness or a failure."""
        page.goto(self.site.url + path)
        self.settled(page)

    def settled(self, page: Page) -> None:
        """Wait until nothing on the screen is being loaded."""
        page.wait_for_selector("main h1, main .failed")
        self.wait(page, "!document.querySelector('main .loading')")

    def wait(self, page: Page, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true on the page.

        Playwright's own way evaluates it inside the page, which the content security policy does not let it do.
        """
        until(f"{expression} on {page.url}", lambda: page.evaluate(expression), seconds)

    def live(self, page: Page, state: str = "live", seconds: float = 15.0) -> None:
        """Wait until the indicator of the event stream shows a state."""
        self.wait(page, f"document.documentElement.dataset.live === '{state}'", seconds)

    def signed_in(self, role: str) -> Any:
        """Return what a browser keeps that has signed in with a role, by a one-time link."""
        kept = self.site.made.setdefault("signed in", {})
        if role not in kept:
            context = SHARED.browser().new_context()
            page = context.new_page()
            page.goto(self.site.login(role))
            page.get_by_role("button").click()
            page.wait_for_url(lambda url: "/login" not in url)
            kept[role] = context.storage_state()
            context.close()
        return kept[role]

    # -- what must not happen

    def _handlers(self) -> dict[str, Callable[..., None]]:
        return {
            "console": self._said,
            "pageerror": lambda error: self._went_wrong(f"error on the page: {error}"),
            "request": self._asked,
            "dialog": self._opened,
        }

    def _watch(self, page: Page) -> None:
        events: Any = page
        for event, handler in self._handlers().items():
            events.on(event, handler)

    def _said(self, message: ConsoleMessage) -> None:
        # Asked for by /livez, where a page rests between two tests, and by no page of ours.
        if message.location.get("url", "").endswith("/favicon.ico"):
            return
        if message.type in {"error", "warning"}:
            self._went_wrong(f"{message.type} on the console: {message.text} {message.location.get('url', '')}")

    def _opened(self, dialog: Dialog) -> None:
        self._went_wrong(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        here = "http://units.test" if getattr(self, "site", None) is None else self.site.url
        if not request.url.startswith((here + "/", "data:", "blob:")):
            self._went_wrong(f"a request to {request.url}")

    def _went_wrong(self, what: str) -> None:
        if not any(part in what for part in self.expected):
            self.wrong.append(what)

    def assert_unhurt(self, page: Page) -> None:
        """Check that nothing ran that should not have, and that the policy had nothing to report."""
        hurts = page.evaluate("window.hurts ?? []")
        self.assertEqual([each for each in hurts if not any(part in each for part in self.expected)], [], page.url)

    def assert_fits(self, page: Page, about: str = "") -> None:
        """Check that the page itself does not scroll sideways."""
        found = page.evaluate(_TOO_WIDE)
        self.assertEqual(found["scroll"], found["client"], f"{about} {page.url} is too wide: {found['wide']}")

    def assert_accessible(self, page: Page, about: str = "", part: str | None = None) -> None:
        """Check that axe finds nothing serious or critical, on the page or in a part of it."""
        found = serious(page, part)
        self.assertEqual(found, [], f"{about} {page.url}")


_TOO_WIDE: Final = """() => {
    const root = document.scrollingElement;
    const inside = (element) => {
        for (let e = element.parentElement; e; e = e.parentElement) {
            const style = getComputedStyle(e);
            if (style.overflowX !== "visible") return true;
        }
        return false;
    };
    const wide = root.scrollWidth <= root.clientWidth ? [] : [...document.querySelectorAll("body *")]
        .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !inside(e))
        .slice(0, 5)
        .map((e) => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`);
    return {scroll: root.scrollWidth, client: root.clientWidth, wide};
}"""


_AUDIT: Final = {
    "exclude": [["tbody tr:nth-of-type(n+7)"], ["main li:nth-of-type(n+21)"]],
}
"""Rows of a list are alike, and axe takes its time for each: the first ones stand for all."""


def serious(page: Page, part: str | None = None) -> list[str]:
    """Return what axe finds serious or critical, one line for each place."""
    from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]

    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    violations: Sequence[dict[str, Any]] = page.evaluate(
        "(context) => axe.run(context, {resultTypes: ['violations']}).then((r) => r.violations)",
        _AUDIT if part is None else {"include": [[part]]},
    )
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in violations
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
