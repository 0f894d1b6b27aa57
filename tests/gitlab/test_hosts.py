"""Which hosts may be crawled, and what counts as the same origin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.gitlab.hosts import AllowedHosts, HostRefused, Origin, parse_origin


class OriginTests(TestCase):
    """What leaves an origin, and what does not."""

    origin = Origin("https", "gitlab.example.com", 443, "/code")

    def test_own(self) -> None:
        """A relative reference, and an absolute one to the same scheme, host and port, stay."""
        self.assertEqual(
            self.origin.own("/code/api/v4/projects?page=2"),
            "https://gitlab.example.com/code/api/v4/projects?page=2",
        )
        self.assertEqual(self.origin.own("https://GitLab.example.com:443/x#part"), "https://GitLab.example.com:443/x")

    def test_foreign(self) -> None:
        """Another scheme, host, port, user information or characters no URL has lead away."""
        for url in (
            "http://gitlab.example.com/x",
            "https://gitlab.example.com:444/x",
            "https://gitlab.example.com.evil.test/x",
            "https://evil.test/https://gitlab.example.com/",
            "//evil.test/x",
            "https://user:secret@gitlab.example.com/x",
            "https://gitlab.example.com@evil.test/x",
            "https://gitlab.example.com/\r\nHost: evil.test",
            "https://gitlab.example.com/ x",
            "javascript:alert(1)",
            "https://[::1/x",
            "https://gitlab.example.com:x/",
        ):
            self.assertIsNone(self.origin.own(url), url)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Whatever an answer says, the result begins with the origin or is refused."""
        found = self.origin.own(text)
        self.assertTrue(found is None or found.lower().startswith("https://gitlab.example.com"))


class AllowedHostsTests(TestCase):
    """The allow list."""

    def test_listed(self) -> None:
        """A listed host is found by name or URL, and keeps the list's scheme and prefix."""
        allowed = AllowedHosts.of(["http://127.0.0.1:8080", "https://git.example.org/gitlab"])
        self.assertEqual(str(allowed.origin("127.0.0.1:8080")), "http://127.0.0.1:8080")
        self.assertEqual(str(allowed.origin("http://127.0.0.1:8080")), "http://127.0.0.1:8080")
        self.assertEqual(allowed.origin("git.example.org").api, "https://git.example.org/gitlab/api/v4")

    def test_not_listed(self) -> None:
        """Any other host, scheme or port is refused as soon as there is a list."""
        allowed = AllowedHosts.of(["git.example.org", "http://localhost:1"])
        for host in (
            "gitlab.com",
            "git.example.org:8443",
            "http://localhost:2",
            "https://localhost:1",
            "http://git.example.org",
        ):
            self.assertRaises(HostRefused, allowed.origin, host)

    def test_no_list(self) -> None:
        """Without a list any host may be crawled over https, none over plain http, loopback included."""
        allowed = AllowedHosts.of([])
        self.assertEqual(str(allowed.origin("gitlab.com")), "https://gitlab.com")
        self.assertRaises(HostRefused, allowed.origin, "http://127.0.0.1:80")

    def test_default(self) -> None:
        """A job without a host gets the only host there is."""
        self.assertEqual(str(AllowedHosts.of(["git.example.org"]).origin(None)), "https://git.example.org")
        self.assertRaises(HostRefused, AllowedHosts.of([]).origin, None)
        self.assertRaises(HostRefused, AllowedHosts.of(["a.test", "b.test"]).origin, None)

    def test_malformed(self) -> None:
        """What is no host is refused with the remedy, plain http beyond loopback with another."""
        for text in (
            "",
            "https://",
            "ftp://x.test",
            "x.test/../y",
            "https://u@x.test",
            "x.test?y",
            "x .test",
            "x.test:99999",
            "x\0.test",
        ):
            self.assertRaises(HostRefused, parse_origin, text)
        error = self.assertRaises(HostRefused, parse_origin, "http://x.test")
        self.assertIn("https", str(error))
        self.assertEqual(str(parse_origin("http://[::1]:81")), "http://[::1]:81")
