"""The database: reached, recent enough, its schema, our rights in it, its messages, its clock.

The law: it is read, and nothing in it is changed. One connection does, so that a full database can be looked at, too.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from crawlsock.cli.doctor.findings import Finding, bad, failure, ok, skipped, warn
from crawlsock.cli.exits import Exit
from crawlsock.cli.screen import duration
from crawlsock.config import Settings

_PATIENCE: Final = 8.0
_ECHO: Final = 2.0
_APART: Final = 2.0
"""Seconds by which two clocks may differ: events are shown with the database's, logs with the machine's."""
_OLD: Final = 300.0
_CHANNEL: Final = "crawlsock_doctor"
_BESIDE_POOL: Final = 2

_RIGHTS: Final = """
SELECT current_user, current_database(),
       (SELECT pg_has_role(current_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'crawlsock'),
       has_database_privilege(current_database(), 'CREATE')
"""
_ROOM: Final = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crawlsock')
"""
_OLDEST: Final = """
SELECT pid, coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 FROM pg_stat_activity
WHERE backend_xid IS NOT NULL ORDER BY xact_start LIMIT 1
"""
_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_SEALED: Final = (
    "SELECT substring(sealed FROM 1 FOR 5), count(*) FROM crawlsock.account WHERE sealed IS NOT NULL GROUP BY 1"
)


async def check_database(reactor: Any, settings: Settings, dsn: str, server_runs: bool) -> list[Finding]:
    """Look at the database, as far as it lets us."""
    from twisted.internet.defer import TimeoutError

    from crawlsock.masking import mask_dsn
    from crawlsock.store.database import Database

    try:
        database = Database(reactor, dsn, size=1, application_name="crawlsock doctor")
    except Exception as error:
        return [failure("database", error)]
    database.start()
    try:
        up = database.when_up()
        up.addTimeout(_PATIENCE, reactor)
        try:
            await up
        except TimeoutError:
            remedy = "see that PostgreSQL runs and takes this login: address, port, pg_hba.conf, password"
            return [bad("database", f"{mask_dsn(dsn)}: {database.reason}", remedy, Exit.NOT_REACHABLE)]
        except Exception as error:
            return [failure("database", error)]
        found = [ok("database", f"PostgreSQL {database.server_version} at {mask_dsn(dsn)}")]
        checks: Sequence[Callable[[], Coroutine[Any, Any, Finding]]] = (
            lambda: check_schema(database, server_runs),
            lambda: check_rights(database),
            lambda: check_notify(reactor, database),
            lambda: check_clock(reactor, database),
            lambda: check_room(database, settings.database_pool_size, server_runs),
            lambda: check_transactions(database),
            lambda: check_sealed(database, settings.key_file),
        )
        for check in checks:
            found.append(await check())
        return found
    finally:
        await database.stop()


async def check_schema(database: Any, server_runs: bool) -> Finding:
    """See that the schema is this program's."""
    from crawlsock import __version__
    from crawlsock.store.migrate import Migrator, newest_migration

    try:
        pending = await Migrator(database, __version__).plan()
    except Exception as error:
        return failure("schema", error)
    if not pending:
        return ok("schema", f"at version {newest_migration()}")
    summary = f"{len(pending)} of its {newest_migration()} migrations are to be applied, from {pending[0].file_name} on"
    if server_runs:
        return bad("schema", summary, "restart the server, or run 'crawlsock migrate'", Exit.CONFLICT)
    return warn("schema", summary, "the next start does it; or run 'crawlsock migrate'")


async def check_rights(database: Any) -> Finding:
    """See that this login may migrate."""
    try:
        user, name, owns, may_create = (await database.call(_RIGHTS))[0]
    except Exception as error:
        return failure("rights", error)
    if owns:
        return ok("rights", f"{user} owns the schema crawlsock in {name}")
    if owns is None:
        if may_create:
            return ok("rights", f"{user} may make the schema crawlsock in {name}")
        remedy = f"as its owner: CREATE SCHEMA crawlsock AUTHORIZATION {_quoted(user)}"
        return bad("rights", f"{user} may make no schema in {name}", remedy, Exit.NOT_ALLOWED)
    remedy = (
        f"as its owner: ALTER SCHEMA crawlsock OWNER TO {_quoted(user)}, and of the tables in it; or use that login"
    )
    return bad(
        "rights", f"the schema crawlsock in {name} is not {user}'s: it cannot be migrated", remedy, Exit.NOT_ALLOWED
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def check_notify(reactor: Any, database: Any) -> Finding:
    """See that a notification comes back: pooling proxies that change sessions swallow it."""
    from twisted.internet.defer import Deferred, TimeoutError
    from twisted.internet.task import LoopingCall

    heard: Deferred[None] = Deferred()

    def hear(notice: Any) -> None:
        if not heard.called:
            heard.callback(None)

    database.listen(_CHANNEL, hear)

    def shout() -> Any:
        # Again and again: the one that listens may not do so yet.
        return database.call("SELECT pg_notify(%s, 'echo')", (_CHANNEL,)).addErrback(lambda _: None)

    shouting = LoopingCall(shout)
    shouting.clock = reactor
    stopped = shouting.start(0.1)
    heard.addTimeout(_ECHO, reactor)
    try:
        await heard
    except TimeoutError:
        return warn(
            "notify",
            f"no notification came back within {_ECHO:g} s: work reaches other servers only with a poll",
            "connect without a pooling proxy, or let it pool sessions and not transactions",
        )
    finally:
        shouting.stop()
        await stopped
    return ok("notify", "a notification comes back")


async def check_clock(reactor: Any, database: Any) -> Finding:
    """See how far the database's clock is from this machine's."""
    try:
        before = reactor.seconds()
        there = (await database.call(_CLOCK))[0][0]
        after = reactor.seconds()
    except Exception as error:
        return failure("clock", error)
    apart = there - (before + after) / 2
    sure = _APART + (after - before) / 2
    if abs(apart) > sure:
        return warn(
            "clock",
            f"the database's clock is {duration(abs(apart))} {'before' if apart > 0 else 'behind'} this machine's",
            "let both follow NTP (timedatectl): the times in logs and on pages differ by that much",
        )
    return ok("clock", f"the database's is within {duration(max(0.1, abs(apart)))} of this machine's")


async def check_room(database: Any, pool_size: int, server_runs: bool) -> Finding:
    """See that a server finds connections left."""
    try:
        most, used, ours = (await database.call(_ROOM))[0]
    except Exception as error:
        return failure("connections", error)
    needed = 0 if server_runs else pool_size + _BESIDE_POOL
    summary = f"{used} of {most} are used, {ours} of them by servers of crawlsock"
    if most - used < needed:
        remedy = f"a server needs {needed}: raise max_connections in PostgreSQL, or lower database_pool_size"
        return warn("connections", summary, remedy)
    return ok("connections", summary)


async def check_transactions(database: Any) -> Finding:
    """See that no old transaction holds back the feed."""
    try:
        rows = await database.call(_OLDEST)
    except Exception as error:
        return failure("transactions", error)
    if rows and rows[0][1] > _OLD:
        pid, age = rows[0]
        return warn(
            "transactions",
            f"backend {pid} has written for {duration(age)} without an end: events since then are not shown yet",
            f"let it end, or: SELECT pg_terminate_backend({pid})",
        )
    return ok("transactions", "none is open for long")


async def check_sealed(database: Any, key_file: Path) -> Finding:
    """See that the key opens the credentials that are stored."""
    from crawlsock.secrets import Vault

    if not key_file.exists():
        return skipped("credentials", "there is no key yet")
    try:
        vault = Vault.from_file(key_file)
    except Exception:
        return skipped("credentials", "the key cannot be read; see above")
    try:
        rows = await database.call(_SEALED)
    except Exception:
        return skipped("credentials", "there is no table of accounts yet")
    total = sum(count for _, count in rows)
    closed = sum(count for begins, count in rows if not vault.knows(bytes(begins)))
    if closed:
        return bad(
            "credentials",
            f"{closed} of {total} were sealed with a key that {key_file} does not hold",
            "put that key into the file, or store these credentials again (crawlsock account put)",
            Exit.BAD_CONFIGURATION,
        )
    return ok("credentials", f"{total} stored, the key opens all of them" if total else "none stored")
