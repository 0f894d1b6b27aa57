"""The codec: bytes of a frame to a valid :class:`Message`, and a message to bytes.

What lives here: the one door through which bytes become values. What must never come here: who may send
what, and when; that is :mod:`crawlsock.wire.session`.

A frame is parsed by orjson, which refuses bad UTF-8, lone surrogates, NaN and infinities, then judged by the
compiled schema, then by the guard of its type. Of a field name given twice the last one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.errors import ErrorCode, InvalidMessage
from crawlsock.wire.explain import explain, pointer, spoken, unknown_type
from crawlsock.wire.guard import MAX_OPAQUE_BYTES, Guard, GuardError, build_guard, find_nul, prune
from crawlsock.wire.message import Message
from crawlsock.wire.netstring import netstring
from crawlsock.wire.schema import compile_check

MAX_ID = 2**53 - 1
#: One ``ack`` may name this many ids (``schemas/common.json``, ``replies_to``).
MAX_ACKED = 10000

_BACKSLASH = ord("\\")
_loads = orjson.loads
_dumps = orjson.dumps
_new = tuple.__new__


class Codec:
    """Translate between frames and messages of one catalog.

    :param verify: also check what we encode, and raise ``ValueError`` for our own invalid message; meant for
        tests and for the shipped fakes, because it costs as much as decoding.
    """

    def __init__(self, catalog: Catalog, verify: bool = False) -> None:
        self.catalog = catalog
        self._verify = verify
        self._entries: dict[str, tuple[MessageType, Callable[[Any], bool], Guard | None]] = {
            name: _entry(kind) for name, kind in catalog.types.items()
        }

    @property
    def verifies(self) -> bool:
        """Tell whether what we encode is checked, too."""
        return self._verify

    def decode(self, frame: bytes) -> Message:
        """Return the message in a frame.

        Fields of ``data`` that the schema does not know are gone from a request afterwards; what the server
        sends keeps them.

        :raises InvalidMessage: with the code, the JSON pointer, and the id to answer when there is one.
        """
        try:
            document = _loads(frame)
            kind, is_exact, guard = self._entries[document["type"]]
        except (KeyError, TypeError, ValueError):
            raise self._refuse_unreadable(frame) from None
        try:
            if not is_exact(document):
                _admit(kind, document)
        except ValueError:  # the validator's own bound on recursion, 255 levels
            sentence = "the message is nested too deeply; 8 levels inside an object are enough for every type"
            raise InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, "", _id_of(document)) from None
        if _BACKSLASH in frame and b"\\u0000" in frame:  # the search for one byte is eight times cheaper
            _refuse_nul(document)
        get = document.get
        data = get("data")
        if data is None:
            data = {}
        elif guard is not None:
            try:
                guard(data, len(frame) > MAX_OPAQUE_BYTES)
            except GuardError as error:
                raise _refuse_opaque(error, document) from None
        re = get("re")
        if re.__class__ is list:
            re = tuple(re)
        # tuple.__new__ skips the keyword handling of a NamedTuple, half of its cost.
        return _new(
            Message,
            (
                kind.name,
                get("id"),
                re,
                get("job_id"),
                get("lease"),
                data,
                get("timestamp"),
                get("traceparent"),
            ),
        )

    def encode(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        *,
        id: int | None = None,
        re: int | Sequence[int] | None = None,
        job_id: str | None = None,
        lease: str | None = None,
        timestamp: str | None = None,
        traceparent: str | None = None,
    ) -> bytes:
        """Return one message as a netstring, ready for the transport.

        :raises ValueError: the type is unknown, or, when verifying, the message is invalid.
        :raises TypeError: ``data`` holds something that JSON has no form for.
        """
        if type not in self._entries:
            raise ValueError(f"the catalog has no message type {type!r}")
        document: dict[str, Any] = {"type": type}
        if id is not None:
            document["id"] = id
        if re is not None:
            document["re"] = re
        if job_id is not None:
            document["job_id"] = job_id
        if lease is not None:
            document["lease"] = lease
        if timestamp is not None:
            document["timestamp"] = timestamp
        if traceparent is not None:
            document["traceparent"] = traceparent
        if data is not None:
            document["data"] = data
        payload = _dumps(document)
        if self._verify:
            self._verify_payload(payload)
        return netstring(payload)

    def encode_message(self, message: Message) -> bytes:
        """Return a whole message as a netstring."""
        name, id, re, job_id, lease, data, timestamp, traceparent = message
        return self.encode(
            name,
            data or None,
            id=id,
            re=re,
            job_id=job_id,
            lease=lease,
            timestamp=timestamp,
            traceparent=traceparent,
        )

    def encode_ack(self, re: int | Sequence[int]) -> bytes:
        """Return the ``ack`` of one request, or of many at once, as netstrings ready for the transport."""
        if isinstance(re, int):
            return netstring(b'{"type":"ack","re":%d}' % re)
        if len(re) == 1:
            return netstring(b'{"type":"ack","re":%d}' % re[0])
        return b"".join(
            netstring(_dumps({"type": "ack", "re": re[start : start + MAX_ACKED]}))
            for start in range(0, len(re), MAX_ACKED)
        )

    def _verify_payload(self, payload: bytes) -> None:
        try:
            self.decode(payload)
        except InvalidMessage as error:
            raise ValueError(f"we made an invalid message: {error}") from error

    def _refuse_unreadable(self, frame: bytes) -> InvalidMessage:
        """Say why a frame is no message of a known type."""
        try:
            document = _loads(frame)
        except ValueError as error:
            sentence = f"the frame is no UTF-8 JSON: {str(error)[:200]}"
            return InvalidMessage(ErrorCode.INVALID_JSON, sentence)
        if not isinstance(document, dict):
            return InvalidMessage(ErrorCode.INVALID_JSON, "the frame must hold one JSON object")
        name, re = document.get("type"), _id_of(document)
        if not isinstance(name, str):
            sentence = "type is missing; it must be the name of a message type"
            return InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, "/type", re)
        return InvalidMessage(ErrorCode.UNSUPPORTED, unknown_type(name, self.catalog.types), "/type", re)


def _entry(kind: MessageType) -> tuple[MessageType, Callable[[Any], bool], Guard | None]:
    """Return a type, the verdict that lets a message pass as it is, and the guard of its data.

    For a request the verdict is the closed schema's: no unknown field, so nothing to remove. The server's own
    words may carry more than this end knows, and need no guard here.
    """
    data = kind.resolved["properties"].get("data")
    if not kind.requests_from or data is None:
        return kind, kind.is_valid, None
    return kind, compile_check(kind.resolved, closed=True).is_valid, build_guard(data)


def _admit(kind: MessageType, document: dict[str, Any]) -> None:
    """Refuse an invalid message; of a valid one with unknown fields, drop those."""
    if not kind.is_valid(document):
        where, sentence = explain(kind, document)
        raise InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, where, _id_of(document))
    prune(kind.resolved, document)


def _refuse_opaque(error: GuardError, document: dict[str, Any]) -> InvalidMessage:
    path = ["data", *reversed(error.path)]
    sentence = f"{spoken(path)} {error.sentence}"
    return InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, pointer(path), _id_of(document))


def _id_of(document: dict[str, Any]) -> int | None:
    """Return the id of a refused message when it can be answered."""
    id = document.get("id")
    return id if id.__class__ is int and 1 <= id <= MAX_ID else None


def _refuse_nul(document: dict[str, Any]) -> None:
    """Refuse a message with a NUL in it; the same six bytes after a backslash are harmless."""
    path = find_nul(document)
    if path is not None:
        sentence = f"{spoken(list(path))} holds the character NUL, which cannot be stored; leave it out"
        raise InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, pointer(path), _id_of(document))
