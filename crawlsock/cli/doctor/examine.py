"""All checks in their order: what others depend on first.

The law: no check ends the examination; what one cannot look at is said to be skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlsock.cli.doctor.files import check_files
from crawlsock.cli.doctor.findings import Finding, bad, failure, ok, skipped
from crawlsock.cli.doctor.machine import check_descriptors, check_embedded, check_port, check_socket, check_unit
from crawlsock.cli.doctor.programs import check_programs
from crawlsock.cli.doctor.server import check_pages, check_server
from crawlsock.cli.exits import Exit
from crawlsock.config import ConfigError, Loaded, Settings

if TYPE_CHECKING:
    from crawlsock.cli.command import Invocation
    from crawlsock.cli.runtime import Runtime


async def examine(reactor: Any, invocation: Invocation, runtime: Runtime, offline: bool) -> list[Finding]:
    """Look at everything. `offline`: do not ask, and do not miss, a server."""
    found = check_programs()
    try:
        loaded = invocation.load()
    except ConfigError as error:
        return [*found, failure("configuration", error), skipped("the rest", "what to look at is not known")]
    settings = loaded.settings
    found.append(_configured(loaded))
    found += check_files(settings)
    found.append(check_descriptors(settings.max_connections))
    socket, server = check_socket(settings)
    found.append(socket)
    found.append(check_port("http port", settings.http_endpoint, server))
    found.append(check_port("tls port", settings.tls_endpoint, server))
    found.append(check_unit())
    embedded, dsn = check_embedded(settings, server)
    found.append(embedded)
    where = settings.database_url or dsn
    if where is None:
        found.append(skipped("database", "there is none to look at yet; see above"))
    else:
        found += await _database(reactor, settings, where, server is not None)
    if offline:
        return found
    named = invocation.endpoint or invocation.environ.get("CRAWLSOCK_CONNECT")
    if server is None and named is None and settings.socket_path is not None:
        remedy = "start it: twistd -n crawlsock (before its first start: crawlsock doctor --offline)"
        found.append(bad("server", "no server runs here", remedy, Exit.NOT_REACHABLE))
        return found
    found += await check_server(lambda: runtime.manager(invocation, "monitor"))
    if server is not None:
        found.append(check_pages(settings.http_endpoint))
    return found


async def _database(reactor: Any, settings: Settings, dsn: str, server_runs: bool) -> list[Finding]:
    try:
        from crawlsock.cli.doctor.database import check_database

        return await check_database(reactor, settings, dsn, server_runs)
    except Exception as error:
        return [failure("database", error)]


def _configured(loaded: Loaded) -> Finding:
    said = [source for source in loaded.sources.values() if source.kind not in ("default", "profile")]
    places = sorted({source.kind for source in said})
    where = f", {len(said)} set by {' and '.join(places)}" if said else ", all of it defaults"
    return ok("configuration", f"valid, profile {loaded.settings.profile}{where}")
