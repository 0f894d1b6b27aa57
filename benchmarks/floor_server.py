"""
The floor of the progress measurement: what any Twisted server of this protocol must do, and nothing else.

The stock `NetstringReceiver`, orjson, the compiled schema of `job_progress`, and an ack for every frame. Nothing is
stored, nobody is authenticated. `python -m benchmarks.floor_server PATH`.
"""

from __future__ import annotations

import sys

import orjson
from twisted.internet import endpoints, reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import NetstringReceiver

from crawlsock.wire.catalog import Catalog

IS_VALID = Catalog.load().types["job_progress"].is_valid


class Floor(NetstringReceiver):
    """Parse, check, acknowledge."""

    def stringReceived(self, string: bytes) -> None:
        """Take one frame."""
        document = orjson.loads(string)
        if IS_VALID(document):
            self.sendString(b'{"type":"ack","re":%d}' % document["id"])  # type: ignore[no-untyped-call]
        else:
            self.transport.abortConnection()  # type: ignore[union-attr]


def main() -> None:
    """Serve until ended."""
    endpoint = endpoints.serverFromString(reactor, f"unix:{sys.argv[1]}")  # type: ignore[no-untyped-call]
    endpoint.listen(Factory.forProtocol(Floor))
    reactor.run()


if __name__ == "__main__":
    main()
