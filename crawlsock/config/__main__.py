"""``python -m crawlsock.config docs [--check]``: write the documentation of the settings, or see that it is
current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from crawlsock.config.docs import document

_PAGE = Path("docs") / "configuration.md"


def main(arguments: list[str]) -> str | None:
    """Do what `arguments` say; return None, or the complaint with which the process shall end."""
    if arguments == ["docs"]:
        _PAGE.write_text(document(), "utf-8")
        return None
    if arguments == ["docs", "--check"]:
        if _PAGE.is_file() and _PAGE.read_text("utf-8") == document():
            return None
        return f"{_PAGE} is not what the declarations say; run python -m crawlsock.config docs"
    return "usage: python -m crawlsock.config docs [--check], in the root of the repository"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
