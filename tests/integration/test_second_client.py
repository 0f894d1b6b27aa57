"""A second client, written from the protocol document alone, does a whole job over the socket."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from tests.integration import second_client
from tests.integration.fault_case import FaultCase


class SecondClientTests(FaultCase):
    """The client is a process of its own that has only the standard library."""

    async def test_a_whole_job(self) -> None:
        """It submits a job, takes it, reports, loses its link, comes back and completes it, all of it acknowledged."""
        self.use_shared_database()
        await self.server()
        client = self.children.begin(
            "client",
            [sys.executable, "-I", second_client.__file__, "whole", self.socket, self.data / "tokens"],
        )
        self.assertEqual(await client.ended(), 0)
        seen = json.loads(client.text())
        self.assertEqual(seen["imported"], [])
        self.assertEqual(seen["subscribed"], "subscribe_response")
        self.assertFalse(seen["welcome"]["resumed"])
        self.assertEqual(seen["submitted"][0]["status"], "created")
        job_id = seen["submitted"][0]["job_id"]
        job = seen["assigned"]
        self.assertEqual(
            (job["job_id"], job["type"], job["attempt"], job["host"], job["entity_id"], job["root_id"]),
            (job_id, "crawl_project", 1, "example.com", "7", job_id),
        )
        self.assertEqual(seen["pipelined"], ["ack", "ack", "jobs_discovered_response", "ack", "ack"])
        self.assertEqual((seen["running"]["state"], seen["running"]["crawler_id"]), ("running", "second"))
        self.assertEqual(seen["running"]["progress"]["entities"]["issues"]["processed"], 1)
        self.assertTrue(seen["resumed"]["resumed"])
        self.assertEqual(seen["resumed"]["leases_kept"], [job["lease"]])
        self.assertEqual((seen["sent_again"], seen["completed"], seen["too_late"]), ("ack", "ack", "lease_lost"))
        self.assertEqual((seen["child"]["parent_id"], seen["child_released"]), (job_id, "ack"))
        finished = seen["finished"]
        self.assertEqual((finished["state"], finished["attempt"], finished["losses"]), ("completed", 1, 0))
        self.assertEqual(finished["files"], [{"path": "issues.jsonl", "items": 4, "bytes": 99}])
        self.assertEqual(len(finished["assignments"]), 1)
        self.assertEqual((seen["progress"]["processed"], seen["progress"]["percent"]), (4, 100))
        kinds = [kind for kind in seen["events"] if kind != "milestone"]
        self.assertEqual(kinds[:3], ["job_created", "job_assigned", "job_started"])
        self.assertIn("job_completed", kinds)

    def test_it_imports_nothing_of_ours(self) -> None:
        """The client imports the standard library and nothing else."""
        tree = ast.parse(Path(second_client.__file__).read_text())
        imported = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            for alias in (node.names if isinstance(node, ast.Import) else [])
        } | {
            node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
        }
        self.assertLessEqual(imported, sys.stdlib_module_names)
