"""How HTTP reaches a type: the bindings that ship, and those that are refused."""

from __future__ import annotations

import copy
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.http import METHODS, check_distinct, read_binding
from crawlsock.wire.schema import CatalogError

CATALOG = Catalog.load()
META: dict[str, Any] = {
    "from": ["webapp"],
    "about_job": "job",
    "http": {"method": "POST", "path": "/jobs/{job_id}/notes"},
}
RESOLVED: dict[str, Any] = {
    "required": ["type", "id", "job_id", "data"],
    "properties": {
        "type": {"const": "job_note"},
        "id": {"type": "integer"},
        "job_id": {"type": "string"},
        "data": {
            "required": ["note"],
            "properties": {
                "note": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "detail": {"type": "object"},
            },
        },
    },
}


class BindingTests(SynchronousTestCase):
    """One binding, right or wrong."""

    def binding(self, **changes: Any) -> Any:
        return read_binding({**META, **changes}, RESOLVED)

    def refused(self, words: str, **changes: Any) -> None:
        error = self.assertRaises(CatalogError, self.binding, **changes)
        self.assertIn(words, str(error))

    def test_fields_have_one_place(self) -> None:
        """The path takes what it names, the body everything else; nothing is in two places."""
        binding = self.binding()
        self.assertEqual((set(binding.in_path), set(binding.in_query)), ({"job_id"}, set()))
        self.assertEqual(binding.in_body, {"note", "tags", "detail"})
        self.assertEqual(binding.required, {"job_id", "note"})

    def test_a_type_without_http_has_no_binding(self) -> None:
        """A schema need not say how HTTP reaches it."""
        self.assertIsNone(read_binding({"from": ["webapp"], "about_job": None}, RESOLVED))

    def test_a_query_carries_text(self) -> None:
        """A field that no query can say makes GET impossible; lists of words are fine, but not in a path."""
        self.refused("detail cannot be written", http={"method": "GET", "path": "/jobs/{job_id}/notes"})
        self.refused("tags cannot be written", http={"method": "POST", "path": "/jobs/{job_id}/notes/{tags}"})
        resolved = copy.deepcopy(RESOLVED)
        del resolved["properties"]["data"]["properties"]["detail"]
        binding = read_binding({**META, "http": {"method": "DELETE", "path": "/jobs/{job_id}/notes"}}, resolved)
        assert binding is not None
        self.assertEqual(set(binding.in_query), {"note", "tags"})

    def test_a_parameter_is_a_field(self) -> None:
        """What a path names must be there, once."""
        self.refused("the path names nobody", http={"method": "POST", "path": "/jobs/{job_id}/{nobody}"})
        self.refused("one parameter twice", http={"method": "POST", "path": "/jobs/{job_id}/{job_id}"})

    def test_nothing_is_out_of_reach(self) -> None:
        """A job id that no path carries cannot be said in a body."""
        self.refused("nothing carries job_id", http={"method": "POST", "path": "/notes"})

    def test_the_form_is_checked(self) -> None:
        """Method, path and members are what they can be."""
        self.refused("http.method must be one of GET", http={"method": "PATCH", "path": "/notes"})
        self.refused("an object with method and path", http={"method": "GET"})
        self.refused("an object with method and path", http="GET /notes")
        for path in ("", "notes", "/Notes", "/notes/", "/notes?x", "/{job-id}", "/a//b", 7):
            self.refused("http.path must be like", http={"method": "GET", "path": path})

    def test_crawlers_speak_on_the_socket(self) -> None:
        """What only crawlers send, or what needs a lease, has no address."""
        self.refused("crawlers speak on the socket", **{"from": ["crawler"]})
        self.refused("crawlers speak on the socket", about_job="lease")


class CatalogTests(SynchronousTestCase):
    """The bindings that ship with crawlsock."""

    def test_no_two_are_alike(self) -> None:
        """One request reaches one type: the same method and shape twice is refused with both names."""
        kind = CATALOG.types["job_get"]
        error = self.assertRaises(CatalogError, check_distinct, [kind, kind])
        self.assertIn("job_get.json and job_get.json are both reached by GET /jobs/{job_id}", str(error))
        check_distinct(CATALOG.types.values())

    def test_reads_are_get_and_commands_are_not(self) -> None:
        """What only monitors may also do changes nothing, so it is GET; whatever else there is, is not."""
        for kind in CATALOG.types.values():
            if kind.http is not None:
                self.assertIn(kind.http.method, METHODS)
                if "monitor" in kind.requests_from:
                    self.assertEqual(kind.http.method, "GET", kind.name)

    def test_what_a_connection_is_needed_for_is_not_there(self) -> None:
        """Sessions, subscriptions and links that sign in are asked for on the socket."""
        for name in ("hello", "heartbeat", "subscribe", "unsubscribe", "login_create", "job_started"):
            self.assertIsNone(CATALOG.types[name].http, name)
