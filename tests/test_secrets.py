"""Sealing credentials."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import attrs
from twisted.trial import unittest

from crawlsock.secrets import Binding, Secrets, Vault, VaultError, read_private, write_once

BINDING = Binding("team", "gitlab.example.com", "oauth")
SECRETS = Secrets("access-1", "refresh-1", "client", "hush", "https://gitlab.example.com/oauth/token")


class SealTests(unittest.TestCase):
    def setUp(self) -> None:
        self.vault = Vault([b"k" * 32], "the test")

    def test_round_trip(self) -> None:
        """What was sealed opens to the same."""
        for secrets in (SECRETS, Secrets("only")):
            self.assertEqual(self.vault.open(self.vault.seal(secrets, BINDING), BINDING), secrets)

    def test_nothing_shows(self) -> None:
        """Neither the sealed bytes nor the object's text show a secret."""
        sealed = self.vault.seal(SECRETS, BINDING)
        for secret in SECRETS.values():
            self.assertNotIn(secret.encode(), sealed)
            self.assertNotIn(secret, repr(SECRETS))

    def test_never_the_same(self) -> None:
        """Sealing twice gives different bytes: who reads the table learns not even what is equal."""
        self.assertNotEqual(self.vault.seal(SECRETS, BINDING), self.vault.seal(SECRETS, BINDING))

    def test_bound(self) -> None:
        """A sealed value opens for its account, host and kind only."""
        sealed = self.vault.seal(SECRETS, BINDING)
        for other in (
            attrs.evolve(BINDING, account="other"),
            attrs.evolve(BINDING, host="evil.example.com"),
            attrs.evolve(BINDING, kind="personal"),
            Binding("teamgitlab.example.com", "", "oauth"),
        ):
            error = self.assertRaises(VaultError, self.vault.open, sealed, other)
            self.assertIn(other.account, str(error))

    def test_every_bit(self) -> None:
        """A sealed value that was changed anywhere does not open."""
        sealed = self.vault.seal(SECRETS, BINDING)
        for position in range(len(sealed)):
            changed = bytearray(sealed)
            changed[position] ^= 1
            self.assertRaises(VaultError, self.vault.open, bytes(changed), BINDING)
        self.assertRaises(VaultError, self.vault.open, b"", BINDING)

    def test_other_key(self) -> None:
        """A value sealed with another key gives an error that names the account and the remedy."""
        sealed = Vault([b"x" * 32], "elsewhere").seal(SECRETS, BINDING)
        error = self.assertRaises(VaultError, self.vault.open, sealed, BINDING)
        self.assertIn("another key", str(error))
        self.assertIn("team", str(error))

    def test_rotation(self) -> None:
        """After a rotation old values open, and new ones are sealed with the new key."""
        old = self.vault.seal(SECRETS, BINDING)
        both = Vault([b"n" * 32, b"k" * 32], "the test")
        self.assertEqual(both.open(old, BINDING), SECRETS)
        new = both.seal(SECRETS, BINDING)
        self.assertRaises(VaultError, self.vault.open, new, BINDING)
        self.assertEqual([both.is_current(each) for each in (old, new)], [False, True])


class KeyFileTests(unittest.TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "deep" / "key"

    def test_first_start(self) -> None:
        """The first start makes a key that only its owner can read, and the second uses it."""
        sealed = Vault.from_file(self.path).seal(SECRETS, BINDING)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(Vault.from_file(self.path).open(sealed, BINDING), SECRETS)
        self.assertEqual(os.listdir(self.path.parent), ["key"])

    def test_readable_by_others(self) -> None:
        """A key that others can read is refused, with the command that mends it."""
        Vault.from_file(self.path)
        self.path.chmod(0o644)
        self.assertIn("chmod 600", str(self.assertRaises(VaultError, Vault.from_file, self.path)))

    def test_no_key(self) -> None:
        """A file that holds no key is refused by its line, and never replaced."""
        self.path.parent.mkdir(parents=True)
        for text in ("not base64!\n", base64.b64encode(b"short").decode(), ""):
            self.path.unlink(missing_ok=True)
            write_once(self.path, text)
            self.assertRaises(VaultError, Vault.from_file, self.path)
            self.assertEqual(read_private(self.path), text)

    def test_write_once(self) -> None:
        """Whoever is second gets what the first has written."""
        self.assertEqual(write_once(self.path, "first"), "first")
        self.assertEqual(write_once(self.path, "second"), "first")

    def test_not_writable(self) -> None:
        """A place where no file can be made is named, with the remedy."""
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_text("a file")
        error = self.assertRaises(VaultError, Vault.from_file, self.path)
        self.assertIn(str(self.path), str(error))
