"""The closed list of error codes, and the exceptions that carry them.

What lives here: every way in which a peer can be told "no". What must never come here: our own failures.
A bug is logged where it happens and answered with the bland ``internal``; misuse of our own code raises an
ordinary exception. A code is added to :class:`ErrorCode` and to ``schemas/error.json`` together; a test
compares the two.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class ErrorCode(str, Enum):
    """Name every refusal that the protocol knows, with its meaning and the remedy for the peer.

    The value is the word on the wire; ``meaning`` and ``remedy`` fill the table in the protocol reference.
    ``fatal`` says that the connection ends after the error was sent.
    """

    meaning: str
    remedy: str
    fatal: bool

    def __new__(cls, value: str, meaning: str, remedy: str, fatal: bool = False) -> ErrorCode:
        code = str.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        code.remedy = remedy
        code.fatal = fatal
        return code

    def __str__(self) -> str:
        # Python 3.11 and 3.12 changed what a mixed-in Enum prints; the word on the wire is what is meant.
        return str(self.value)

    MALFORMED_FRAME = (
        "malformed_frame",
        "the bytes are no netstring",
        "mend the framing and connect again",
        True,
    )
    FRAME_TOO_LARGE = (
        "frame_too_large",
        "the length prefix exceeds the limit",
        "send less in one message; before `welcome` the limit is 4096 bytes",
        True,
    )
    INVALID_JSON = ("invalid_json", "the frame holds no UTF-8 JSON object", "mend the encoder")
    INVALID_MESSAGE = (
        "invalid_message",
        "the object breaks the schema of its type or a rule of the session",
        "look at `pointer`, which names the field",
    )
    UNSUPPORTED = ("unsupported", "the type is unknown here", "do without it, or talk to a newer server")
    UNSUPPORTED_VERSION = (
        "unsupported_version",
        "no protocol version is spoken by both sides",
        "upgrade the older side",
        True,
    )
    NOT_AUTHENTICATED = (
        "not_authenticated",
        "something other than `hello` came first",
        "say `hello` and wait for `welcome`",
        True,
    )
    AUTHENTICATION_FAILED = (
        "authentication_failed",
        "the token is missing, unknown, expired, revoked or made for another role",
        "get a valid token; connecting again with this one will not help",
        True,
    )
    HELLO_TIMEOUT = (
        "hello_timeout",
        "no `hello` came within five seconds",
        "say `hello` at once after connecting",
        True,
    )
    FORBIDDEN = ("forbidden", "the role may not do this", "use a token of a role that may")
    SESSION_EXPIRED = (
        "session_expired",
        "the ticket's session is over and its jobs have been given back",
        "drop the jobs in hand, and say `hello` without `resume`",
    )
    DUPLICATE_CRAWLER = (
        "duplicate_crawler",
        "a living crawler has this crawler id",
        "use another crawler id, or end the other process",
        True,
    )
    LEASE_LOST = (
        "lease_lost",
        "the job is no longer this crawler's; nothing was changed",
        "stop working on the job, send nothing more about it",
    )
    UNKNOWN_JOB = ("unknown_job", "there is no such job, or none that this peer may see", "check the job id")
    UNKNOWN_ACCOUNT = ("unknown_account", "there is no such account", "store its credential first")
    UNKNOWN_CRAWLER = ("unknown_crawler", "no such crawler is here", "look at `crawler_list`")
    UNKNOWN_ERROR = (
        "unknown_error",
        "there is no such group of errors, or none that this peer may see",
        "look at `error_list`",
    )
    UNKNOWN_TOKEN = ("unknown_token", "no token has this id", "look at `token_list`")
    INVALID_STATE = (
        "invalid_state",
        "the job or the session is in a state that does not allow this",
        "read the state, then decide again",
    )
    DUPLICATE = (
        "duplicate",
        "a live job of the account has the same key",
        "use the job named in `details.job_id`",
    )
    QUEUE_FULL = ("queue_full", "the queue holds as many jobs as it may", "send it again after `retry_after`")
    RATE_LIMITED = (
        "rate_limited",
        "more requests a second than `welcome.limits` allows",
        "send it again after `retry_after`",
    )
    TOO_MANY_REQUESTS = (
        "too_many_requests",
        "the connection has as many unanswered requests, or subscriptions, as it may",
        "wait for replies, or unsubscribe, then send it again",
    )
    CREDENTIAL_MISSING = (
        "credential_missing",
        "the account has no credential",
        "have somebody store one with `credential_put`",
    )
    CREDENTIAL_REFUSED = (
        "credential_refused",
        "the GitLab host refused to renew the credential",
        "give the job back; it waits for a new credential",
    )
    UNKNOWN_SETTING = ("unknown_setting", "there is no setting of this name", "look at `config_get`")
    NOT_RELOADABLE = (
        "not_reloadable",
        "the setting cannot change while the server runs",
        "set it in the configuration and restart",
    )
    POSITION_TOO_OLD = (
        "position_too_old",
        "the feed no longer reaches back to this position",
        "subscribe without a position and take the snapshot",
    )
    UNAVAILABLE = (
        "unavailable",
        "the database is away; nothing was changed",
        "send the same request again after `retry_after`",
    )
    DRAINING = (
        "draining",
        "the server is leaving and takes nothing new",
        "connect again after `retry_after`",
    )
    INTERNAL = (
        "internal",
        "the server failed; the failure is in its log",
        "send it again; report it if it stays",
    )


_CODES = {code.value: code for code in ErrorCode}


class Refusal(Exception):
    """Refuse a valid request; every layer raises this one, and the router turns it into an ``error``.

    :ivar code: the word from the closed list.
    :ivar message: one sentence that a person can act on; it never quotes a secret.
    :ivar pointer: JSON pointer (RFC 6901) of the faulty field within the message, when there is one.
    :ivar retry_after: seconds after which the same request may succeed.
    :ivar details: small machine-readable extras, e.g. ``{"job_id": ...}`` of a duplicate.
    """

    def __init__(
        self,
        code: ErrorCode | str,
        message: str,
        pointer: str | None = None,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code if isinstance(code, ErrorCode) else _CODES[code]
        self.message = message
        self.pointer = pointer
        self.retry_after = retry_after
        self.details = details

    def __str__(self) -> str:
        where = f" at {self.pointer}" if self.pointer else ""
        return f"{self.code.value}{where}: {self.message}"

    def data(self) -> dict[str, Any]:
        """Return the ``data`` of the ``error`` message that says this refusal."""
        data: dict[str, Any] = {"code": self.code.value, "message": self.message[:4096]}
        if self.pointer is not None:
            data["pointer"] = self.pointer[:1024]
        if self.retry_after is not None:
            data["retry_after"] = self.retry_after
        if self.details:
            data["details"] = self.details
        return data

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Refusal:
        """Rebuild the refusal that the other end put into a valid ``error`` message."""
        return Refusal(data["code"], data["message"], data.get("pointer"), data.get("retry_after"), data.get("details"))


class InvalidMessage(Refusal):
    """Refuse a frame that arrived whole but holds no valid message; the connection is kept.

    :ivar re: the ``id`` of the refused message, when it could be read: the ``error`` then answers it.
    """

    def __init__(self, code: ErrorCode | str, message: str, pointer: str | None = None, re: int | None = None) -> None:
        super().__init__(code, message, pointer)
        self.re = re


class FrameError(Exception):
    """The peer broke the framing: nothing that follows can be understood, the connection ends.

    :ivar code: ``malformed_frame`` or ``frame_too_large``.
    :ivar reason: one sentence for the log and for the farewell ``error``.
    :ivar offset: position of the offending frame's first byte in the stream, counted from 0.
    """

    def __init__(self, reason: str, offset: int, code: ErrorCode = ErrorCode.MALFORMED_FRAME) -> None:
        super().__init__(f"{reason} (byte {offset} of the stream)")
        self.code = code
        self.reason = reason
        self.offset = offset
