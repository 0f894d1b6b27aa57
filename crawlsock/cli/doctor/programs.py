"""What is installed: versions, the parts that extras bring, twistd's plugin.

The law: packages are looked for and not imported, so that a broken one is told and breaks nothing here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from crawlsock import __version__
from crawlsock.cli.doctor.findings import Finding, bad, ok, warn
from crawlsock.cli.exits import Exit

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("txpostgres", "psycopg2", "cryptography", "OpenSSL", "treq", "jinja2", "prometheus_client",
               "standardwebhooks"),
    "gitlab": ("treq", "OpenSSL"),
    "cli": ("click", "rich"),
}  # fmt: skip
"""What each extra must have brought, by the names that are imported."""
_BENEATH: Final = ("Twisted", "attrs", "jsonschema-rs", "orjson", "psycopg2-binary")


def found(name: str) -> bool:
    """Tell whether a package can be imported, by all that one can see without doing it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def check_versions() -> Finding:
    """Say what runs here."""
    parts = [f"crawlsock {__version__}", f"{platform.python_implementation()} {platform.python_version()}"]
    for name in _BENEATH:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ok("versions", ", ".join(parts))


def check_extras(is_there: Callable[[str], bool] = found) -> Finding:
    """See that a server, crawlers and the command line have what they need."""
    missing = {extra: [name for name in names if not is_there(name)] for extra, names in EXTRAS.items()}
    whole = [extra for extra, names in missing.items() if not names]
    partly = {extra: names for extra, names in missing.items() if names and len(names) < len(EXTRAS[extra])}
    if missing["server"]:
        summary = f"a server cannot run here: {', '.join(missing['server'])} missing"
        remedy = "pip install 'crawlsock[server]', unless only crawlers or commands run on this machine"
        if len(missing["server"]) < len(EXTRAS["server"]) - len(EXTRAS["gitlab"]):
            return bad("extras", summary, remedy, Exit.BAD_CONFIGURATION)
        return warn("extras", summary, remedy)
    if partly:
        extra, names = next(iter(partly.items()))
        remedy = f"pip install 'crawlsock[{extra}]'"
        return warn("extras", f"of the extra {extra} {', '.join(names)} is missing", remedy)
    return ok("extras", f"installed: {', '.join(whole)}")


def _plugins() -> Iterator[str]:
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins

    for plugin in getPlugins(IServiceMaker):
        yield plugin.tapname


def check_plugin(plugins: Callable[[], Iterable[str]] = _plugins) -> Finding:
    """See that `twistd crawlsock` is there."""
    remedy = (
        "install crawlsock into the environment that twistd runs from, and run 'twistd --help' once as a user who may "
        "write there: Twisted keeps a list of plugins in twisted/plugins/dropin.cache"
    )
    try:
        names = list(plugins())
    except Exception as error:
        return bad("twistd", f"Twisted's plugins cannot be read ({error})", remedy, Exit.BAD_CONFIGURATION)
    if "crawlsock" not in names:
        return bad("twistd", "twistd does not know the command crawlsock", remedy, Exit.BAD_CONFIGURATION)
    return ok("twistd", "knows the command crawlsock")


def check_programs() -> list[Finding]:
    """Look at all that is installed."""
    checks: tuple[Callable[[], Any], ...] = (check_versions, check_extras, check_plugin)
    return [check() for check in checks]
