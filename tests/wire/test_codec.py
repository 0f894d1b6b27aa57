"""The codec: what it takes, what it refuses and in which words, what it sends."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import MAX_ACKED, Codec
from crawlsock.wire.errors import ErrorCode, InvalidMessage
from crawlsock.wire.message import Message
from crawlsock.wire.netstring import NetstringParser

CATALOG = Catalog.load()
CODEC = Codec(CATALOG, verify=True)
JOB = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
PROGRESS: dict[str, Any] = {
    "type": "job_progress",
    "id": 7,
    "job_id": JOB,
    "lease": "L1",
    "data": {"seq": 1, "stage": "fetching", "entities": {"issues": {"processed": 2}}, "message": "reading"},
}


def progress(**data: Any) -> bytes:
    """Return the frame of a progress message with some fields of its data replaced."""
    return orjson.dumps({**PROGRESS, "data": {**PROGRESS["data"], **data}})


def payloads(stream: bytes) -> list[bytes]:
    """Return the payloads of a byte string of netstrings."""
    parser = NetstringParser(1 << 24)
    parser.feed(stream)
    frames = list(parser.frames())
    assert parser.buffered == 0
    return frames


class DecodeTests(SynchronousTestCase):
    """From bytes to messages."""

    def refused(self, frame: bytes, code: ErrorCode, pointer: str | None, re: int | None = 7) -> str:
        """Assert that a frame is refused thus, and return the sentence."""
        with self.assertRaises(InvalidMessage) as caught:
            CODEC.decode(frame)
        refusal: InvalidMessage = caught.exception
        self.assertEqual((refusal.code, refusal.pointer, refusal.re), (code, pointer, re))
        self.assertLess(len(refusal.message), 1024)
        return refusal.message

    def test_every_example(self) -> None:
        """Every example decodes into the values that it shows."""
        for kind in CATALOG.types.values():
            for example in kind.examples:
                message = CODEC.decode(orjson.dumps(example))
                self.assertEqual(message.type, kind.name)
                self.assertEqual(message.data, example.get("data", {}))
                self.assertEqual((message.id, message.job_id), (example.get("id"), example.get("job_id")))

    def test_absent_fields(self) -> None:
        """What a message leaves out is None, and an absent body is empty."""
        self.assertEqual(CODEC.decode(b'{"type":"ping","id":3}'), Message("ping", 3))

    def test_many_ids_of_an_ack(self) -> None:
        """The ids that one ack answers come as a tuple."""
        message = CODEC.decode(b'{"type":"ack","re":[1,2]}')
        self.assertEqual((message.re, message.answers()), ((1, 2), (1, 2)))
        self.assertEqual(CODEC.decode(b'{"type":"ack","re":4}').answers(), (4,))
        self.assertEqual(CODEC.decode(b'{"type":"ping","id":4}').answers(), ())

    def test_unknown_fields_are_dropped(self) -> None:
        """Unknown fields of a request are ignored at every depth, however strange, and reach nobody."""
        document = copy.deepcopy(PROGRESS)
        document["future"] = {"a": 1}
        document["data"]["future"] = [[[[[[[[[[[1e300]]]]]]]]]]]
        document["data"]["entities"]["issues"]["future"] = True
        self.assertEqual(CODEC.decode(orjson.dumps(document)).data, PROGRESS["data"])
        jobs = [{"type": "crawl_user", "future": 1, "payload": {"kept": 1}, "backoff": {"base": 1, "cap": 2, "x": 3}}]
        frame = orjson.dumps({"type": "job_submit", "id": 1, "data": {"jobs": jobs}})
        wanted = [{"type": "crawl_user", "payload": {"kept": 1}, "backoff": {"base": 1, "cap": 2}}]
        self.assertEqual(CODEC.decode(frame).data["jobs"], wanted)

    def test_unknown_fields_of_the_server_are_kept(self) -> None:
        """A client sees fields that a newer server adds to an answer."""
        frame = b'{"type":"job_list_response","re":1,"data":{"jobs":[],"future":1}}'
        self.assertEqual(CODEC.decode(frame).data, {"jobs": [], "future": 1})

    def test_no_json(self) -> None:
        """What is no JSON object is refused as such, and there is no id to answer."""
        frames = (b"", b"{", b"[]", b"1", b"null", b'"hello"', b"\xff", b'{"type":"ping","id":1}x', b"NaN",
                  b'{"type":"\\ud800"}', b'{"type":"ping","id":1e999}', b"[" * 100000, b'{"a":"\x00"}')  # fmt: skip
        for frame in frames:
            self.refused(frame, ErrorCode.INVALID_JSON, None, None)

    def test_no_type(self) -> None:
        """A missing type, or one that is no string, is named as the fault."""
        for type in (b"1", b"null", b"[]", b"{}"):
            self.refused(b'{"id":7,"type":' + type + b"}", ErrorCode.INVALID_MESSAGE, "/type")
        self.refused(b'{"id":7}', ErrorCode.INVALID_MESSAGE, "/type")

    def test_unknown_type(self) -> None:
        """An unknown type is unsupported, with a suggestion; a strange one is not repeated."""
        sentence = self.refused(b'{"type":"job_progres","id":7}', ErrorCode.UNSUPPORTED, "/type")
        self.assertIn('did you mean "job_progress"?', sentence)
        sentence = self.refused(b'{"type":"<script>","id":7}', ErrorCode.UNSUPPORTED, "/type")
        self.assertNotIn("script", sentence)

    def test_unanswerable_ids(self) -> None:
        """An id that is no id is not answered."""
        for id in (b"0", b"-1", b"1.0", b"true", b'"7"', b"9007199254740992", b"18446744073709551616"):
            self.refused(b'{"type":"nothing","id":' + id + b"}", ErrorCode.UNSUPPORTED, "/type", None)
            self.refused(b'{"type":"ping","id":' + id + b"}", ErrorCode.INVALID_MESSAGE, "/id", None)

    def test_pointer_and_remedy(self) -> None:
        """A refusal points at the field and says what would be right."""
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({"seq": 0}, "/data/seq", "from 1 to"),
            ({"seq": 1.0}, "/data/seq", "whole number"),
            ({"stage": "resting"}, "/data/stage", '"fetching"'),
            ({"message": None}, "/data/message", "leave it out"),
            ({"message": "x" * 4097}, "/data/message", "0 to 4096 characters"),
            ({"entities": {"issues": {"processed": -1}}}, "/data/entities/issues/processed", "from 0"),
            ({"entities": {"Bad": {}}}, "/data/entities", "names matching"),
            ({"entities": {f"e{n}": {} for n in range(33)}}, "/data/entities", "32 fields"),
            ({"entities": []}, "/data/entities", "an object"),
        ]
        for data, pointer, remedy in cases:
            self.assertIn(remedy, self.refused(progress(**data), ErrorCode.INVALID_MESSAGE, pointer))
        without = {key: value for key, value in PROGRESS.items() if key != "lease"}
        self.assertIn("lease is missing", self.refused(orjson.dumps(without), ErrorCode.INVALID_MESSAGE, "/lease"))
        frame = orjson.dumps({"type": "job_submit", "id": 7, "data": {"jobs": [{"type": "a"}, {}]}})
        self.assertIn("data.jobs[1].type", self.refused(frame, ErrorCode.INVALID_MESSAGE, "/data/jobs/1/type"))
        frame = orjson.dumps({"type": "job_submit", "id": 7, "data": {"jobs": [{"type": "a", "run_at": "soon"}]}})
        self.assertIn("date and time", self.refused(frame, ErrorCode.INVALID_MESSAGE, "/data/jobs/0/run_at"))

    def test_times(self) -> None:
        """Times are RFC 3339 with a zone, on days that exist; those that are stored, as Python 3.10 reads them."""
        good = ("2026-11-23T10:15:30Z", "2024-02-29T23:59:59+05:30", "2000-02-29T00:00:00-08:00",
                "2026-11-23T10:15:30.123Z", "2026-11-23T10:15:30.123456Z", "2299-12-31T00:00:00Z")  # fmt: skip
        bad = ("2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
               "2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z", "2026-11-23T10:15:60Z", "2026-11-23T10:15:30",
               "2026-11-23 10:15:30Z", "2026-11-23t10:15:30z", "2026-11-23T10:15:30.Z", "2300-01-01T00:00:00Z",
               "2026-00-10T00:00:00Z", "2026-11-23T10:15:30+15:00", "2026-11-23T10:15:30Z\n")  # fmt: skip

        def ping(text: str) -> bytes:
            return orjson.dumps({"type": "ping", "id": 7, "timestamp": text})

        def submit(text: str) -> bytes:
            return orjson.dumps({"type": "job_submit", "id": 7, "data": {"jobs": [{"type": "a", "run_at": text}]}})

        for text in good:
            CODEC.decode(ping(text))
            CODEC.decode(submit(text))
        for text in bad:
            self.assertIn("such as", self.refused(ping(text), ErrorCode.INVALID_MESSAGE, "/timestamp"))
            self.refused(submit(text), ErrorCode.INVALID_MESSAGE, "/data/jobs/0/run_at")
        CODEC.decode(ping("2026-11-23T10:15:30.1234Z"))
        self.refused(submit("2026-11-23T10:15:30.1234Z"), ErrorCode.INVALID_MESSAGE, "/data/jobs/0/run_at")

    def test_no_secret_is_echoed(self) -> None:
        """A refused value is not repeated."""
        data = {"account": "a", "host": "h", "kind": "oauth", "access_token": "se cret\n" * 600}
        frame = orjson.dumps({"type": "credential_put", "id": 7, "data": data})
        sentence = self.refused(frame, ErrorCode.INVALID_MESSAGE, "/data/access_token")
        self.assertNotIn("cret", sentence)

    def test_nul(self) -> None:
        """NUL is refused wherever it stands in text or a name; the escaped backslash is not mistaken for it."""
        self.refused(progress(message="a\0b"), ErrorCode.INVALID_MESSAGE, "/data/message")
        self.refused(progress(resume_state={"a": [{"b": "\0"}]}), ErrorCode.INVALID_MESSAGE, "/data/resume_state/a/0/b")
        self.refused(progress(resume_state={"a": {"b\0": 1}}), ErrorCode.INVALID_MESSAGE, "/data/resume_state/a")
        self.assertEqual(CODEC.decode(progress(message="\\u0000")).data["message"], "\\u0000")

    def test_opaque_objects(self) -> None:
        """A resume state is taken up to its limits of size, depth and numbers, and refused beyond."""
        deep: dict[str, Any] = {"end": 1}
        for _ in range(7):
            deep = {"a": deep}
        self.assertEqual(CODEC.decode(progress(resume_state=deep)).data["resume_state"], deep)
        pointer = "/data/resume_state" + "/a" * 8 + "/end"
        self.assertIn("8 levels", self.refused(progress(resume_state={"a": deep}), ErrorCode.INVALID_MESSAGE, pointer))
        numbers = {"n": [2**63 - 1, -(2**63) + 1, 0.5, True]}
        self.assertEqual(CODEC.decode(progress(resume_state=numbers)).data["resume_state"], numbers)
        for number in (2**63, 2**64 - 1, 1e300, -1e19):
            frame = progress(resume_state={"n": [0, number]})
            self.refused(frame, ErrorCode.INVALID_MESSAGE, "/data/resume_state/n/1")
        full = {"s": "x" * (65536 - len('{"s":""}'))}
        self.assertEqual(CODEC.decode(progress(resume_state=full)).data["resume_state"], full)
        full["s"] += "x"
        self.refused(progress(resume_state=full), ErrorCode.INVALID_MESSAGE, "/data/resume_state")

    def test_opaque_objects_in_lists(self) -> None:
        """An opaque object inside a list is checked and pointed at as well."""
        jobs = [{"type": "a"}, {"type": "a", "payload": {"n": 1e19}}]
        frame = orjson.dumps({"type": "job_submit", "id": 7, "data": {"jobs": jobs}})
        self.refused(frame, ErrorCode.INVALID_MESSAGE, "/data/jobs/1/payload/n")

    @settings(max_examples=500, deadline=None)
    @given(st.one_of(st.binary(max_size=200), st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-2**63, 2**64 - 1)
        | st.text(max_size=9) | st.sampled_from(sorted(CATALOG.types)),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "id", "re", "data", "job_id", "jobs", "x"]), inner, max_size=5),
        max_leaves=12).map(orjson.dumps)))  # fmt: skip
    def test_anything_at_all(self, frame: bytes) -> None:
        """Any bytes are either a message or a typed refusal of bounded length."""
        try:
            message = CODEC.decode(frame)
        except InvalidMessage as refusal:
            self.assertLess(len(orjson.dumps(refusal.data())), 4096)
            CODEC.encode("error", refusal.data(), re=refusal.re)
        else:
            self.assertIn(message.type, CATALOG.types)

    def test_depth_is_harmless(self) -> None:
        """A thousand levels are refused, or in an unknown place ignored, without a crash."""
        state = "/data/resume_state/a" + "/0" * 8
        for levels, message in ((1000, ""), (100, "/data/message")):
            nest = b"[" * levels + b"]" * levels
            deep = progress().replace(b'"reading"', nest)
            self.refused(deep, ErrorCode.INVALID_MESSAGE, message)
            deep = progress().replace(b'"message":"reading"', b'"resume_state":{"a":' + nest + b"}")
            self.refused(deep, ErrorCode.INVALID_MESSAGE, state)
            ignored = progress().replace(b'"message":"reading"', b'"future":' + nest)
            self.assertNotIn("future", CODEC.decode(ignored).data)


class EncodeTests(SynchronousTestCase):
    """From messages to bytes."""

    def test_round_trip(self) -> None:
        """Every example survives decoding and encoding."""
        for kind in CATALOG.types.values():
            for example in kind.examples:
                message = CODEC.decode(orjson.dumps(example))
                (payload,) = payloads(CODEC.encode_message(message))
                self.assertEqual(CODEC.decode(payload), message)

    def test_only_what_is_given(self) -> None:
        """Fields that were not given are not sent."""
        self.assertEqual(CODEC.encode("ping", id=5), b'22:{"type":"ping","id":5},')
        self.assertEqual(
            payloads(CODEC.encode("ack", {"affected": 2}, re=(1,))), [b'{"type":"ack","re":[1],"data":{"affected":2}}']
        )

    def test_acks(self) -> None:
        """The fast path says the same as the general one, and splits what one ack cannot name."""
        self.assertEqual(CODEC.encode_ack(9), CODEC.encode("ack", re=9))
        self.assertEqual(CODEC.encode_ack([9]), CODEC.encode("ack", re=9))
        self.assertEqual(CODEC.encode_ack([9, 11]), CODEC.encode("ack", re=[9, 11]))
        self.assertEqual(CODEC.encode_ack([]), b"")
        ids = list(range(1, 2 * MAX_ACKED + 2))
        messages = [CODEC.decode(payload) for payload in payloads(CODEC.encode_ack(ids))]
        self.assertEqual([id for message in messages for id in message.answers()], ids)
        self.assertEqual(len(messages), 3)

    def test_our_own_mistakes(self) -> None:
        """An unknown type, and when verifying an invalid message, are mistakes of the caller."""
        self.assertRaises(ValueError, CODEC.encode, "nothing")
        self.assertRaises(ValueError, CODEC.encode, "job_request", {"slots": -1}, id=1)
        Codec(CATALOG).encode("job_request", {"slots": -1}, id=1)
