"""Write down what some viewers were shown, and what they knew then: for readers of the feed in other languages.

``python -m tests.feed.vectors`` writes ``tests/feed/data/viewers.json``: a list of objects with

- ``begin``: views of jobs that the viewer read, by job id (as ``job_list`` answers);
- ``deliveries``: what it was shown since it asked for them, each ``{"events", "gap"?, "snapshot"?}``;
- ``end``: what it is to show then of each job: ``type account root_id state attempt progress``, and of progress ``seq
  stage entities percent rate time_left message`` where they are known; counts that are not there are 0.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crawlsock.feed.filter import Filter
from tests.feed import reducer
from tests.feed.test_same_state import Play
from tests.feed.viewers import Browser

PATH: Final = Path(__file__).parent / "data" / "viewers.json"
_WANTED: Final = 8
_LARGEST: Final = 20


def load() -> list[dict[str, Any]]:
    """Return the vectors that were written down."""
    found: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def end_of(vector: Mapping[str, Any]) -> reducer.Jobs:
    """Return what a viewer that keeps to the rules shows in the end."""
    jobs = {job_id: reducer.view(view) for job_id, view in vector["begin"].items()}
    for delivery in vector["deliveries"]:
        reducer.deliver(jobs, delivery)
    return reducer.shown(jobs, jobs)


def vector_of(viewer: Browser, seed: int) -> dict[str, Any]:
    """Return what one viewer was shown."""
    assert viewer.first_read is not None
    views, asked_at = viewer.first_read
    heard = [delivery for _, _, delivery in viewer.heard[asked_at:] if delivery is not None]
    vector: dict[str, Any] = {
        "name": f"seed {seed}",
        "begin": {view["job_id"]: view for view in views},
        "deliveries": heard,
    }
    vector["end"] = end_of(vector)
    return vector


def interesting(viewer: Browser) -> bool:
    """Tell whether a viewer saw enough to be worth a page, and no more than that."""
    if viewer.first_read is None or viewer.filter != Filter():
        return False
    heard = [delivery for _, _, delivery in viewer.heard[viewer.first_read[1] :] if delivery is not None]
    kinds = {event["kind"] for delivery in heard for event in delivery["events"]}
    return len(viewer.first_read[0]) >= 3 and 6 <= len(heard) <= _LARGEST and len(kinds) >= 8


def write() -> None:
    """Play until there are enough, and write them down."""
    vectors: list[dict[str, Any]] = []
    seed = 100_000
    while len(vectors) < _WANTED:
        play = Play(random.Random(seed))
        play.run()
        play.end()
        vectors += [vector_of(viewer, seed) for viewer in play.viewers if interesting(viewer)][:1]
        seed += 1
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in vectors)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write()
