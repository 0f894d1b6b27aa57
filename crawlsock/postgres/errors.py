"""What can go wrong with the embedded PostgreSQL, each with the remedy in its message."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """Say why the embedded PostgreSQL cannot be used; the message names the place and the remedy."""


class BinariesNotFound(EmbeddedPostgresError):
    """No PostgreSQL that is new enough, complete and runnable was found."""


class ClusterVersionMismatch(EmbeddedPostgresError):
    """The existing cluster was made by a major version for which there are no binaries here."""


class ClusterLost(EmbeddedPostgresError):
    """The data directory points to a cluster that is no longer there.

    Making an empty one instead would look like success and lose every job, hence an error.
    """


class StartFailed(EmbeddedPostgresError):
    """initdb failed, or the server ended or stayed silent before it was ready."""
