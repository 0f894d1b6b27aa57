"""How a sample GitLab behaves: who may ask, how often, how slowly, and what goes wrong.

Law: values only, all of them fixed before the server starts.
"""

from __future__ import annotations

from attrs import field, frozen, validators

from crawlsock.demo.gitlab.dataset import Refusal

_SHARE = validators.and_(validators.ge(0.0), validators.le(1.0))
_COUNT = validators.ge(0)
_SECONDS = validators.ge(0.0)


@frozen(kw_only=True)
class Faults:
    """What is made to fail, as shares of requests from 0 to 1.

    Which requests are hit follows from the seed, the address asked for and how often it was asked before, so
    two runs of one crawl meet the same faults whatever order they ask in. An address is never hit more than
    ``most_in_a_row`` times in a row.
    """

    too_many_requests: float = field(default=0.0, validator=_SHARE)
    """Answered 429 without any limit having been reached."""
    server_error: float = field(default=0.0, validator=_SHARE)
    """Answered 500."""
    bad_gateway: float = field(default=0.0, validator=_SHARE)
    """Answered 502, in HTML, as a proxy does."""
    slow: float = field(default=0.0, validator=_SHARE)
    """Answered correctly, ``slow_by`` seconds late."""
    slow_by: float = field(default=1.0, validator=_SECONDS)
    retry_after: int = field(default=1, validator=_COUNT)
    """What an injected 429 says in ``Retry-After``, in seconds."""
    most_in_a_row: int = field(default=3, validator=_COUNT)
    refused: tuple[Refusal, ...] = ()
    """Resources that are refused for good."""


@frozen(kw_only=True)
class Options:
    """How a sample GitLab behaves; as it stands, well."""

    personal_tokens: tuple[str, ...] | None = None
    """Personal access tokens, which work for ever; None makes one from the seed."""
    oauth_grants: int = field(default=1, validator=_COUNT)
    """How many pairs of access and refresh token exist from the start."""
    token_seconds: float | None = None
    """How long an access token lasts. A refresh makes a new pair and ends both tokens of the old one."""
    token_requests: int | None = None
    """How many requests an access token lasts for."""
    client_id: str | None = None
    """The OAuth client id that ``/oauth/token`` insists on."""
    client_secret: str | None = None
    """The OAuth client secret that ``/oauth/token`` insists on."""
    anonymous_access: bool = False
    """Answer requests without any token too, as for public items."""
    rate_limit: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    """Requests that one person may make in a period; None is without limit and without its headers."""
    rate_period: int = field(default=60, validator=validators.ge(1))
    """The length of that period in seconds."""
    latency: float = field(default=0.0, validator=_SECONDS)
    """Seconds that each answer waits before it is sent."""
    link_origin: str | None = None
    """What ``Link`` headers begin with, when that is not the host the client named.

    So does a GitLab that was told a wrong external URL, or one that lures clients and their tokens elsewhere.
    """
    faults: Faults = Faults()
    """What is made to fail."""
