"""The embedded PostgreSQL: a real server for those who have none at hand.

What belongs here: finding programs, making a cluster, starting, adopting, watching and stopping it. What
never comes here: SQL of the application, a database driver, TCP.
"""

from crawlsock.postgres.embedded import Cluster, EmbeddedPostgres
from crawlsock.postgres.errors import (
    BinariesNotFound,
    ClusterLost,
    ClusterVersionMismatch,
    EmbeddedPostgresError,
    StartFailed,
)
from crawlsock.postgres.supervisor import PostgresSupervisor

__all__ = [
    "BinariesNotFound",
    "Cluster",
    "ClusterLost",
    "ClusterVersionMismatch",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "PostgresSupervisor",
    "StartFailed",
]
