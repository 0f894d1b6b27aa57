"""Ask a GitLab host for a new access token: one request, and what its answer means.

The law: secrets go to the host they belong to and nowhere else. No redirect is followed, the way is https unless the
host is this machine or was allowed by name, and neither time nor size of an answer is without a bound.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

TIMEOUT: Final = 15.0
MAX_BODY: Final = 64 * 1024


class TryAgain(Exception):
    """The host did not answer, or not now; `retry_after` is what it said, in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(Exception):
    """The host says that this credential will never work again."""


@frozen
class Renewed:
    """What the host gave; without a new refresh token the old one stays good."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime | None


@frozen
class Grant:
    """What the host is asked with."""

    url: str
    refresh_token: str = field(repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)


class Poster(Protocol):
    """What this needs of `treq.client.HTTPClient`."""

    def post(self, url: str, **kwargs: Any) -> Deferred[IResponse]:
        """Send a POST request."""


def token_url(host: str, given: str | None, allowed: Collection[str]) -> str:
    """Return where tokens of the host are renewed: `given`, or the usual place.

    Raises `Refused` for an address that secrets must not be sent to.
    """
    base = host if "://" in host else f"https://{host}"
    url = given or f"{base.rstrip('/')}/oauth/token"
    parts = urlsplit(url)
    name = parts.hostname or ""
    home = urlsplit(base)
    if name != home.hostname and name not in allowed and parts.netloc not in allowed:
        raise Refused(
            f"its token address is on {name}, which is not the account's host; add it to allowed_gitlab_hosts"
        )
    insecure_is_fine = _is_loopback(name) or name in allowed or parts.netloc in allowed
    if parts.scheme != "https" and not (parts.scheme == "http" and insecure_is_fine):
        raise Refused(f"{url} is not https; a token would travel in the clear")
    return url


async def renew(client: Poster, clock: IReactorTime, grant: Grant) -> Renewed:
    """Trade the refresh token for a new access token. Raises `TryAgain` or `Refused`."""
    fields = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    if grant.client_id is not None:
        fields["client_id"] = grant.client_id
    if grant.client_secret is not None:
        fields["client_secret"] = grant.client_secret
    request = Deferred.fromCoroutine(_exchange(client, grant.url, urlencode(fields).encode()))
    request.addTimeout(TIMEOUT, clock)
    try:
        code, headers, body = await request
    except Exception as error:
        # Whatever the HTTP client raises, it means that there is no answer. Its text may hold the request: left out.
        raise TryAgain(f"no answer from {urlsplit(grant.url).netloc} ({type(error).__name__})") from None
    return _read(clock, code, headers, body)


async def _exchange(client: Poster, url: str, body: bytes) -> tuple[int, Headers, bytes]:
    response = await client.post(
        url,
        data=body,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        allow_redirects=False,
        unbuffered=True,
    )
    # Whoever waits no longer must not leave the connection to a host that never ends.
    collected: Deferred[bytes] = Deferred(lambda _: bounded.hang_up())
    bounded = _Bounded(collected)
    response.deliverBody(bounded)  # type: ignore[no-untyped-call]
    return response.code, response.headers, await collected


class _Bounded(TwistedProtocol):
    """Collect a body, and give up on one that is too long."""

    def __init__(self, done: Deferred[bytes]) -> None:
        self._done: Deferred[bytes] | None = done
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_BODY:
            self._parts.append(data)
            return
        self._finish(ValueError("the answer is too long"))
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, whatever is still to come."""
        if self.transport is not None:
            stop = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        whole = isinstance(reason.value, (ResponseDone, PotentialDataLoss))
        self._finish(b"".join(self._parts) if whole else (reason.value or ConnectionError("lost")))

    def _finish(self, result: bytes | BaseException) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.callback(result) if isinstance(result, bytes) else done.errback(result)


def _read(clock: IReactorTime, code: int, headers: Headers, body: bytes) -> Renewed:
    if code == 429 or code >= 500:
        raise TryAgain(f"the host answered {code}", _seconds(headers))
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    if code in (400, 401):
        word = answer.get("error")
        raise Refused(f"the host answered {code}" + (f" ({word[:64]})" if isinstance(word, str) else ""))
    if code != 200 or not isinstance(answer.get("access_token"), str) or not answer["access_token"]:
        # A redirect, a proxy's page, a host that is no GitLab: nothing about the credential follows from it.
        raise TryAgain(f"the host answered {code} without a token")
    refresh_token, lifetime = answer.get("refresh_token"), answer.get("expires_in")
    expires = None
    if isinstance(lifetime, (int, float)) and 0 < lifetime < 10**9:
        expires = datetime.fromtimestamp(clock.seconds(), timezone.utc) + timedelta(seconds=lifetime)
    return Renewed(answer["access_token"], refresh_token if isinstance(refresh_token, str) else None, expires)


def _seconds(headers: Headers) -> float | None:
    values = headers.getRawHeaders("Retry-After") or [""]
    return float(values[0]) if values[0].isdigit() else None


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
