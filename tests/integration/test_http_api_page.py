"""The examples of ``docs/http-api.md`` are run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from crawlsock.web.problems import STATUS, WEB_CODES
from crawlsock.web.reference import WEB_MEANINGS
from tests.integration.web_case import WebCase

PAGE = Path(__file__).parent.parent.parent / "docs" / "http-api.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


class PageTests(WebCase):
    """A reader who copies an example gets what the page says."""

    async def test_the_examples_work(self) -> None:
        """Every example ends well, in the order of the page, on a new server."""
        if shutil.which("curl") is None:
            raise SkipTest("curl is not installed")
        await self.serve()
        blocks = _BLOCK.findall(PAGE.read_text("utf-8"))
        self.assertGreaterEqual(len(blocks), 5)
        said = ""
        for block in blocks:
            ended = await self.in_thread(
                lambda script: subprocess.run(
                    ["sh", "-e", "-c", script],
                    env={**os.environ, "CRAWLSOCK": f"http://127.0.0.1:{self.port}", "TOKEN": self.token("admin")},
                    capture_output=True,
                    text=True,
                    timeout=30,
                ),
                block,
            )
            self.assertEqual(ended.returncode, 0, block + ended.stdout + ended.stderr)
            said += ended.stdout
        self.assertIn('"status":"created"', said)
        self.assertIn('{"affected":1}', said)

    def test_every_code_has_words(self) -> None:
        """The page explains every code that HTTP adds."""
        self.assertEqual(set(WEB_MEANINGS), set(WEB_CODES))
        text = PAGE.read_text("utf-8")
        for code in (*(each.value for each in STATUS), *WEB_CODES):
            self.assertIn(f"`{code}`", text)
