"""Read the named queries of ``crawlsock/sql``.

The law of this module: SQL that reads stands in the files there, each query under a name; nothing is composed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load_queries(text: str | None = None) -> Mapping[str, str]:
    """Return every query of every file by its name, comments and final semicolon removed.

    :raise ValueError: two queries have one name.
    """
    if text is None:
        files = (resources.files("crawlsock") / "sql").iterdir()
        texts = [file.read_text(encoding="utf-8") for file in files if file.name.endswith(".sql")]
    else:
        texts = [text]
    found: dict[str, str] = {}
    for text in texts:
        parts = _NAME.split(text)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise ValueError(f"two queries are named {name}")
            lines = [line for line in body.splitlines() if not line.startswith("--")]
            found[name] = "\n".join(lines).strip().rstrip(";")
    return found
