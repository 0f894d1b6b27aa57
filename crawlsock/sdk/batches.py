"""Cut long lists into messages that a server takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

MOST_ITEMS = 1000
MOST_BYTES = 768 * 1024
"""Well below the frame limit of 1 MiB, with room for the envelope."""


def batches(items: Iterable[dict[str, Any]], limit: int = MOST_BYTES) -> Iterator[list[dict[str, Any]]]:
    """Yield the items in lists of at most 1000 that encode to at most `limit` bytes; a larger item goes alone."""
    batch: list[dict[str, Any]] = []
    size = 0
    for item in items:
        weight = len(orjson.dumps(item)) + 1
        if batch and (len(batch) >= MOST_ITEMS or size + weight > limit):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch
