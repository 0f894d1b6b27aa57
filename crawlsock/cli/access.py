"""Where the server is, and which token to show it.

The law: an option goes before the environment, and that before what the configuration implies. A token is read from
a file or a variable and never from an option, and its text is in no message.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import field, frozen

from crawlsock.cli.command import Invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.config import Loaded
from crawlsock.config.endpoints import escape_argument

_PEOPLE = frozenset({"admin", "webapp", "monitor"})


@frozen
class Access:
    """How to reach the server. `endpoint`: a client endpoint string, or the path of a Unix socket."""

    endpoint: str
    token: str = field(repr=False)
    role: str


def find_access(invocation: Invocation, role: str, *, wait: bool = False) -> Access:
    """Return where to connect and what to show there.

    :param wait: whoever asks will wait for a server that is not there yet.
    :raises CommandError: with the code and the remedy, when the server is plainly not there, or there is no token.
    :raises ConfigError: the configuration cannot be used.
    """
    loaded = invocation.load()
    environ = invocation.environ
    named = invocation.endpoint or environ.get("CRAWLSOCK_CONNECT")
    if named is None:
        endpoint, absent = _own_socket(loaded)
    else:
        endpoint, absent = named, None
    if absent is not None and not wait:
        raise CommandError(Exit.NOT_REACHABLE, absent)
    token = _token(invocation, loaded, role)
    return Access(endpoint, token, _role_of(token, role))


def _role_of(token: str, usual: str) -> str:
    """Return the role that a person's token was made for: it is written in the token, ``cs_<role>_...``.

    What a webapp's token may do is then for the server to say, command by command. Crawlers are no
    people: a crawler's token keeps the role that the command has, and is refused.
    """
    prefix, _, rest = token.partition("_")
    made_for = rest.partition("_")[0]
    return made_for if prefix == "cs" and usual in _PEOPLE and made_for in _PEOPLE else usual


def _own_socket(loaded: Loaded) -> tuple[str, str | None]:
    """Return the endpoint of the configured socket, and a sentence when there is none."""
    path = loaded.settings.socket_path
    if path is None:
        raise CommandError(
            Exit.BAD_CONFIGURATION,
            f"the server's endpoint ({loaded.sources['endpoint']}) is no Unix socket; "
            "say with --endpoint or CRAWLSOCK_CONNECT where to connect",
        )
    absent = None
    try:
        os.stat(path)
    except FileNotFoundError:
        absent = (
            f"no server: there is no socket {path}; start one with 'twistd -n crawlsock', "
            "or say where it is with --data-dir or --endpoint"
        )
    except OSError as error:
        raise CommandError(
            Exit.NOT_ALLOWED,
            f"the socket {path} is out of reach ({error.strerror}); run this as a user that the server lets in",
        ) from None
    return f"unix:{escape_argument(path)}", absent


def _token(invocation: Invocation, loaded: Loaded, role: str) -> str:
    environ = invocation.environ
    named = invocation.token_file or environ.get("CRAWLSOCK_TOKEN_FILE")
    if named is None and environ.get("CRAWLSOCK_TOKEN"):
        return environ["CRAWLSOCK_TOKEN"].strip()
    path = Path(named).expanduser() if named else loaded.settings.tokens_dir / role
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "is not text"
        if named:
            raise CommandError(
                Exit.BAD_CONFIGURATION, f"the token file {path} cannot be read ({reason}); name one that can"
            ) from None
        raise CommandError(
            Exit.NOT_ALLOWED,
            f"the token {path} cannot be read ({reason}); run this as the server's user, or name a token of the role "
            f"{role} with --token-file",
        ) from None
    if not token:
        raise CommandError(Exit.BAD_CONFIGURATION, f"the token file {path} is empty; write a token into it")
    return token
