"""The server that runs: whether it answers, what version it is, how it says it is, whether its pages are served.

The law: it is asked as any peer asks, over its socket and its port.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from crawlsock import __version__
from crawlsock.cli.doctor.findings import Finding, State, bad, failure, ok, skipped, warn
from crawlsock.cli.doctor.machine import address_of
from crawlsock.cli.exits import Exit
from crawlsock.cli.screen import clean, duration

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager

_PATIENCE: Final = 5.0
_STATES: Final[Mapping[str, State]] = {"ok": "ok", "warn": "warn", "bad": "bad"}
_EXITS: Final[Mapping[str, Exit]] = {"database": Exit.NOT_REACHABLE, "schema": Exit.VERSION_MISMATCH}


async def check_server(make: Callable[[], JobManager]) -> list[Finding]:
    """Ask the server how it is. `make` gives a manager, or raises what is wrong with that."""
    try:
        manager = make()
    except Exception as error:
        return [failure("server", error)]
    try:
        welcome = await manager.start(deadline=_PATIENCE)
        status = await manager.status()
    except Exception as error:
        return [failure("server", error)]
    finally:
        await manager.stop()
    name, version = clean(welcome.server.get("name", "")), clean(welcome.server.get("version", ""))
    found = [ok("server", f"{name} answers, up for {duration(status.get('uptime'))}")]
    if version != __version__:
        found.append(
            bad(
                "version",
                f"the server is version {version}, this command {__version__}",
                "restart the server after an upgrade, or run the command of its installation",
                Exit.VERSION_MISMATCH,
            )
        )
    else:
        found.append(ok("version", f"the server's is this command's, {version}"))
    return found + [finding_of(each) for each in status.get("health") or ()]


def finding_of(check: Mapping[str, Any]) -> Finding:
    """Take over what the server says of itself."""
    name, summary = clean(check["check"]), clean(check["summary"])
    state = _STATES.get(check["state"], "warn")
    exit = _EXITS.get(name, Exit.FAILED) if state == "bad" else Exit.DONE
    remedy = clean(check.get("remedy") or "") if state != "ok" else ""
    return Finding(f"server: {name}", state, summary, remedy, exit)


def check_pages(endpoint: str | None) -> Finding:
    """See that the server's pages are served, and that it calls itself ready."""
    address = None if endpoint is None else address_of(endpoint)
    if endpoint is None or address is None:
        return skipped("pages", "http_endpoint serves none" if endpoint is None else "http_endpoint is no TCP port")
    try:
        status, words = _ask(address, endpoint.startswith("ssl:"), "/readyz")
    except OSError as error:
        remedy = "see 'http port' above; the server's log says why it does not listen"
        return bad("pages", f"/readyz does not answer ({error})", remedy, Exit.NOT_REACHABLE)
    except http.client.HTTPException:
        return bad("pages", "what listens there speaks no HTTP", "set http_endpoint to another port", Exit.CONFLICT)
    if status == 200:
        return ok("pages", "served, and the server is ready")
    if status == 503:
        return warn("pages", f"served, and the server is not ready ({words})", "see the checks of the server above")
    remedy = "another program has that port: set http_endpoint to another"
    return bad("pages", f"/readyz answers {status}, which no crawlsock does", remedy, Exit.CONFLICT)


def _ask(address: tuple[str, int], secure: bool, path: str) -> tuple[int, str]:
    connection: http.client.HTTPConnection
    if secure:
        # Only whether it is there is asked, and nothing told: whose certificate it is does not matter here.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(*address, timeout=_PATIENCE, context=context)
    else:
        connection = http.client.HTTPConnection(*address, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, clean(response.read(2000).decode("utf-8", "replace").strip())[:80]
    finally:
        connection.close()
