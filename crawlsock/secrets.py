"""Keep credentials sealed: what the database holds of them opens only with the key in this machine's key file.

The law: encryption at rest and nothing else. A credential is sealed as one value and bound to its account, host and
kind, so a row that was copied to another account does not open there. The key comes from a file that only its owner
may read; it is made at first start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Final

from attrs import asdict, field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crawlsock.config.errors import BAD_CONFIGURATION

_VERSION: Final = 1
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = 1 + _KEY_ID_BYTES + _NONCE_BYTES


class VaultError(Exception):
    """A sealed value does not open, or there is no key; the message says what to do about it."""

    exit_code = BAD_CONFIGURATION


@frozen
class Binding:
    """What a sealed value belongs to."""

    account: str
    host: str
    kind: str

    def encoded(self) -> bytes:
        """Return this as the data that the seal authenticates: no two that differ look the same."""
        return b"".join(
            len(part).to_bytes(4, "big") + part
            for part in (each.encode() for each in ("crawlsock", self.account, self.host, self.kind))
        )


@frozen
class Secrets:
    """What is secret about a credential, in the clear, and what belongs to it; never logged, never sent whole."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    token_url: str | None = None

    def values(self) -> list[str]:
        """Return what must not appear in any log."""
        return [each for each in (self.access_token, self.refresh_token, self.client_secret) if each is not None]


class Vault:
    """Seal and open secrets with AES-256-GCM.

    :param keys: the first seals, all of them open. To rotate, put a new key in front and store credentials again;
        the old key may go when nothing is sealed with it any more.
    :param source: where the keys came from, for error messages.
    """

    def __init__(self, keys: list[bytes], source: str) -> None:
        if not keys:
            raise VaultError(f"{source} holds no key; restore it, or remove it and store all credentials again")
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self._first = key_id(keys[0])
        self._source = source

    @classmethod
    def from_file(cls, path: Path) -> Vault:
        """Read the key file, and make it with mode 0600 when it is not there.

        It holds one key a line, base64. Raises `VaultError` when it cannot be used.
        """
        try:
            text = read_private(path)
        except FileNotFoundError:
            text = _make(path)
        keys = []
        for number, line in enumerate(text.split(), 1):
            try:
                key = base64.b64decode(line, validate=True)
            except binascii.Error:
                key = b""
            if len(key) != _KEY_BYTES:
                raise VaultError(f"{path}, line {number}: this is no key; restore the file from your backup")
            keys.append(key)
        return cls(keys, str(path))

    def seal(self, secrets: Secrets, binding: Binding) -> bytes:
        """Return the secrets sealed: version, key id, nonce, ciphertext with tag."""
        nonce = os.urandom(_NONCE_BYTES)
        header = bytes([_VERSION]) + self._first
        text = json.dumps({name: value for name, value in asdict(secrets).items() if value is not None})
        sealed = self._ciphers[self._first].encrypt(nonce, text.encode(), header + binding.encoded())
        return header + nonce + sealed

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether it is sealed with the first key: one that is not keeps an old key from going."""
        return bytes(sealed[1 : 1 + _KEY_ID_BYTES]) == self._first

    def knows(self, sealed: bytes) -> bool:
        """Tell whether the key that it was sealed with is here; its first five bytes say which."""
        return bytes(sealed[1 : 1 + _KEY_ID_BYTES]) in self._ciphers

    def open(self, sealed: bytes, binding: Binding) -> Secrets:
        """Return the secrets. Raises `VaultError` when the key, or what they are bound to, is another one."""
        sealed = bytes(sealed)
        header, nonce = sealed[: 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES : _HEADER_BYTES]
        cipher = self._ciphers.get(header[1:])
        if len(sealed) < _HEADER_BYTES or header[0] != _VERSION or cipher is None:
            raise VaultError(
                f"the credential of account {binding.account} was sealed with another key than those in "
                f"{self._source}; restore that key file, or store the credential again"
            )
        try:
            text = cipher.decrypt(nonce, sealed[_HEADER_BYTES:], header + binding.encoded())
        except InvalidTag:
            raise VaultError(
                f"the credential of account {binding.account} does not open: it was changed, or sealed for another "
                "account, host or kind; store the credential again"
            ) from None
        return Secrets(**json.loads(text))


def key_id(key: bytes) -> bytes:
    """Return the bytes that name a key in what it sealed; they tell nothing about it."""
    return hashlib.sha256(b"crawlsock key id" + key).digest()[:_KEY_ID_BYTES]


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises `FileNotFoundError` when there is none and `VaultError` when others could read it, or we cannot.
    """
    try:
        with path.open() as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise VaultError(f"{path} has mode {mode:04o} and others could read the key; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"cannot read the key file {path}: {error}") from error


def _make(path: Path) -> str:
    """Make a key file; a server that starts at the same moment reads this one's key instead of making its own."""
    text = base64.b64encode(os.urandom(_KEY_BYTES)).decode() + "\n"
    return write_once(path, text)


def write_once(path: Path, text: str) -> str:
    """Write a new private file whole or not at all; return its text, which is another's when that one was first.

    Raises `VaultError` when it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, unlike a rename, does not replace what is there.
            os.link(partial, path)
        except FileExistsError:
            return read_private(path)
        finally:
            os.unlink(partial)
    except OSError as error:
        raise VaultError(f"cannot write {path}: {error.strerror}; set data_dir to a directory of your own") from error
    return text
