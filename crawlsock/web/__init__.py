"""The web side: HTTP as a second door to the same messages.

The law: what comes over HTTP is held to the same schemas, roles and limits as what comes over a socket, and reaches the
same handlers; only `assembly` knows all parts. Nothing here touches the database but through the store.
"""
