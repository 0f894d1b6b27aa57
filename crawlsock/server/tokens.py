"""Authentication tokens: how they look, how they are recognised, and the ones made at first start.

The law: a token exists in the clear at its owner's and, for the roles of this machine's user, in a private file. The
store has hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from crawlsock.masking import Masker
from crawlsock.secrets import read_private, write_once
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore
    from crawlsock.store.values import TokenRow

ROLES: Final = ("crawler", "webapp", "monitor", "admin")
_RANDOM_BYTES: Final = 32
_log = Logger()


def new_token(role: str) -> str:
    """Make a token: ``cs_<role>_`` and 256 random bits in 43 characters that need no quoting anywhere."""
    return f"cs_{role}_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def token_hash(token: str) -> bytes:
    """Return what the store knows a token by. A random token of 256 bits needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


async def authenticate(store: IStore, token: str | None, role: str) -> TokenRow:
    """Return the token's row when it exists, has not ended, and was made for `role` (an admin's is for every role).

    Raises `Refusal` ``authentication_failed``, in the same words whatever is wrong with a token.
    """
    if token is None:
        raise Refusal(ErrorCode.AUTHENTICATION_FAILED, "hello needs a token", "/data/token")
    digest = token_hash(token)
    row = await store.token_by_hash(digest)
    if row is None or not hmac.compare_digest(bytes(row.hash), digest) or row.role not in (role, "admin"):
        raise Refusal(
            ErrorCode.AUTHENTICATION_FAILED,
            f"this token is unknown, has ended, or was not made for the role {role}",
            "/data/token",
        )
    return row


async def ensure_tokens(store: IStore, directory: Path, masker: Masker) -> None:
    """Make one token a role at first start, so that commands and crawlers of the same user just work.

    Afterwards each role has a file in `directory`, mode 0600, and the store has its hash. A file that the store does
    not know (its database was replaced) is made known again; one whose token was revoked stays revoked.
    """
    known = {bytes(row.hash) for row in await store.tokens()}
    for role in ROLES:
        path = directory / role
        try:
            token = read_private(path).strip()
        except FileNotFoundError:
            token = write_once(path, new_token(role) + "\n").strip()
            _log.info("A token for the role {role} was written to {path}", role=role, path=str(path))
        masker.register(token)
        if token_hash(token) not in known:
            await store.create_token(role, f"{role} of this machine", token_hash(token), None, None, "server")


async def create_token(
    store: IStore,
    role: str,
    name: str,
    accounts: frozenset[str] | None,
    expires_at: datetime | None,
    actor: str,
) -> tuple[str, str]:
    """Make a token; return it and its id. It is shown this once."""
    token = new_token(role)
    return token, await store.create_token(role, name, token_hash(token), accounts, expires_at, actor)
