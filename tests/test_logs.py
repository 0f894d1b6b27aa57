"""What is claimed about the log."""

from __future__ import annotations

import io
import json
import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.logs import Logs, json_line, text_line, to_file, to_stream
from crawlsock.masking import Masker

SECRET = "zzTopSecretValue"


class Holder:
    """Something with a secret inside, as requests and connections are."""

    token = SECRET
    host = "gitlab.example"

    def __repr__(self) -> str:
        return f"<Holder {SECRET}>"


class Unshowable:
    """Something that cannot be shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError(SECRET)


class LogsTestCase(SynchronousTestCase):
    """A log of its own for each test, written to memory."""

    def setUp(self) -> None:
        self.masker = Masker()
        self.stream = io.StringIO()
        self.use("text")

    def use(self, form: str, level: str = "debug", colour: bool = False) -> None:
        line = partial(text_line, masker=self.masker, colour=colour)
        if form == "json":
            line = partial(json_line, masker=self.masker)
        self.logs = Logs(level, self.masker, line, to_stream(self.stream))
        self.log = Logger(namespace="crawlsock.test", observer=LogPublisher(self.logs.observer))

    def text(self) -> str:
        return self.stream.getvalue()

    def document(self) -> dict[str, Any]:
        lines = self.text().splitlines()
        self.assertEqual(len(lines), 1)
        document: dict[str, Any] = json.loads(lines[0])
        return document

    def failure(self) -> Failure:
        try:
            raise ValueError(f"cannot log in with {SECRET}")
        except ValueError:
            return Failure()


class TextTests(LogsTestCase):
    """Lines for people."""

    def test_a_line_has_time_level_namespace_and_message(self) -> None:
        """One event is one line."""
        self.log.info("{n} jobs came", n=3)
        self.assertRegex(self.text(), r"^\d\d:\d\d:\d\d\.\d{3} info     \[crawlsock\.test\] 3 jobs came\n$")

    def test_colour_is_for_what_matters(self) -> None:
        """On a terminal, warnings and worse are coloured; ordinary lines are not."""
        self.use("text", colour=True)
        self.log.info("fine")
        self.assertNotIn("\x1b", self.text())
        self.log.error("not fine")
        self.assertIn("\x1b[31m", self.text())

    def test_a_traceback_follows_its_line(self) -> None:
        """A failure's traceback stands below the message, indented and masked."""
        self.masker.register(SECRET)
        self.log.failure("It broke", self.failure())
        self.assertIn("It broke", self.text())
        self.assertIn("    builtins.ValueError: cannot log in with [hidden]", self.text())
        self.assertNotIn(SECRET, self.text())

    def test_a_message_cannot_forge_a_line(self) -> None:
        """A line break in a message does not begin a new line of log."""
        self.log.info("{name}", name="x\n12:00:00.000 info     [forged] all is well")
        self.assertEqual([line[0] for line in self.text().splitlines()][1:], [" "])

    def test_the_level_changes_at_once(self) -> None:
        """The level is looked at for each event, and can change while the program runs."""
        self.logs.set_level("warn")
        self.log.info("hidden")
        self.logs.set_level("debug")
        self.log.debug("shown")
        self.assertIn("shown", self.text())
        self.assertNotIn("hidden", self.text())


class JSONTests(LogsTestCase):
    """Lines for machines."""

    def setUp(self) -> None:
        super().setUp()
        self.use("json")

    def test_an_event_is_one_object(self) -> None:
        """Time, level, namespace, message and fields, with the types that they had."""
        self.log.warn("{n} jobs of {who}", n=3, who="crawler-1", tags=("a", 1), ok=True, deep={"x": {1}})
        document = self.document()
        self.assertRegex(document.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(
            document,
            {
                "level": "warn",
                "namespace": "crawlsock.test",
                "message": "3 jobs of crawler-1",
                "fields": {"n": 3, "who": "crawler-1", "tags": ["a", 1], "ok": True, "deep": {"x": [1]}},
            },
        )

    def test_a_failure_has_its_traceback(self) -> None:
        """The traceback is a string of the same object, masked."""
        self.masker.register(SECRET)
        self.log.failure("It broke", self.failure())
        self.assertIn("ValueError: cannot log in with [hidden]", self.document()["traceback"])
        self.assertNotIn(SECRET, self.text())

    def test_whatever_is_logged_is_json(self) -> None:
        """Lone surrogates, huge numbers, NaN, cycles and objects that cannot be shown break no line."""
        cycle: list[object] = []
        cycle.append(cycle)
        self.log.info("odd", a="\ud800", b=2**70, c=float("nan"), d=cycle, e=Unshowable(), f={1: 2}, g=b"\xff")
        self.assertEqual(self.document()["message"], "odd")
        self.assertIn("ZeroDivisionError", self.document()["fields"]["e"])
        self.assertNotIn(SECRET, self.text())


class SecretTests(LogsTestCase):
    """No secret leaves by the log, in either form."""

    def assert_hidden(self) -> None:
        self.assertNotIn(SECRET, self.text())
        self.assertNotEqual(self.text(), "")

    def test_registered_values_never_appear(self) -> None:
        """A registered value is hidden in messages, fields, reprs, keys and exceptions."""
        self.masker.register(SECRET)
        for form in ("text", "json"):
            self.use(form)
            text = "literal " + SECRET + " {a}"
            self.log.info(text, a=SECRET, b=Holder(), c={SECRET: [SECRET]}, d=SECRET.encode())
            self.log.info("{a!r} {a.token}", a=Holder())
            self.log.failure("x {e}", self.failure(), e=ValueError(SECRET))
        self.assert_hidden()

    def test_fields_are_hidden_by_name(self) -> None:
        """A field whose name says that it is a secret is hidden although nobody registered it."""
        for form in ("text", "json"):
            self.use(form)
            self.log.info("{token} {a}", token=SECRET, access_token=SECRET, a={"password": SECRET}, lease=SECRET)
            self.log.info("{h.token} at {h.host:>20} {d[token]}", h=Holder(), d={"token": SECRET})
        text = self.text().replace(f"<Holder {SECRET}>", "")  # in JSON, the repr of h; only registering hides that
        self.assertNotIn(SECRET, text)
        self.assertIn("[hidden] at       gitlab.example [hidden]", text)

    def test_counts_are_no_secrets(self) -> None:
        """A number called tokens is a number."""
        self.log.info("{tokens} tokens", tokens=3)
        self.assertIn("3 tokens", self.text())

    def test_a_broken_event_is_still_a_line(self) -> None:
        """An event whose formatting fails is logged as such, without what it could not show."""
        for form in ("text", "json"):
            self.use(form)
            self.log.info("{a} {", a=1)
            self.log.info("{a}", a=Unshowable())
            self.log.info("{missing}")
        self.assertGreaterEqual(len(self.text().splitlines()), 6)


class WriterTests(SynchronousTestCase):
    """Where lines go."""

    def test_a_file_is_private_and_found_again(self) -> None:
        """The file has mode 0600, is appended to, and is made anew when it was moved away."""
        path = Path(self.mktemp()).absolute()
        write = to_file(str(path))
        self.assertFalse(path.exists())
        write("one", {})
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        os.rename(path, f"{path}.old")
        write("two", {})
        to_file(str(path))("three", {})
        self.assertEqual(Path(f"{path}.old").read_text(), "one\n")
        self.assertEqual(path.read_text(), "two\nthree\n")

    def test_a_missing_directory_loses_the_line_only(self) -> None:
        """A file that cannot be opened does not bring the program down."""
        to_file("/nowhere/at/all/x.log")("one", {})

    def test_a_closed_stream_loses_the_line_only(self) -> None:
        """A reader that went away does not bring the program down."""
        stream = io.StringIO()
        stream.close()
        to_stream(stream)("one", {})

    def test_a_stream_that_knows_ascii_only(self) -> None:
        """A terminal with a poor encoding gets the line with escapes."""
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
        to_stream(stream)("caf\u00e9", {})
        self.assertEqual(raw.getvalue(), b"caf\\xe9\n")
