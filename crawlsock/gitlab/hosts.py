"""Which GitLab a job may talk to, and where its API begins.

Law: a token is sent to an origin that `AllowedHosts.origin` returned, or nowhere. Everything that would
leave an origin (a redirect, a `Link`, a cursor that a resume state brought back) passes `Origin.own`. No
sockets here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urljoin, urlsplit

from attrs import frozen

API = "/api/v4"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_PORTS = {"https": 443, "http": 80}


class HostRefused(ValueError):
    """Say that a host is malformed or not on the allow list. The message names it and the remedy."""


@frozen
class Origin:
    """One GitLab: scheme, host and port, and the path below which it lives (empty for most).

    `str()` gives its base URL without a slash at the end.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The host, with the port where it is not the scheme's usual one."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"

    @property
    def name(self) -> str:
        """The host as people know it: without the scheme."""
        return f"{self.authority}{self.prefix}"

    @property
    def api(self) -> str:
        """The URL that the paths of the plan are appended to."""
        return f"{self}{API}"

    def own(self, reference: str, *, base: str | None = None) -> str | None:
        """Return the absolute URL of a reference found in an answer, or None when it leaves this origin.

        Scheme, host and port must be equal; credentials inside a URL are never followed.
        """
        try:
            url = urljoin(base or self.api, reference)
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None
        same = (parts.scheme, (parts.hostname or ""), port) == (self.scheme, self.host.strip("[]"), self.port)
        if not same or parts.username is not None or parts.password is not None or not _printable(url):
            return None
        return parts._replace(fragment="").geturl()


def _printable(url: str) -> bool:
    return url.isascii() and all("!" <= character <= "~" for character in url)


def parse_origin(text: str) -> Origin:
    """Read `gitlab.example.com`, `gitlab.example.com:8443` or a URL; without a scheme it is https.

    Plain http is accepted for loopback addresses only: a token must not cross a network unencrypted.
    Raises `HostRefused`.
    """
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise HostRefused(f"{text!r} is not a host") from None
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    prefix = parts.path.rstrip("/")
    if (
        parts.scheme not in _PORTS
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not _HOST.fullmatch(host)
        or not _PREFIX.fullmatch(prefix)
        or ".." in prefix.split("/")
    ):
        raise HostRefused(f"{text!r} is not a host; give a name such as gitlab.example.com, or an https URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise HostRefused(f"{text!r}: plain http is for loopback addresses only; use https")
    return Origin(parts.scheme, host, port, prefix)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its very address; a name other than `localhost` never is."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@frozen
class AllowedHosts:
    """The hosts that may be crawled. With an empty list any host may, over https."""

    origins: Mapping[str, Origin]

    @classmethod
    def of(cls, hosts: Iterable[str]) -> AllowedHosts:
        """Read the allow list. Raises `HostRefused` for an entry that is no host."""
        origins = [parse_origin(host) for host in hosts]
        return cls({origin.authority: origin for origin in origins})

    def origin(self, host: str | None) -> Origin:
        """Return where a job's host is. None means the only host there is.

        A job that names `127.0.0.1:8080` gets the listed `http://127.0.0.1:8080`: whether http is right is
        for the list to say. Raises `HostRefused`.
        """
        if host is None:
            if len(self.origins) != 1:
                raise HostRefused("the job names no host, and there is not exactly one allowed host to take instead")
            return next(iter(self.origins.values()))
        asked = parse_origin(host)
        listed = self.origins.get(asked.authority)
        if (
            listed is not None
            and (asked.prefix in ("", listed.prefix))
            and (asked.scheme == listed.scheme or "://" not in host)
        ):
            return listed
        if self.origins or asked.scheme != "https":
            raise HostRefused(f"host {host!r} is not on the list of allowed hosts")
        return asked
