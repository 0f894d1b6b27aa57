"""What is claimed about hiding secrets."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.masking import Masker, is_secret_name, mask_dsn, mask_patterns, passwords_of_dsn

SECRET = "S3cr3t/Value+with=odd'chars"


class PatternTests(SynchronousTestCase):
    """What looks like a secret is hidden although nobody named it."""

    def test_secrets_are_hidden_by_shape(self) -> None:
        """Tokens and passwords disappear wherever they stand, and what stands around them stays."""
        for text, hidden in (
            ("Authorization: Bearer abcdef123456", "abcdef123456"),
            ("got 401 for glpat-AbCdEfGhIjKlMnOpQrSt here", "glpat-AbCdEfGhIjKlMnOpQrSt"),
            ("using gloas-0123456789abcdef", "gloas-0123456789abcdef"),
            ("token cs_ab12CD34ef56_-x was refused", "cs_ab12CD34ef56_-x"),
            ("connect to postgresql://web:hunter2@db/app failed", "hunter2"),
            ("host=db password=hunter2 dbname=app", "hunter2"),
            ("https://gitlab.example/api?private_token=hunter2&page=2", "hunter2"),
            ("{'PRIVATE-TOKEN': 'hunter2', 'Accept': '*/*'}", "hunter2"),
            ('{"access_token":"hunter2","expires_in":7200}', "hunter2"),
            ("refresh_token='hunter2'", "hunter2"),
            ("headers {b'Authorization': b'hunter2'}", "hunter2"),
            ('{"lease": "hunter2", "job_id": "x"}', "hunter2"),
            ("Message(type='hello', lease='hunter2', ticket=hunter2)", "hunter2"),
            ("client_secret: hunter2", "hunter2"),
            ('"{\\"password\\": \\"hunter2\\"}"', "hunter2"),
        ):
            masked = mask_patterns(text)
            self.assertNotIn(hidden, masked, text)
            self.assertIn("[hidden]", masked)
        self.assertIn("&page=2", mask_patterns("?private_token=hunter2&page=2"))
        self.assertIn("'Accept': '*/*'", mask_patterns("{'PRIVATE-TOKEN': 'hunter2', 'Accept': '*/*'}"))
        self.assertIn('"expires_in":7200}', mask_patterns('{"access_token":"hunter2","expires_in":7200}'))

    def test_innocent_text_stays(self) -> None:
        """What only speaks about secrets is readable."""
        for text in (
            "lease_length=30, tokens_dir=/var/lib/crawlsock/tokens",
            "the lease was lost",
            "token_id: 17, token=None",
            "lease_lost: the job has gone to somebody else",
            "https://gitlab.example/group/project?page=2",
            "released 3 jobs of session 7",
        ):
            self.assertEqual(mask_patterns(text), text)

    def test_names(self) -> None:
        """Names that hold a secret are told from names that say something about one."""
        for name in (
            "token",
            "access_token",
            "PRIVATE-TOKEN",
            "client_secret",
            "password",
            "lease",
            "ticket",
            "Cookie",
        ):
            self.assertTrue(is_secret_name(name), name)
        for name in (
            "lease_length",
            "token_id",
            "tokens_dir",
            "token_expires_at",
            "name",
            "released",
            "please",
        ):
            self.assertFalse(is_secret_name(name), name)

    def test_database_addresses(self) -> None:
        """A database address loses its password and nothing else."""
        for text, shown in (
            ("postgresql://u:p@ss@h/d", "postgresql://u:[hidden]@h/d"),
            (
                "postgresql://u@h/d?password=x&sslmode=require",
                "postgresql://u@h/d?password=[hidden]&sslmode=require",
            ),
            ("host=h password='a b' user=u", "host=h password=[hidden] user=u"),
            ("postgresql://u:p/w@h/d", "postgresql://u:[hidden]@h/d"),
            ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
            ("postgresql:///d?host=/run/x", "postgresql:///d?host=/run/x"),
        ):
            self.assertEqual(mask_dsn(text), shown)

    def test_passwords_of_addresses(self) -> None:
        """The password of a database address is found as it is written and as it is meant."""
        self.assertEqual(passwords_of_dsn("postgresql://u:p%40ss@h/d"), {"p%40ss", "p@ss"})
        self.assertEqual(passwords_of_dsn(r"host=h password='it\'s' user=u"), {r"'it\'s'", "it's"})
        self.assertEqual(passwords_of_dsn("postgresql://h/d?password=x%20y&a=b"), {"x%20y", "x y"})
        self.assertEqual(passwords_of_dsn("postgresql://u@h:5432/d"), set())

    def test_a_hostile_text_costs_no_time(self) -> None:
        """A hundred kilobytes made to confuse the patterns are masked in well under a second of processor time."""
        for unit in ("token", "a://", "x", "password=", '\\"token', "Bearer ", "a.b-", "'token': '\\", "a://b:", "gl"):
            text = unit * (100_000 // len(unit)) + "://token"
            began = time.process_time()
            mask_patterns(text)
            self.assertLess(time.process_time() - began, 1.0, unit)

    @given(st.text())
    def test_any_text_can_be_masked(self, text: str) -> None:
        """Masking takes any text, and masking twice is masking once."""
        once = mask_patterns(text)
        self.assertEqual(mask_patterns(once), once)


class MaskerTests(SynchronousTestCase):
    """What was registered is hidden, whatever it looks like."""

    def setUp(self) -> None:
        self.masker = Masker()
        self.masker.register(SECRET)

    def test_registered_values_are_hidden_in_every_spelling(self) -> None:
        """A value disappears bare, in a URL, in JSON and in a repr, however often it stands there."""
        for form in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET), repr(SECRET), f"{SECRET}{SECRET}"):
            masked = self.masker.mask(f"before {form} after")
            self.assertNotIn("S3cr3t", masked)
            self.assertTrue(masked.startswith("before ") and masked.endswith(" after"), masked)

    def test_the_longest_value_wins(self) -> None:
        """Of two values with one beginning, nothing of the longer one is left."""
        self.masker.register("abcdefgh")
        self.masker.register("abcdefghijkl")
        self.assertEqual(self.masker.mask("x abcdefghijkl y abcdefghi"), "x [hidden] y [hidden]i")

    def test_forgotten_values_are_shown(self) -> None:
        """A replaced token need not be carried for ever; forgetting what is unknown is harmless."""
        self.masker.forget(SECRET)
        self.masker.forget(SECRET)
        self.assertIn(SECRET, self.masker.mask(f"x {SECRET}"))

    def test_short_values_are_not_registered(self) -> None:
        """Hiding every 'abc' would hide the log."""
        self.masker.register("abc")
        self.assertEqual(self.masker.mask("abcabc"), "abcabc")

    @given(st.text(min_size=6), st.text(), st.text())
    def test_no_surroundings_bring_a_value_through(self, value: str, before: str, after: str) -> None:
        """Whatever stands around it, a registered value is not in the masked text."""
        masker = Masker()
        masker.register(value)
        if value not in "[hidden]" and value not in before and value not in after:
            self.assertNotIn(value, masker.mask(f"{before} {value} {after}").replace("[hidden]", "\0"))
