"""Settings of the web side."""

from __future__ import annotations

from attrs import frozen

from crawlsock.config.declare import setting
from crawlsock.config.kinds import COUNT, DURATION, ENDPOINT, HOST, ORIGIN, listing, optional

_HTTP = "HTTP"


@frozen(kw_only=True, slots=False)
class WebSettings:
    """What is served over HTTP, and to whom."""

    http_endpoint: str | None = setting(
        optional(ENDPOINT),
        "tcp:8420:interface=127.0.0.1",
        "Where health, metrics, the API and the dashboard are served, as a Twisted server endpoint string. An `ssl:` "
        "endpoint serves them over TLS; `none` serves nothing.",
        group=_HTTP,
        profiles={"test": "none"},
    )
    http_public_url: str | None = setting(
        optional(ORIGIN),
        None,
        "The address that people use when a proxy stands before `http_endpoint`; links and cookies follow it.",
        group=_HTTP,
    )
    http_hosts: tuple[str, ...] = setting(
        listing(HOST),
        (),
        "Names by which the web side may be addressed besides `localhost`, `127.0.0.1`, `[::1]` and the name in "
        "`http_public_url`; requests for any other name are refused.",
        group=_HTTP,
        reloadable=True,
    )
    http_max_connections: int = setting(
        COUNT,
        500,
        "HTTP connections at one time, streams among them; the next is answered with 503.",
        group=_HTTP,
        reloadable=True,
        minimum=1,
        maximum=100_000,
    )
    http_max_streams: int = setting(
        COUNT,
        400,
        "Event streams at one time; the next is answered with 429. Keep it below `http_max_connections`.",
        group=_HTTP,
        reloadable=True,
        minimum=1,
        maximum=100_000,
    )
    http_max_streams_per_caller: int = setting(
        COUNT,
        50,
        "Event streams at one time of one token, or of all browsers that were signed in with it.",
        group=_HTTP,
        reloadable=True,
        minimum=1,
        maximum=100_000,
    )
    http_header_timeout: float = setting(
        DURATION,
        10.0,
        "A request whose headers have not come by then is given up.",
        group=_HTTP,
        reloadable=True,
        minimum=0.1,
        maximum=300,
    )
    http_body_timeout: float = setting(
        DURATION,
        30.0,
        "A request whose body has not come by then is given up.",
        group=_HTTP,
        reloadable=True,
        minimum=0.1,
        maximum=300,
    )
    http_idle_timeout: float = setting(
        DURATION,
        60.0,
        "A connection on which no request comes, or whose answer is not taken, is closed after this time.",
        group=_HTTP,
        reloadable=True,
        minimum=0.1,
        maximum=3600,
    )
    login_lifetime: float = setting(
        DURATION,
        300.0,
        "How long a link that signs in can be used, once.",
        group=_HTTP,
        reloadable=True,
        minimum=10,
        maximum=3600,
    )
    web_session_lifetime: float = setting(
        DURATION,
        12 * 3600.0,
        "How long a browser stays signed in at most.",
        group=_HTTP,
        reloadable=True,
        minimum=60,
        maximum=30 * 86400,
    )
    web_session_idle: float = setting(
        DURATION,
        2 * 3600.0,
        "A browser that asks for nothing for so long is signed out; an open stream counts as asking.",
        group=_HTTP,
        reloadable=True,
        minimum=60,
        maximum=30 * 86400,
    )

    @property
    def web_connections(self) -> int:
        """How many HTTP connections there may be: none where nothing is served."""
        return 0 if self.http_endpoint is None else self.http_max_connections
