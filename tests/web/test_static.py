"""The files of the dashboard, as they are served."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.testing.harness import WireHarness
from crawlsock.web.static import own, without_comments

MOST_BYTES = 120_000
"""What the whole dashboard may weigh on the wire."""


_MARKUP = re.compile(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")


class FilesTests(SynchronousTestCase):
    """What there is."""

    def test_weight(self) -> None:
        """All scripts, styles and libraries together weigh at most 120 kB, compressed."""
        weight = sum(file.weight for path, file in own().files.items() if path.endswith((".js", ".css", ".svg")))
        self.assertLessEqual(weight, MOST_BYTES)

    def test_vendor(self) -> None:
        """What is of others is served byte for byte as its README says, and its licences are there."""
        files = own().files
        readme = files["vendor/README.txt"].body.decode()
        for path, file in files.items():
            if path.startswith("vendor/") and path.endswith((".js", ".css")):
                self.assertIn(sha256(file.body).hexdigest(), readme, path)
        for name in ("htm", "preact", "uplot"):
            self.assertIn(f"vendor/LICENSE.{name}", files)

    def test_nothing_from_elsewhere(self) -> None:
        """No file of ours names an address outside."""
        for path, file in own().files.items():
            if not path.startswith("vendor/") and path != "icon.svg":
                self.assertIsNone(re.search(rb"""["'(]https?://(?!SERVER)""", file.body), path)

    def test_no_markup_from_strings(self) -> None:
        """No script of ours turns a text into markup or code."""
        for path, file in own().files.items():
            if path.startswith("js/"):
                found = re.search(
                    rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", file.body
                )
                self.assertIsNone(found, path)

    def test_modules(self) -> None:
        """A page names the scripts that every screen needs, and none that comes with one."""
        modules = own().modules
        self.assertIn("js/app.js", modules)
        self.assertIn("vendor/standalone.module.js", modules)
        self.assertFalse([path for path in modules if path.startswith("js/screens/")])
        self.assertLessEqual(set(modules), set(own().files))

    def test_comments(self) -> None:
        """Comments are not sent, and lines keep their numbers."""
        source = b"// law\nconst a = 1; // stays\n/**\n * doc\n */\nconst b = 2;\n"
        self.assertEqual(without_comments(source), b"\nconst a = 1; // stays\n\n\n\nconst b = 2;\n")


class ServeTests(SynchronousTestCase):
    """How they leave."""

    def setUp(self) -> None:
        """Start a server in memory."""
        self.harness = WireHarness()
        self.addCleanup(self.harness.stop)
        self.address = f"{own().base}/js/app.js"

    def ask(self, address: str, method: str = "GET", **headers: str):  # type: ignore[no-untyped-def]
        """Ask, and return the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.successResultOf(self.harness.http(method, address, headers=named))

    def test_compressed(self) -> None:
        """A browser that takes gzip gets it, with a type, a strong tag, and leave to keep it for ever."""
        answer = self.ask(self.address, Accept_Encoding="br, gzip")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        self.assertEqual(answer.headers["content-type"], "text/javascript; charset=utf-8")
        self.assertEqual(answer.headers["vary"], "Accept-Encoding")
        self.assertIn("immutable", answer.headers["cache-control"])
        self.assertRegex(answer.headers["etag"], r'^"[0-9a-f]{32}-gz"$')
        self.assertEqual(gzip.decompress(answer.body), own().files["js/app.js"].body)

    def test_plain(self) -> None:
        """Who does not take gzip gets the file itself, under another tag."""
        for header in ("", "identity", "gzip;q=0, identity"):
            answer = self.ask(self.address, Accept_Encoding=header)
            self.assertNotIn("content-encoding", answer.headers)
            self.assertEqual(answer.body, own().files["js/app.js"].body)
            self.assertNotIn("-gz", answer.headers["etag"])

    def test_unchanged(self) -> None:
        """Who has it already is told so."""
        tag = self.ask(self.address, Accept_Encoding="gzip").headers["etag"]
        answer = self.ask(self.address, Accept_Encoding="gzip", If_None_Match=f'"other", W/{tag}')
        self.assertEqual((answer.status, answer.body), (304, b""))
        self.assertEqual(self.ask(self.address, Accept_Encoding="gzip", If_None_Match='"other"').status, 200)

    def test_head(self) -> None:
        """HEAD has the headers and no body."""
        answer = self.ask(self.address, "HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_another_version(self) -> None:
        """A file of another version, one that is none, and ways out of the folder are not found."""
        base = own().base
        for address in (
            "/static/0000000000000000/js/app.js",
            f"{base}/js/nothing.js",
            f"{base}/",
            "/static/",
            "/static",
            f"{base}/../pages.py",
            f"{base}/%2e%2e/pages.py",
            f"{base}/js//app.js",
        ):
            self.assertEqual(self.ask(address).status, 404, address)
