"""Who may ask: personal access tokens, and OAuth tokens that expire and rotate.

Law: pure state, told what time it is. The rules are GitLab's: a refresh ends the old access token and the old
refresh token in the same moment, even if the access token had time left, and a refresh token that was used
once is worth nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from attrs import define, field, frozen

from crawlsock.demo.gitlab.errors import ApiError, invalid_token, unauthorized
from crawlsock.demo.gitlab.kinds import JsonObject
from crawlsock.demo.gitlab.options import Options

DEFAULT_SECONDS = 7200
"""What GitLab writes into ``expires_in``."""

_INVALID_GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used "
    "in the authorization request, or was issued to another client."
)
_INVALID_CLIENT = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported "
    "authentication method."
)


@frozen
class TokenPair:
    """An access token and the refresh token that came with it."""

    access_token: str
    refresh_token: str


@define
class _Grant:
    pair: TokenPair
    issued_at: float
    requests: int = 0
    revoked: bool = False


def _oauth_error(status: int, error: str, description: str) -> ApiError:
    challenge = f'Bearer realm="Doorkeeper", error="{error}", error_description="{description}"'
    return ApiError(status, {"error": error, "error_description": description}, {"WWW-Authenticate": challenge})


@define
class TokenBook:
    """Every token that was ever given out, and what became of it.

    Token texts follow from the seed and their number, so a process that knows the seed knows them: this is a
    sample, for loopback. ``pairs`` are the OAuth pairs that a client starts with.
    """

    _seed: int
    _options: Options
    personal_tokens: tuple[str, ...]
    pairs: list[TokenPair] = field(factory=list)
    refreshes: int = 0
    refreshes_refused: int = 0
    _by_access: dict[str, _Grant] = field(factory=dict)
    _by_refresh: dict[str, _Grant] = field(factory=dict)

    @classmethod
    def open(cls, seed: int, options: Options, now: float) -> TokenBook:
        """Give out the tokens that exist from the start."""
        personal = options.personal_tokens
        if personal is None:
            personal = (f"glpat-{_digest(seed, 'personal', 0)[:20]}",)
        book = cls(seed, options, personal)
        book.pairs.extend(book.issue(now) for _ in range(options.oauth_grants))
        return book

    def issue(self, now: float) -> TokenPair:
        """Give out one more OAuth pair, as a person's authorisation in the browser would."""
        number = len(self._by_access)
        pair = TokenPair(_digest(self._seed, "access", number), _digest(self._seed, "refresh", number))
        self._by_access[pair.access_token] = self._by_refresh[pair.refresh_token] = _Grant(pair, now)
        return pair

    def revoke(self, pair: TokenPair) -> None:
        """End a pair, as its owner or an administrator may at any time."""
        self._by_access[pair.access_token].revoked = True

    def admit(self, headers: Mapping[str, str | None], now: float) -> str | None:
        """Return the token that a request shows, having counted the request against it; None without token.

        ``headers`` holds ``private-token`` and ``authorization``. Raises ``ApiError`` 401 for a token that
        does not work.
        """
        token = headers.get("private-token")
        if not token:
            scheme, _, token = (headers.get("authorization") or "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                if self._options.anonymous_access and not scheme:
                    return None
                raise unauthorized()
        if token in self.personal_tokens:
            return token
        grant = self._by_access.get(token)
        if grant is None:
            raise unauthorized()
        if grant.revoked:
            raise invalid_token("Token was revoked. You have to re-authorize from the user.")
        if self._expired(grant, now):
            raise invalid_token("Token is expired. You can either do re-authorization or token refresh.")
        grant.requests += 1
        return token

    def refresh(self, form: Mapping[str, str], now: float) -> JsonObject:
        """Answer ``POST /oauth/token``: exchange a refresh token for a new pair.

        Raises ``ApiError`` 400 or 401 with OAuth's error names.
        """
        try:
            self._check_client(form)
            if form.get("grant_type") != "refresh_token":
                raise _oauth_error(
                    400,
                    "unsupported_grant_type",
                    "The authorization grant type is not supported by the authorization server.",
                )
            if not form.get("refresh_token"):
                raise _oauth_error(400, "invalid_request", "Missing required parameter: refresh_token.")
            grant = self._by_refresh.get(form["refresh_token"])
            if grant is None or grant.revoked:
                raise _oauth_error(400, "invalid_grant", _INVALID_GRANT)
        except ApiError:
            self.refreshes_refused += 1
            raise
        grant.revoked = True
        self.refreshes += 1
        pair = self.issue(now)
        seconds = self._options.token_seconds
        return {
            "access_token": pair.access_token,
            "token_type": "Bearer",
            "expires_in": DEFAULT_SECONDS if seconds is None else max(1, round(seconds)),
            "refresh_token": pair.refresh_token,
            "scope": "read_api",
            "created_at": int(now),
        }

    def _expired(self, grant: _Grant, now: float) -> bool:
        seconds, requests = self._options.token_seconds, self._options.token_requests
        return (seconds is not None and now >= grant.issued_at + seconds) or (
            requests is not None and grant.requests >= requests
        )

    def _check_client(self, form: Mapping[str, str]) -> None:
        for name, wanted in (
            ("client_id", self._options.client_id),
            ("client_secret", self._options.client_secret),
        ):
            if wanted is not None and form.get(name) != wanted:
                raise _oauth_error(401, "invalid_client", _INVALID_CLIENT)


def _digest(seed: int, purpose: str, number: int) -> str:
    return hashlib.sha256(f"sample gitlab {seed} {purpose} {number}".encode("ascii")).hexdigest()
