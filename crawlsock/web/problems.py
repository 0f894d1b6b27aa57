"""What HTTP answers when it does not do what was asked: problem details, RFC 9457.

The law: every "no" of the web side is a `Problem`, made here from a `Refusal` or raised as it is, and carries one
sentence that a person can act on. Failures of ours are bland: what went wrong stands in the log and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson

from crawlsock.wire.errors import ErrorCode, Refusal

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:crawlsock:error:"
_RETRY_SECONDS: Final = 1.0

STATUS: Final[Mapping[ErrorCode, int]] = MappingProxyType(
    {
        ErrorCode.MALFORMED_FRAME: 400,
        ErrorCode.FRAME_TOO_LARGE: 413,
        ErrorCode.INVALID_JSON: 400,
        ErrorCode.INVALID_MESSAGE: 400,
        ErrorCode.UNSUPPORTED: 404,
        ErrorCode.UNSUPPORTED_VERSION: 400,
        ErrorCode.NOT_AUTHENTICATED: 401,
        ErrorCode.AUTHENTICATION_FAILED: 401,
        ErrorCode.HELLO_TIMEOUT: 408,
        ErrorCode.FORBIDDEN: 403,
        ErrorCode.SESSION_EXPIRED: 401,
        ErrorCode.DUPLICATE_CRAWLER: 409,
        ErrorCode.LEASE_LOST: 409,
        ErrorCode.UNKNOWN_JOB: 404,
        ErrorCode.UNKNOWN_ACCOUNT: 404,
        ErrorCode.UNKNOWN_CRAWLER: 404,
        ErrorCode.UNKNOWN_ERROR: 404,
        ErrorCode.UNKNOWN_TOKEN: 404,
        ErrorCode.INVALID_STATE: 409,
        ErrorCode.DUPLICATE: 409,
        ErrorCode.QUEUE_FULL: 503,
        ErrorCode.RATE_LIMITED: 429,
        ErrorCode.TOO_MANY_REQUESTS: 429,
        ErrorCode.CREDENTIAL_MISSING: 409,
        ErrorCode.CREDENTIAL_REFUSED: 409,
        ErrorCode.UNKNOWN_SETTING: 404,
        ErrorCode.NOT_RELOADABLE: 409,
        ErrorCode.POSITION_TOO_OLD: 410,
        ErrorCode.UNAVAILABLE: 503,
        ErrorCode.DRAINING: 503,
        ErrorCode.INTERNAL: 500,
    }
)
"""The status for each word of the closed list."""

WEB_CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "not_found": 404,
        "method_not_allowed": 405,
        "not_acceptable": 406,
        "request_timeout": 408,
        "content_too_large": 413,
        "uri_too_long": 414,
        "unsupported_media_type": 415,
        "headers_too_large": 431,
        "misdirected_request": 421,
        "cross_site": 403,
        "bad_request": 400,
        "invalid_parameter": 400,
    }
)
"""The words that only HTTP knows, with their status."""


class Problem(Exception):
    """Answer a request with a problem.

    :ivar code: a word from `WEB_CODES` or the closed list of error codes.
    :ivar detail: one sentence that a person can act on.
    :ivar extra: further members: ``pointer`` into the JSON body, ``parameter`` of the path or the query, details.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = WEB_CODES[code] if status is None else status
        self.retry_after = retry_after
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if self.status == HTTPStatus.UNAUTHORIZED:
            self.headers.setdefault("WWW-Authenticate", 'Bearer realm="crawlsock"')
        if self.retry_after is None and self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            self.retry_after = _RETRY_SECONDS
        if self.retry_after is not None:
            self.headers.setdefault("Retry-After", str(max(1, math.ceil(self.retry_after))))

    @property
    def title(self) -> str:
        """The status in words, the same for every problem of the status."""
        return HTTPStatus(self.status).phrase

    def document(self) -> dict[str, Any]:
        """Return the members of the problem."""
        known = {
            "type": _URN + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.retry_after is not None:
            known["retry_after"] = self.retry_after
        return {**self.extra, **known}

    def body(self) -> bytes:
        """Return the problem as JSON."""
        return orjson.dumps(self.document())


def problem_of(error: Exception) -> Problem:
    """Return what answers a failed request: itself, a refusal in the words of HTTP, or the bland one."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refusal):
        extra: dict[str, Any] = dict(error.details or {})
        detail = error.message
        if error.pointer is not None:
            # The body is the message's data.
            extra["pointer"] = error.pointer.removeprefix("/data")
            detail = detail.removeprefix("data.")
        return Problem(error.code.value, detail, status=STATUS[error.code], retry_after=error.retry_after, extra=extra)
    return Problem("internal", "the server failed to do this; its log says why", status=500)
