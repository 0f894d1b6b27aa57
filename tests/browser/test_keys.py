"""The keyboard: everything can be reached, and there is a map."""

from __future__ import annotations

from tests.browser.case import BrowserCase


class KeyTests(BrowserCase):
    """A reader without a mouse."""

    def test_the_map(self) -> None:
        """The question mark opens the map, Escape closes it, and the focus is where it was."""
        page = self.page("/jobs")
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard map")
        dialog.wait_for()
        self.assert_accessible(page, "keyboard map")
        for word in ("Search", "Hold the page", "Next theme", "Go to"):
            self.assertIn(word, dialog.inner_text())
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")

    def test_going_to_screens(self) -> None:
        """Two letters lead to a screen, its heading has the focus, and the window's title names it."""
        page = self.page("/")
        for keys, path, title in (
            ("gj", "/jobs", "Jobs"),
            ("gc", "/crawlers", "Crawlers"),
            ("gs", "/system", "System"),
        ):
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_url(f"**{path}")
            self.settled(page)
            self.wait(page, f"document.title.startsWith('{title}')")
            self.wait(page, "document.activeElement?.tagName === 'H1'")
        page.go_back()
        page.wait_for_url("**/crawlers")

    def test_letters_in_a_field_are_letters(self) -> None:
        """The slash goes to the search, and what is typed there does nothing else and ends in the address."""
        page = self.page("/crawlers")
        page.keyboard.press("/")
        page.keyboard.type("gj?p crawler-beta")
        self.assertIn("/crawlers", page.url)
        page.get_by_label("Search").fill("crawler-beta")
        page.wait_for_url("**/crawlers?search=crawler-beta")
        self.wait(page, "document.querySelectorAll('main tbody tr').length === 1")
        page.reload()
        self.settled(page)
        self.assertEqual(page.get_by_label("Search").input_value(), "crawler-beta")

    def test_everything_is_reached_with_the_tabulator(self) -> None:
        """The first stop skips to the content; every button and link is a stop, and shows that it has the focus."""
        page = self.page("/crawlers")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.textContent"), "Skip to content")
        page.keyboard.press("Enter")
        seen = set()
        for _ in range(80):
            page.keyboard.press("Tab")
            name, shown = page.evaluate("""() => {
                const element = document.activeElement;
                if (element === document.body) return ["", true];
                const style = getComputedStyle(element);
                return [element.getAttribute("aria-label") || element.textContent, style.outlineStyle !== "none"];
            }""")
            self.assertTrue(shown, f"the focus cannot be seen on {name!r}")
            seen.add(name)
        self.assertIn("Pause crawler-alpha", seen)
        self.assertIn("Disconnect crawler-beta", seen)

    def test_holding_the_page(self) -> None:
        """The key p holds the page; what happens meanwhile is there once it goes on."""
        page = self.page("/events")
        self.live(page)
        page.keyboard.press("p")
        self.live(page, "paused")
        self.site.order("advance")
        self.assertEqual(page.locator("main .event").count(), 0)
        page.keyboard.press("p")
        page.wait_for_selector("main .event")

    def test_the_theme(self) -> None:
        """The theme is chosen with a key or the list, and is still there after loading the page again."""
        page = self.page("/crawlers")
        page.keyboard.press("t")
        page.keyboard.press("t")
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark")
        page.reload()
        self.settled(page)
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark")
        self.assertEqual(page.get_by_label("Theme").input_value(), "dark")
