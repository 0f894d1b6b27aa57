"""The backbone between a web application and the crawlers that work for it.

Importing this package imports nothing else: a crawler that uses ``crawlsock.sdk`` must not pay for the
server, and the server's parts are found by ``crawlsock.service``, the one file that knows everybody.
"""

__version__ = "0.1.0"
