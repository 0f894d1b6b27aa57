"""The refusals of GitLab's API, in the shapes GitLab gives them.

GitLab has two: ``{"message": ...}`` where its own code refuses, ``{"error": ...}`` where parameter checks,
routing or OAuth do. Clients meet both, so both are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from crawlsock.demo.gitlab.kinds import JsonObject


class ApiError(Exception):
    """Refuse a request with this status, JSON body and extra headers."""

    def __init__(self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def not_found(what: str = "") -> ApiError:
    """Refuse because this does not exist, or because the caller may not know that it does."""
    return ApiError(404, {"message": f"404 {what} Not Found" if what else "404 Not Found"})


def forbidden() -> ApiError:
    """Refuse because the caller's rights do not reach this far."""
    return ApiError(403, {"message": "403 Forbidden"})


def unauthorized() -> ApiError:
    """Refuse because there is no token, or one that GitLab never gave out."""
    return ApiError(401, {"message": "401 Unauthorized"})


def invalid_token(description: str) -> ApiError:
    """Refuse a token that GitLab gave out and that no longer works."""
    challenge = f'Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="{description}"'
    return ApiError(401, {"error": "invalid_token", "error_description": description}, {"WWW-Authenticate": challenge})


def invalid_parameter(name: str, complaint: str) -> ApiError:
    """Refuse a query parameter."""
    return ApiError(400, {"error": f"{name} {complaint}"})


def method_not_allowed(sentence: str) -> ApiError:
    """Refuse a way of asking that this endpoint does not know."""
    return ApiError(405, {"error": sentence})
