"""Tell everybody what happened, by reading what was committed.

Nobody publishes: a change and its event are one transaction, and the feed reads events from the store. Here live
reading on (`tail`) and who gets what (`hub`); here must never come: sockets, HTTP, SQL.
"""

from crawlsock.feed.hub import Hub, Subscription
from crawlsock.feed.tail import Tail

__all__ = ["Hub", "Subscription", "Tail"]
