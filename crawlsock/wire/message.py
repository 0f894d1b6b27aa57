"""One decoded, validated message: what bytes become at the door, and what everyone behind it handles."""

from __future__ import annotations

from typing import Any, NamedTuple


class Message(NamedTuple):
    """Hold one valid message; the schema of ``type`` has already vouched for every field.

    :ivar type: message type, the stem of its schema file.
    :ivar id: the sender's number for it, 1 to 2**53 - 1; ``None`` on replies and on pushes nobody answers.
    :ivar re: on a reply, the id or ids that it answers.
    :ivar job_id: UUID of the job that the message is about, as lower-case text.
    :ivar lease: token of the assignment under which a crawler speaks about the job.
    :ivar data: the body; ``{}`` when the sender left it out.
    :ivar timestamp: the sender's clock, RFC 3339; information only.
    :ivar traceparent: W3C trace context.
    """

    type: str
    id: int | None = None
    re: int | tuple[int, ...] | None = None
    job_id: str | None = None
    lease: str | None = None
    data: dict[str, Any] = {}  # read-only by convention, as everything in a message
    timestamp: str | None = None
    traceparent: str | None = None

    def answers(self) -> tuple[int, ...]:
        """Return the ids that this reply answers; empty for what is no reply."""
        if self.re is None:
            return ()
        return (self.re,) if isinstance(self.re, int) else self.re
