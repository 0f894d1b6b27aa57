"""What goes wrong on purpose.

Law: which request is hit is a function of the seed, its address and how often that address was asked for,
never of the order in which clients ask. Nothing is sent or delayed here; the server does what the mishap
says.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType

from attrs import define, field

from crawlsock.demo.gitlab.chance import draw, fraction
from crawlsock.demo.gitlab.options import Faults

_SALT = 0xFA017


@define
class Mishaps:
    """Decide the fate of each request."""

    _seed: int
    _faults: Faults
    _asked: dict[str, int] = field(factory=dict)
    _in_a_row: dict[str, int] = field(factory=dict)

    def next(self, address: str) -> str | None:
        """Return what is to happen to this request: ``429``, ``500``, ``502``, ``slow`` or nothing."""
        shares = {
            "429": self._faults.too_many_requests,
            "500": self._faults.server_error,
            "502": self._faults.bad_gateway,
            "slow": self._faults.slow,
        }
        if not any(shares.values()):
            return None
        asked = self._asked[address] = self._asked.get(address, 0) + 1
        chance = fraction(draw(self._seed, _SALT, zlib.crc32(address.encode("utf-8")), asked))
        found = None
        for name, share in shares.items():
            if chance < share:
                found = name
                break
            chance -= share
        if found is None or found == "slow" or self._in_a_row.get(address, 0) >= self._faults.most_in_a_row:
            self._in_a_row.pop(address, None)
            return found if found == "slow" else None
        self._in_a_row[address] = self._in_a_row.get(address, 0) + 1
        return found


BODIES: Mapping[str, tuple[str, bytes]] = MappingProxyType(
    {
        "429": ("text/plain", b"Retry later\n"),
        "500": ("application/json", b'{"message":"500 Internal Server Error"}'),
        "502": (
            "text/html",
            b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\n",
        ),
    }
)
"""Content type and body of each failure, as GitLab or the proxy before it sends them."""
