"""What the OpenAPI document promises, held against a real server by schemathesis.

It makes requests from the document, right and wrong ones, and judges the answers: no failure of ours, no status or
content type that is not described, every body as its schema says, wrong data refused, nothing without a sign-in.
The seed is fixed and the number of requests bounded, so that a run takes half a minute and says the same again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

from crawlsock.sdk import NewJob
from tests.integration.web_case import WebCase

ROOT = Path(__file__).parent.parent.parent
SEED = 20261126
EXAMPLES = 5
CONFIGURATION = """
[checks]
# A cursor is a string in its schema, and only one that was given out is taken; `progress_get` needs a job for some of
# its scopes. That what is right is taken is held by tests/web/test_examples.py.
positive_data_acceptance.enabled = false
# A list with too many items has more than 64 KiB, and no server is asked to read it.
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 429]
"""
ENDLESS = ("events",)
ENDS_THE_RUN = ("token_revoke", "session_delete", "config_set")
"""These may take away what the run itself needs: its token, or its limits. They have a run of their own."""


class OpenApiTests(WebCase):
    """Every operation, on a server with some data."""

    timeout = 180

    async def _prepare(self) -> dict[str, Any]:
        await self.serve()
        manager = await self.manager("admin")
        await manager.submit([NewJob("crawl_project", name=f"job {n}") for n in range(3)])
        return (await self.http("GET", "/api/v1/openapi.json", token=self.token("admin"))).json()  # type: ignore[no-any-return]

    def _schemathesis(self, token: str, *arguments: str) -> tuple[int, str, dict[str, Any]]:
        (self.directory / "schemathesis.toml").write_text(CONFIGURATION)
        reports = self.directory / "reports"
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
                f"http://127.0.0.1:{self.port}/api/v1/openapi.json",
                *("--header", f"Authorization: Bearer {token}", "--seed", str(SEED), "--max-examples", str(EXAMPLES)),
                *("--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--continue-on-failure"),
                *("--request-timeout", "10", "--no-color", "--warnings", "off"),
                *("--report", "json", "--report-dir", os.fspath(reports)),
                *arguments,
            ],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=150,
        )
        [report] = reports.glob("*.json")
        found = json.loads(report.read_text())
        report.unlink()
        return ended.returncode, ended.stdout + ended.stderr, found

    async def test_the_server_keeps_the_documents_promises(self) -> None:
        """Whatever is sent to any operation, right or wrong, the answer is one that the document describes."""
        document = await self._prepare()
        operations = {each["operationId"] for path in document["paths"].values() for each in path.values()}
        self.assertLessEqual({*ENDLESS, *ENDS_THE_RUN}, operations)
        left_out = [word for name in (*ENDLESS, *ENDS_THE_RUN) for word in ("--exclude-operation-id", name)]
        code, said, _ = await self.in_thread(self._schemathesis, self.token("admin"), *left_out)
        self.assertEqual(code, 0, said)
        # It leaves out the document that it has read.
        tested = len(operations - {*ENDLESS, *ENDS_THE_RUN, "openapi"})
        self.assertIn(f"Tested: {tested}", said, said)
        # The run did not lock itself out half-way, after which every answer is a well-described 401.
        self.assertEqual((await self.http("GET", "/api/v1/jobs", token=self.token("admin"))).status, 200)

    async def test_what_could_end_the_run(self) -> None:
        """The operations that could take away the run's own token or limits keep their promises too."""
        await self._prepare()
        made = await self.http(
            "POST", "/api/v1/tokens", token=self.token("admin"), json={"role": "admin", "name": "schemathesis"}
        )
        chosen = [word for name in ENDS_THE_RUN for word in ("--include-operation-id", name)]
        code, said, _ = await self.in_thread(self._schemathesis, made.json()["token"], *chosen)
        self.assertEqual(code, 0, said)
        self.assertIn(f"Tested: {len(ENDS_THE_RUN)}", said)

    async def test_the_document_is_valid(self) -> None:
        """The document that the server gives, and the one of the command line, are OpenAPI 3.1 and the same."""
        served = await self._prepare()
        validate(served)
        self.assertEqual(served["openapi"], "3.1.0")
        printed = await self.in_thread(
            lambda: (
                subprocess.run(
                    [sys.executable, "-m", "crawlsock.cli", "--json", "schema", "openapi"],
                    capture_output=True,
                    check=True,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                ).stdout
            )
        )
        self.assertEqual(json.loads(printed), served)
