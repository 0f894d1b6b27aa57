"""Settings of the web side."""

from __future__ import annotations

from attrs import frozen

from crawlsock.config.declare import setting
from crawlsock.config.kinds import ENDPOINT, optional

_HTTP = "HTTP"


@frozen(kw_only=True, slots=False)
class WebSettings:
    """What is served over HTTP, and to whom."""

    http_endpoint: str | None = setting(
        optional(ENDPOINT),
        "tcp:8420:interface=127.0.0.1",
        "Reserved for health, metrics, the API and the dashboard. This version serves nothing there.",
        group=_HTTP,
        profiles={"test": "none"},
    )
