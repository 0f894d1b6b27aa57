"""Count what the crawlers wrote, from the files on disk and nothing else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import frozen

from crawlsock.gitlab.names import encode
from crawlsock.gitlab.plan import AREAS

_SUFFIX: Final = ".jsonl"
_IDENTITIES: Final[Mapping[str, str]] = {
    each.name: each.identity for plan in AREAS.values() for each in plan.collections
}
_KINDS: Final = frozenset(plan.kind for plan in AREAS.values())


@frozen
class Harvest:
    """What is there: distinct items, how many are there once too often, and the items by file name."""

    items: int
    duplicates: int
    by_kind: Mapping[str, int]


def count(output: Path, account: str, host: str) -> Harvest:
    """Count the items of one account at one host below the output root.

    An item is known by its file and its identity there; a group, project or user by its id, wherever its folder is.
    Raises `ValueError` for a line that is no JSON object.
    """
    by_kind: Counter[str] = Counter()
    areas: set[tuple[str, Any]] = set()
    duplicates = 0
    for path in _files(output.joinpath(*encode(account), *encode(host))):
        kind = path.name.removesuffix(_SUFFIX)
        identity = _IDENTITIES.get(kind, "id")
        here: set[Any] = set()
        for line in path.read_bytes().splitlines():
            item = orjson.loads(line)
            if kind in _KINDS:
                duplicates += (kind, item["id"]) in areas
                areas.add((kind, item["id"]))
            duplicates += item[identity] in here
            here.add(item[identity])
        by_kind[kind] += len(here)
    return Harvest(sum(by_kind.values()), duplicates, dict(by_kind))


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        # Hidden folders hold what is not finished.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(_SUFFIX):
                yield Path(base, name)
