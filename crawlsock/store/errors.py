"""What the database can answer besides rows, decided by SQLSTATE.

The law of this module: one table says what a SQLSTATE means for us, and the exception's type carries the
verdict. No driver here: the driver's exceptions end in `database`, at the door.

===================  =======================================================================================
`DatabaseAway`       not reachable, not ready, or too slow; the call surely changed nothing
`CommitUnknown`      the same, but a writing call was on its way: it may have happened. Repeat it, if
idempotent
`Retryable`          the transaction lost against another one; the same again is likely to succeed
`Refused`            the server understood and said no: a bug or bad data; the same again fails again
`Unsuitable`         a server that this program cannot work with (too old)
===================  =======================================================================================
"""

from __future__ import annotations

from typing import Final

DEFAULT_RETRY_AFTER: Final = 1.0


class DatabaseError(Exception):
    """Anything that went wrong between us and the database."""


class DatabaseAway(DatabaseError):
    """The database cannot be used now. What was asked for has surely not happened.

    :param retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, reason: str, retry_after: float = DEFAULT_RETRY_AFTER) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class CommitUnknown(DatabaseAway):
    """The connection was lost while a writing call was under way: committed or not, nobody knows.

    Never answer "failed" to this. Repeat the same idempotent call on a new connection.
    """


class Retryable(DatabaseError):
    """Serialization failure or deadlock (class 40): rolled back, and worth repeating at once."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate
        self.message = message


class Refused(DatabaseError):
    """The server refused the statement; or, with an empty `sqlstate`, the driver did before sending it."""

    def __init__(self, sqlstate: str, message: str, detail: str | None = None) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})" if sqlstate else message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


class Unsuitable(DatabaseError):
    """The server is reachable, and this program cannot work with it."""


# Longest prefix wins. `dead`: the connection is of no use any more. `busy`: the server cannot now, the
# connection is fine. Psycopg2 calls nearly all of these OperationalError, which is why its classes decide
# nothing here.
_VERDICTS: Final[dict[str, str]] = {
    "08": "dead",  # connection exceptions
    "25006": "dead",  # read-only transaction: a failover left us on a standby
    "25P03": "dead",  # idle in transaction for too long
    "25P04": "dead",  # transaction timeout
    "40": "retry",
    "40003": "dead",  # statement completion unknown
    "53": "busy",  # disk full, out of memory, too many connections
    "57P01": "dead",  # administrator's shutdown, or pg_terminate_backend
    "57P02": "dead",  # crash shutdown
    "57P03": "dead",  # cannot connect now: starting up, shutting down, recovering
    "57P04": "dead",  # database dropped
    "57P05": "dead",  # idle session timeout
    "58": "busy",  # errors of the system outside PostgreSQL, such as input and output
}


def verdict(sqlstate: str | None) -> str:
    """Return `dead`, `busy`, `retry` or `refused` for a SQLSTATE; None means dead."""
    if not sqlstate:
        return "dead"
    for length in (5, 2):
        found = _VERDICTS.get(sqlstate[:length])
        if found is not None:
            return found
    return "refused"


def from_sqlstate(sqlstate: str | None, message: str, detail: str | None, *, in_flight_write: bool) -> DatabaseError:
    """Return the exception for what a statement met.

    :param in_flight_write: the statement may have taken effect if the connection died under it.
    """
    decided = verdict(sqlstate)
    if decided == "retry":
        return Retryable(sqlstate or "", message)
    if decided == "refused":
        return Refused(sqlstate or "", message, detail)
    if decided == "dead" and in_flight_write and sqlstate != "25006":
        return CommitUnknown(message)
    return DatabaseAway(message)
