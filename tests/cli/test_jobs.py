"""What is claimed about the commands that submit, show and steer jobs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.world import World

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class JobTests(SynchronousTestCase):
    """Each on a server in memory."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.harness.stop)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_submit_prints_the_id_and_the_job_is_there(self) -> None:
        """A submitted job has the fields that the options gave it, and stdout is its id."""
        job_id = self.world.submit(
            "--path", "group/project", "--priority", "7", "--label", "big", "--payload", '{"depth": 2}'
        )
        job = self.world.invoke("--json", "show", job_id).object
        self.assertEqual(
            (job["state"], job["namespace_path"], job["priority"], job["labels"], job["payload"]),
            ("queued", "group/project", 7, ["big"], {"depth": 2}),
        )

    def test_many_jobs_come_from_json_lines(self) -> None:
        """`--from` submits a job for each line of a file or of stdin, in order."""
        lines = [{"type": "crawl_project", "entity_id": str(number)} for number in range(3)]
        text = "\n\n".join(json.dumps(line) for line in lines)
        file = self.folder / "jobs.jsonl"
        file.write_text(text)
        for source, given in ((str(file), None), ("-", text)):
            ended = self.world.invoke("submit", "--from", source, "--json", input=given)
            self.assertEqual((ended.code, [each["status"] for each in ended.objects]), (0, ["created"] * 3))
        self.assertEqual(len(self.world.invoke("jobs", "--json").objects), 6)

    def test_a_bad_line_is_named_and_nothing_is_submitted(self) -> None:
        """A line that is no job ends with 2 and names file, line and the field that was probably meant."""
        file = self.folder / "jobs.jsonl"
        file.write_text('{"type": "crawl_project"}\n{"type": "crawl_project", "entity": "1"}\n')
        ended = self.world.invoke("submit", "--from", str(file))
        self.assertEqual(ended.code, 2)
        self.assertIn(f"{file}:2: a job has no field 'entity'; did you mean entity_id?", ended.err)
        self.assertEqual(self.world.invoke("jobs", "--json").objects, [])

    def test_the_payload_comes_from_a_file(self) -> None:
        """`--payload @file` reads the object from the file; what is no object is refused."""
        file = self.folder / "payload.json"
        file.write_text('{"since": "2026-01-01"}')
        job = self.world.invoke("show", self.world.submit("--payload", f"@{file}"), "--json").object
        self.assertEqual(job["payload"], {"since": "2026-01-01"})
        for bad in ("[1]", "{", f"@{self.folder}/none"):
            self.assertEqual(self.world.invoke("submit", "crawl_project", "--payload", bad).code, 2)

    def test_a_duplicate_ends_with_conflict_and_the_first_id(self) -> None:
        """A second live job with the same key is not made: exit code 4, and the id of the first."""
        first = self.world.submit("--job-key", "nightly")
        ended = self.world.invoke("submit", "crawl_project", "--job-key", "nightly")
        self.assertEqual((ended.code, ended.out.split()), (4, [first, "duplicate"]))

    def test_submitting_the_same_id_again_is_no_conflict(self) -> None:
        """With an id chosen by the caller a repeated submit is answered as the first one was."""
        for _ in range(2):
            self.assertEqual(self.world.submit("--job-id", UNKNOWN), UNKNOWN)
        self.assertEqual(len(self.world.invoke("jobs", "--json").objects), 1)

    def test_an_invalid_job_ends_with_usage_and_the_field(self) -> None:
        """What the server does not take is told with the place of the fault, and exit code 2."""
        ended = self.world.invoke("submit", "Not A Type")
        self.assertEqual((ended.code, ended.out), (2, ""))
        self.assertIn("/type", ended.err)

    def test_jobs_are_listed_newest_first_and_filtered(self) -> None:
        """Filters narrow the list, the limit cuts it and says so, and a table has a line a job."""
        ids = [self.world.submit("--path", f"group/{number}") for number in range(3)]
        self.world.invoke("account", "put", "other", "--host", "gitlab.example.com", input="glpat-of-a-test")
        self.world.submit("--account", "other", type="crawl_group")
        self.assertEqual(len(self.world.invoke("jobs", "--account", "default", "--json").objects), 3)
        self.assertEqual(len(self.world.invoke("jobs", "--type", "crawl_group", "--json").objects), 1)
        self.assertEqual(self.world.invoke("jobs", "--state", "failed").out, "")
        self.assertEqual(self.world.invoke("jobs", "--search", "group/1", "--json").object["job_id"], ids[1])
        cut = self.world.invoke("jobs", "--limit", "2")
        self.assertEqual(len(cut.out.splitlines()), 3)
        self.assertIn("there are more than these 2", cut.err)

    def test_show_tells_attempts_errors_and_children(self) -> None:
        """The job's page has its failed attempt with the crawler's words, and control characters are marked."""
        job_id = self.world.submit("--path", "group/project")
        peer, (job,) = self.world.crawler(crawler_id="c-1")
        self.world.say(peer, "job_started", job)
        counts = {"issues": {"discovered": 9, "processed": 4}}
        self.world.say(peer, "job_progress", job, seq=1, stage="fetching", entities=counts)
        self.world.say(peer, "job_failed", job, error_type="gitlab_error", message="no \x1b[31mluck", recoverable=False)
        shown = self.world.invoke("show", job_id)
        self.assertEqual(shown.code, 0)
        for word in ("failed", "group/project", "c-1", "gitlab_error", "no \ufffd[31mluck", "issues"):
            self.assertIn(word, shown.out)
        self.assertNotIn("\x1b", shown.out)

    def test_cancel_pause_resume_and_retry_act(self) -> None:
        """Each verb changes the job's state and says how many jobs it touched; again it has nothing to do."""
        job_id = self.world.submit()
        for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued")):
            ended = self.world.invoke(verb, job_id, "--reason", "a test")
            self.assertEqual((ended.code, ended.out.split()[-2:]), (0, ["1", "job"]), ended)
            self.assertEqual(self.world.invoke("show", job_id, "--json").object["state"], state)
        self.assertEqual(self.world.invoke("pause", job_id, "--tree", "--json").object["affected"], 1)

    def test_an_unknown_job_ends_with_usage_and_a_remedy(self) -> None:
        """A job that is not there is told in one line with what to do next, and exit code 2."""
        for command in ("show", "cancel", "watch"):
            ended = self.world.invoke(command, UNKNOWN)
            self.assertEqual((ended.code, ended.out, ended.err.count("\n")), (2, "", 1), ended)
            self.assertIn("check the job id", ended.err)
