"""The rules of a session: what may be said on a connection, by whom, and when.

What lives here: the protocol's grammar, as values in and verdicts out, for both ends. What must never come
here: tokens, leases, timers, sockets; who is told what time it is lives elsewhere.

A connection has two directions. In each, messages that ask for an answer carry ids that rise strictly. The
peer's first message is ``hello``; nothing else is heard before ``welcome``. A reply is never replied to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.errors import ErrorCode, InvalidMessage, Refusal
from crawlsock.wire.message import Message

#: Protocol versions that this code speaks.
PROTOCOL_VERSIONS = (1,)
#: Optional abilities that this code has; none in version 1.
FEATURES: tuple[str, ...] = ()
#: Bytes in a frame, before and after ``welcome``.
MAX_FRAME_BEFORE_HELLO = 4096
MAX_FRAME = 1048576
#: Seconds in which ``hello`` must come.
HELLO_TIMEOUT = 5.0


def negotiate(offered: Iterable[int], ours: Sequence[int] = PROTOCOL_VERSIONS) -> int:
    """Return the highest protocol version that both sides speak.

    :raises Refusal: ``unsupported_version``, naming the versions spoken here.
    """
    common = set(offered) & set(ours)
    if common:
        return max(common)
    spoken = ", ".join(map(str, ours))
    sentence = f"no common protocol version: this side speaks {spoken}; upgrade the older side"
    raise Refusal(ErrorCode.UNSUPPORTED_VERSION, sentence, "/data/versions")


def agree(offered: Iterable[str], ours: Iterable[str] = FEATURES) -> tuple[str, ...]:
    """Return the features that both sides have, in alphabetical order."""
    return tuple(sorted(set(offered) & set(ours)))


class Requests:
    """Number the messages that one side sends and expects answers to, and match the answers.

    Holds one small entry for each unanswered message and nothing else.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._replies = {name: frozenset(kind.replies) for name, kind in catalog.types.items()}
        self._pending: dict[int, str] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._pending)

    def opened(self, type: str) -> int:
        """Return the id for the next message, of this type, and expect its answer."""
        self._last += 1
        self._pending[self._last] = type
        return self._last

    def forget(self, id: int) -> None:
        """Expect no answer any more, for instance because its deadline has passed."""
        self._pending.pop(id, None)

    def settle(self, reply: Message) -> tuple[int, ...]:
        """Return the ids that this reply answers, and expect them no more.

        An answer to nothing that is pending is left out: it may simply be late.

        :raises InvalidMessage: the reply is of a type that cannot answer that message.
        """
        settled = []
        for id in reply.answers():
            asked = self._pending.get(id)
            if asked is None:
                continue
            if reply.type != "error" and reply.type not in self._replies[asked]:
                raise InvalidMessage(ErrorCode.INVALID_MESSAGE, f"{reply.type} does not answer {asked}", "/re")
            del self._pending[id]
            settled.append(id)
        return tuple(settled)


class ServerSession:
    """Judge what one peer sends to the server.

    :ivar role: the peer's role once it was welcomed, ``None`` before.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.role: str | None = None
        self._catalog = catalog
        self._allowed: frozenset[str] = frozenset({"hello"})
        self._replies = frozenset(name for name, kind in catalog.types.items() if kind.is_reply)
        self._last = 0

    def welcomed(self, role: str) -> None:
        """Open the session for everything that a role may send."""
        self.role = role
        self._allowed = self._catalog.may_send(role) - {"hello"}

    def expired(self) -> None:
        """Let the peer say ``hello`` again: its session is over, its connection is not."""
        self.role = None
        self._allowed = frozenset({"hello"})

    def received(self, message: Message) -> None:
        """Accept the next message of the peer, or refuse it; a refused one leaves the session as it was.

        :raises Refusal: ``not_authenticated``, ``forbidden``, ``invalid_state`` for a second ``hello``,
            ``invalid_message`` for an id that does not rise.
        """
        id = message.id
        if message.type in self._allowed and id is not None and id > self._last:
            self._last = id
        elif message.type not in self._replies or self.role is None:
            raise self._refusal(message)

    def _refusal(self, message: Message) -> Refusal:
        if self.role is None and message.type != "hello":
            sentence = f"{message.type} came before hello; say hello and wait for welcome"
            return Refusal(ErrorCode.NOT_AUTHENTICATED, sentence, "/type")
        if message.type in self._allowed:
            sentence = f"id must be larger than {self._last}, the last one used on this connection"
            return InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, "/id", message.id)
        if message.type == "hello":
            sentence = "hello was said already; open another connection to say it again"
            return Refusal(ErrorCode.INVALID_STATE, sentence, "/type")
        return Refusal(ErrorCode.FORBIDDEN, f"a {self.role} may not send {message.type}; use another token", "/type")


class ClientSession:
    """Judge what the server sends to one peer.

    :ivar role: the role that this end has.
    """

    def __init__(self, catalog: Catalog, role: str) -> None:
        self.role = role
        self.requests = Requests(catalog)
        self._pushes = frozenset(name for name, kind in catalog.types.items() if role in kind.pushed_to)
        self._replies = frozenset(name for name, kind in catalog.types.items() if kind.is_reply)
        self._welcomed = False
        self._last = 0

    def received(self, message: Message) -> tuple[int, ...]:
        """Accept the server's next message; return the ids of our requests that it answers.

        :raises Refusal: the server broke the rules; the connection is of no further use.
        """
        if message.type in self._replies:
            settled = self.requests.settle(message)
            self._welcomed = self._welcomed or message.type == "welcome"
            return settled
        if not self._welcomed and message.type != "shutdown":
            raise Refusal(ErrorCode.INVALID_STATE, f"the server sent {message.type} before welcome", "/type")
        if message.type not in self._pushes:
            sentence = f"the server sent {message.type}, which is no push to a {self.role}"
            raise Refusal(ErrorCode.FORBIDDEN, sentence, "/type")
        if message.id is not None:
            if message.id <= self._last:
                sentence = f"the server's id {message.id} does not rise above {self._last}"
                raise InvalidMessage(ErrorCode.INVALID_MESSAGE, sentence, "/id", message.id)
            self._last = message.id
        return ()
