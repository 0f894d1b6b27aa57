"""One sample GitLab for all tests of a session, in a process of its own, and the count of what a crawl wrote.

The sample keeps nothing of those who read it, so tests share it; it ends when its standard input does, which is when
the tests' process ends, however that comes about.
"""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from attrs import frozen

from tests.integration.postgres import public_temporary_directory
from tests.integration.processes import Children, python, until


@frozen
class Sample:
    """A running sample GitLab: where it is, a token for it, and what there is to find."""

    url: str
    token: str
    counts: dict[str, int]
    items: int


@frozen
class Written:
    """What stands in the files of a crawl: lines in all, and how many of them stand there more than once."""

    lines: int
    repeated: int


_samples: dict[tuple[str, ...], Sample] = {}


async def shared_sample(
    *, projects: int = 12, items: int = 1500, latency: float = 100.0, extra: tuple[str, ...] = ()
) -> Sample:
    """Return a sample of this size, begun if it does not run yet. `latency`: milliseconds an answer takes."""
    options = ("--projects", str(projects), "--items", str(items), "--latency", str(latency), *extra)
    if options not in _samples:
        directory = public_temporary_directory()
        children = Children(directory)
        atexit.register(shutil.rmtree, directory, True)
        atexit.register(children.end_all)
        child = children.begin(
            "gitlab", python("crawlsock.demo.gitlab", "--watch-stdin", *options), stdin=subprocess.PIPE
        )
        await until("the sample GitLab is ready", lambda: child.text().endswith("\n") or not child.alive)
        try:
            said = json.loads(child.text())
        except ValueError:
            raise AssertionError(f"the sample GitLab does not start:\n{child.text()}") from None
        _samples[options] = Sample(said["url"], said["personal_tokens"][0], said["counts"], said["items_expected"])
    return _samples[options]


def written(output: Path) -> Written:
    """Count the lines of all files of a crawl; every item is one line, and is found again by its file and text."""
    lines: Counter[tuple[Path, bytes]] = Counter()
    for path in output.rglob("*.jsonl"):
        if path.is_file() and ".parts" not in path.parts:
            with path.open("rb") as stream:
                lines.update((path, line) for line in stream)
    return Written(sum(lines.values()), sum(lines.values()) - len(lines))
