"""
What the dashboard weighs: bytes that a browser with an empty cache loads, compressed as the server sends them.

`first` is what the overview needs before it shows something, `all` every script, style and icon of all screens. The
HTML of a page is not in it (about 3 kB, and it depends on what is shown); the browser's tests count it, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from crawlsock.web.static import own

MOST: Final = 120_000
"""What all of it may weigh, the HTML included."""


def measure(profile: Path | None = None) -> dict[str, Any]:
    """Measure. There is nothing to profile here."""
    library = own()
    weights = {path: file.weight for path, file in library.files.items() if "LICENSE" not in path}
    loaded = {path: weight for path, weight in weights.items() if path.endswith((".js", ".css", ".svg"))}
    styles = {path for path in loaded if path.endswith(".css")}
    first = styles | set(library.modules) | {path for path in loaded if path.endswith((".svg", "theme.js"))}
    return {
        "benchmark": "page_weight",
        "unit": "bytes, compressed",
        "all": sum(loaded.values()),
        "first": sum(loaded[path] for path in first if path in loaded),
        "vendor": sum(weight for path, weight in loaded.items() if path.startswith("vendor/")),
        "files": len(loaded),
        "most": MOST,
        "heaviest": dict(sorted(loaded.items(), key=lambda item: -item[1])[:5]),
    }
