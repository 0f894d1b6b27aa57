"""What keeps other sites out of a browser that is signed in here.

The law: decisions about headers, and the headers of every answer; no session, no store. Three things are refused: a
request for a host name that is not ours (DNS rebinding), one that changes something with a cookie and was not made by
our own pages (cross-site request forgery), and whatever a page would load from elsewhere (content security policy).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from crawlsock.web.problems import Problem

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
CHANGES_NOTHING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS: Final = (
    (b"Content-Security-Policy", CONTENT_SECURITY_POLICY.encode()),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"Cache-Control", b"no-store"),
)
"""On every answer, unless a resource says otherwise: only `Cache-Control` should be."""

_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


def check_host(values: list[str], hosts: Collection[str], public_url: str | None) -> None:
    """Refuse a request that was meant for somebody else.

    :param values: what the request's ``Host`` headers say.
    :param hosts: names that are allowed besides loopback, each with or without a port.
    """
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise Problem("bad_request", "a request needs one Host header that holds a name and perhaps a port")
    name, whole = match["name"].lower().rstrip("."), values[0].lower()
    if name in LOOPBACK or name in hosts or whole in hosts:
        return
    if public_url is not None and name == _host_name(public_url):
        return
    raise Problem(
        "misdirected_request",
        f"this server is not known as {name[:128]}; if it should be, add the name to the setting http_hosts",
    )


def _host_name(url: str) -> str:
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name


def check_origin(request: Any, secure: bool, public_url: str | None) -> None:
    """Refuse a request that another site's page has made.

    Browsers say where a request comes from in ``Sec-Fetch-Site``, or, where that is not sent (a name without TLS
    that is not loopback), in ``Origin``. A request that says neither was not made by a page of ours.
    """
    site = request.getHeader("Sec-Fetch-Site")
    if site is not None:
        if site == "same-origin":
            return
        raise Problem("cross_site", "this request came from another site; only our own pages may make it")
    origin = request.getHeader("Origin")
    own = f"{'https' if secure else 'http'}://{request.getHeader('Host')}".lower()
    if origin is None or origin.lower() not in (own, public_url):
        raise Problem(
            "cross_site",
            "with a cookie, a request that changes something needs Sec-Fetch-Site: same-origin or our own Origin",
        )


def is_json(content_type: str | None) -> bool:
    """Tell whether a content type is JSON; UTF-8 is the only charset that JSON has."""
    kind, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    return kind.strip().lower() == "application/json" and charset in ("", "charset=utf-8")


def accepts(header: str | None, *kinds: str) -> bool:
    """Tell whether an ``Accept`` header lets one of these media types through; without one everything is welcome."""
    if header is None or not header.strip():
        return True
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if any(re.fullmatch(r"q=0(\.0{0,3})?", each) for each in parameters):
            continue
        if name == "*/*" or any(name in (kind, f"{kind.partition('/')[0]}/*") for kind in kinds):
            return True
    return False
