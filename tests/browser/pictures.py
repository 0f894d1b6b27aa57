"""Pictures of the page for `docs/screenshots/`, small enough to live in a repository.

The law: a picture is written only when `CRAWLSOCK_SCREENSHOTS` names a directory. The page has few colours, so each is
stored with a palette of 128, which takes a third of the room.
"""

from __future__ import annotations

import base64
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

DIRECTORY: Final = os.environ.get("CRAWLSOCK_SCREENSHOTS")
_PALETTE: Final = """async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const { width, height } = image;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, width, height).data;
    const seen = new Map();
    for (let i = 0; i < data.length; i += 4) {
        const key = (data[i] >> 3 << 10) | (data[i + 1] >> 3 << 5) | data[i + 2] >> 3;
        const found = seen.get(key);
        if (found) found.n += 1;
        else seen.set(key, { n: 1, r: data[i], g: data[i + 1], b: data[i + 2] });
    }
    const palette = [...seen.values()].sort((a, b) => b.n - a.n).slice(0, 128);
    const index = new Map();
    for (const [key, { r, g, b }] of seen) {
        let best = 0;
        let least = Infinity;
        palette.forEach((each, i) => {
            const far = (each.r - r) ** 2 + (each.g - g) ** 2 + (each.b - b) ** 2;
            if (far < least) [best, least] = [i, far];
        });
        index.set(key, best);
    }
    const indices = new Uint8Array(width * height);
    for (let i = 0; i < indices.length; i++) {
        const at = 4 * i;
        indices[i] = index.get((data[at] >> 3 << 10) | (data[at + 1] >> 3 << 5) | data[at + 2] >> 3);
    }
    let text = "";
    for (let i = 0; i < indices.length; i += 32768) text += String.fromCharCode(...indices.subarray(i, i + 32768));
    return { width, height, palette: palette.map(({ r, g, b }) => [r, g, b]), indices: btoa(text) };
}"""


def picture(page: Page, name: str, helper: Any) -> None:
    """Write what the page shows, if pictures are wanted. `helper`: a blank page that does the arithmetic."""
    if DIRECTORY is None:
        return
    raw = page.screenshot(animations="disabled", caret="hide")
    found = helper.evaluate(_PALETTE, f"data:image/png;base64,{base64.b64encode(raw).decode()}")
    indices = base64.b64decode(found["indices"])
    width, height = found["width"], found["height"]
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, width * height, width))
    palette = bytes(value for colour in found["palette"] for value in colour)
    target = Path(DIRECTORY)
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", palette)
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
