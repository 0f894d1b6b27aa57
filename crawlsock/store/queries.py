"""Read the named queries of ``crawlsock/sql/queries.sql``.

The law of this module: SQL that reads stands in that file, each query under a name; nothing is composed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load_queries(text: str | None = None) -> Mapping[str, str]:
    """Return every query by its name, comments and final semicolon removed.

    :raise ValueError: two queries have one name.
    """
    if text is None:
        text = (resources.files("crawlsock") / "sql" / "queries.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    found: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise ValueError(f"two queries are named {name}")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        found[name] = "\n".join(lines).strip().rstrip(";")
    return found
