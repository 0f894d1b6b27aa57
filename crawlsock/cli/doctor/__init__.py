"""``crawlsock doctor``: what can be wrong with an installation, and the remedy for each.

The law of this package: it looks and changes nothing, needs no server, and says for whatever is wrong what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import clean, console, print_json

if TYPE_CHECKING:
    from crawlsock.cli.doctor.findings import Finding

_SIGNS: Final = {"ok": ("●", "green"), "warn": ("▲", "yellow"), "bad": ("✖", "red"), "skipped": ("·", "dim")}
_WIDEST: Final = 20


@click.command(short_help="Check what can be wrong with an installation.")
@click.option("--database", metavar="URL", help="The database, without a password; DATABASE_URL may hold one.")
@click.option("--database-url-file", metavar="FILE", help="A file with the database's address.")
@click.option("--offline", is_flag=True, help="Do not ask the server, nor miss it: before its first start.")
@pass_invocation
def doctor(invocation: Invocation, database: str | None, database_url_file: str | None, offline: bool) -> int:
    """Check what can be wrong with an installation, and print what to do about it.

    Programs, configuration, files, socket and ports, the database, and the server if it runs. Nothing is changed. Ends
    with 0 when nothing is to mend, else with the code of the first thing that is.
    """
    given = {"database": database, "database_url_file": database_url_file}
    invocation.options.update({name: value for name, value in given.items() if value is not None})
    runtime = invocation.make_runtime()

    async def work(reactor: Any) -> list[Finding]:
        from crawlsock.cli.doctor.examine import examine

        return await examine(reactor, invocation, runtime, offline)

    from crawlsock.cli.doctor.findings import exit_code, summed_up

    found = runtime.run(work)
    code = exit_code(found)
    if invocation.as_json:
        print_json({"ok": code == 0, "exit_code": int(code), "checks": [each.as_json() for each in found]})
    else:
        _print(found)
        click.echo(f"\n{summed_up(found)}")
    return int(code)


def _print(found: Sequence[Finding]) -> None:
    from rich.text import Text

    out = console()
    for each in found:
        sign, style = _SIGNS[each.state]
        line = Text(f"{sign} ", style)
        line.append(f"{clean(each.check):{_WIDEST}} ", "bold" if each.state in ("warn", "bad") else "")
        line.append(clean(each.summary), "dim" if each.state == "skipped" else "")
        out.print(line)
        if each.remedy:
            out.print(Text(f"{' ' * (_WIDEST + 3)}→ {clean(each.remedy)}", style))
