"""``crawlsock migrate``: bring the database's schema to this version, or say what that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.screen import print_json

if TYPE_CHECKING:
    from crawlsock.store.migrate import Migration

_PATIENCE: Final = 10.0


@click.command(short_help="Bring the database's schema to this version.")
@click.option("--database", metavar="URL", help="The database, without a password; DATABASE_URL may hold one.")
@click.option("--database-url-file", metavar="FILE", help="A file with the database's address.")
@click.option("--check", is_flag=True, help="Change nothing; exit with 4 when something is to be done.")
@pass_invocation
def migrate(invocation: Invocation, database: str | None, database_url_file: str | None, check: bool) -> int:
    """Bring the database's schema to this version. A server does the same when it starts."""
    given = {"database": database, "database_url_file": database_url_file}
    invocation.options.update({name: value for name, value in given.items() if value is not None})
    dsn = invocation.load().settings.database_url
    if dsn is None:
        raise CommandError(
            Exit.BAD_CONFIGURATION,
            "no database is configured; set DATABASE_URL, or name --database "
            "(the embedded one is migrated by its server, at every start)",
        )
    done = invocation.make_runtime().run(lambda reactor: _migrate(reactor, dsn, check))
    if invocation.as_json:
        print_json({"pending" if check else "applied": [each.file_name for each in done]})
    else:
        for each in done:
            click.echo(f"{'to be applied' if check else 'applied'}: {each.file_name}")
        if not done:
            click.echo("the schema is at this program's version")
    return Exit.CONFLICT if check and done else Exit.DONE


async def _migrate(reactor: Any, dsn: str, check: bool) -> tuple[Migration, ...]:
    from twisted.internet.defer import TimeoutError

    from crawlsock import __version__
    from crawlsock.masking import mask_dsn
    from crawlsock.store.database import Database
    from crawlsock.store.migrate import Migrator

    database = Database(reactor, dsn, size=1)
    database.start()
    try:
        up = database.when_up()
        up.addTimeout(_PATIENCE, reactor)
        try:
            await up
        except TimeoutError:
            raise CommandError(
                Exit.NOT_REACHABLE,
                f"{mask_dsn(dsn)} cannot be reached ({database.reason}); see that PostgreSQL runs and takes this login",
            ) from None
        migrator = Migrator(database, __version__)
        return await (migrator.plan() if check else migrator.apply())
    finally:
        await database.stop()
