"""From what GitLab calls things to what files are called.

Law: pure, and the only place that turns a name from outside into a name on disk. Whatever comes in, each
result is a plain component: printable ASCII without `/`, never `.` or `..`, never hidden, at most 200
bytes; and two different names never become one, not even on a file system that ignores case. `decode` gives
the name back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

COMPONENT_BYTES = 200
FOLDER_BYTES = 900
"""A folder below the output root stays below this, so that a file in it fits into the 1024 characters of
the wire.
"""

# No capitals: on a file system that ignores case they would collide. `%` and `~` are ours.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_PIECE = re.compile(r"%[0-9a-f]{2}|.")
_SAFE = re.compile(r"(?!\.)(?:[a-z0-9_.~-]|%[0-9a-f]{2})*%?")


def quote_name(name: str) -> str:
    """Write every byte outside `a-z 0-9 _ - .`, and a dot at the front, as `%` and two hexadecimal digits."""
    raw = name.encode("utf-8", "surrogatepass")
    text = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw)
    return f"%2e{text[1:]}" if text.startswith(".") else text


def encode(name: str) -> list[str]:
    """Return a name as one path component, or several when it is long.

    A component that the next one continues ends with a bare `%`. An empty name is a lone `%`.
    """
    return split(quote_name(name)) if name else ["%"]


def split(quoted: str) -> list[str]:
    """Divide a quoted name into components that are short enough."""
    components = [""]
    for piece in _PIECE.findall(quoted):
        if len(components[-1]) + len(piece) > COMPONENT_BYTES - 1:
            components[-1] += "%"
            components.append("")
            piece = "%2e" if piece == "." else piece
        components[-1] += piece
    return components


def decode(components: Sequence[str]) -> str:
    """Give back the name that `encode` made these components of."""
    joined = "".join(component.removesuffix("%") for component in components)
    return unquote_to_bytes(joined).decode("utf-8", "surrogatepass")


def area_folder(account: str, host: str, folder: str, path: str, entity_id: str) -> list[str]:
    """Return the folder of an area below the output root, as components.

    `account/host/projects/group/subgroup/name~id`: the id keeps two areas apart that had the same path at
    different times. A path too long to be written out is left away: the last component is `~id` then.
    """
    top = [*encode(account), *encode(host), folder]
    *above, last = [part for part in path.split("/") if part] or [""]
    identity = f"~{quote_name(entity_id)}"
    whole = [
        *top,
        *(component for part in above for component in encode(part)),
        *split(quote_name(last) + identity),
    ]
    if sum(map(len, whole)) + len(whole) > FOLDER_BYTES:
        return [*top, *split(identity)]
    return whole


def is_safe(component: str) -> bool:
    """Tell whether a component could come from here: the last check before the disk."""
    return 0 < len(component) <= COMPONENT_BYTES and _SAFE.fullmatch(component) is not None
