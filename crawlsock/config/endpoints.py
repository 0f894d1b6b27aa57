"""As much of Twisted's endpoint strings as configuration must understand: where the Unix socket is."""

from __future__ import annotations

import re
from pathlib import Path


def escape_argument(path: Path) -> str:
    """Escape in `path` what an endpoint string would take for its own punctuation."""
    return re.sub(r"([\\:=])", r"\\\1", str(path))


def socket_path(endpoint: str) -> Path | None:
    """Return the file that the server endpoint string `endpoint` makes, or None when it is no Unix socket."""
    kind, *arguments = re.findall(r"((?:[^\\:]|\\.)*)(?::|$)", endpoint)
    for argument in arguments:
        name, equals, value = _split_name(argument)
        if kind == "unix" and value and (not equals or name == "address"):
            return Path(re.sub(r"\\(.)", r"\1", value))
    return None


def _split_name(argument: str) -> tuple[str, str, str]:
    """Split ``name=value`` at its first unescaped equals sign; a bare value has no name."""
    match = re.fullmatch(r"((?:[^\\=]|\\.)*)=(.*)", argument)
    return (match[1], "=", match[2]) if match else ("", "", argument)
