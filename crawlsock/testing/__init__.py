"""Test crawlers and web applications without a server's database: what is offered here is meant for your
tests too.

`MemoryStore` is a whole store that keeps everything in memory and passes the same contract suite as
PostgreSQL's.
"""

from crawlsock.testing.memory import MemoryStore

__all__ = ["MemoryStore"]
