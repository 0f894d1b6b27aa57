"""``crawlsock account``: accounts at GitLab hosts, and the credentials that crawlers use.

The law: a token is read from a file, from stdin or from a variable. There is no option that takes one, because every
user of a machine can read the command lines of all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.screen import moment, print_json, print_table

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.group(short_help="Keep accounts and their credentials.")
def account() -> None:
    """Keep accounts and their credentials."""


def _secret(invocation: Invocation, what: str, file: str | None, variable: str | None) -> str | None:
    """Read a secret from a file (- is stdin) or a variable; None when neither is named."""
    if file is not None and variable is not None:
        raise click.UsageError(f"the {what} is said twice: name a file or a variable")
    if variable is not None:
        text = invocation.environ.get(variable, "").strip()
        place = f"the variable {variable}"
    elif file == "-":
        text, place = sys.stdin.readline().strip(), "stdin"
    elif file is not None:
        place = file
        try:
            text = Path(file).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise CommandError(
                Exit.USAGE, f"cannot read {file} ({reason}); name a file that holds the {what}"
            ) from None
    else:
        return None
    if not text:
        raise CommandError(Exit.USAGE, f"{place} is empty; it must hold the {what}")
    return text


@account.command("put", short_help="Store or renew the credential of an account.")
@click.argument("name")
@click.option("--host", required=True, metavar="HOST", help="The GitLab: a name, a name and port, or a URL.")
@click.option(
    "--kind",
    type=click.Choice(["oauth", "personal"]),
    default="personal",
    show_default=True,
    help="What kind of token.",
)
@click.option("--access-token-file", metavar="FILE", help="File with the access token; - reads a line of stdin.")
@click.option("--access-token-env", metavar="VARIABLE", help="Variable with the access token.")
@click.option("--refresh-token-file", metavar="FILE", help="File with the refresh token (oauth).")
@click.option("--refresh-token-env", metavar="VARIABLE", help="Variable with the refresh token (oauth).")
@click.option("--client-id", metavar="ID", help="Id of the OAuth application.")
@click.option("--client-secret-file", metavar="FILE", help="File with the secret of the OAuth application.")
@click.option("--client-secret-env", metavar="VARIABLE", help="Variable with that secret.")
@click.option("--expires-at", metavar="TIME", help="When the access token expires, RFC 3339.")
@click.option("--token-url", metavar="URL", help="Where tokens are renewed. Default: /oauth/token of the host.")
@pass_invocation
def put(
    invocation: Invocation,
    name: str,
    host: str,
    kind: str,
    access_token_file: str | None,
    access_token_env: str | None,
    refresh_token_file: str | None,
    refresh_token_env: str | None,
    client_id: str | None,
    client_secret_file: str | None,
    client_secret_env: str | None,
    expires_at: str | None,
    token_url: str | None,
) -> None:
    """Store or renew the credential of account NAME. Jobs that waited for one go on.

    \b
    crawlsock account put team --host gitlab.example.com < token.txt
    crawlsock account put team --host gitlab.example.com --kind oauth \\
        --access-token-file access.txt --refresh-token-file refresh.txt
    """
    if access_token_file is None and access_token_env is None:
        if sys.stdin.isatty():
            raise click.UsageError("say where the access token is: --access-token-file, --access-token-env, or stdin")
        access_token_file = "-"
    access_token = _secret(invocation, "access token", access_token_file, access_token_env)
    more = {
        "refresh_token": _secret(invocation, "refresh token", refresh_token_file, refresh_token_env),
        "client_secret": _secret(invocation, "client secret", client_secret_file, client_secret_env),
        "client_id": client_id,
        "expires_at": expires_at,
        "token_url": token_url,
    }

    async def work(manager: JobManager) -> None:
        await manager.credential_put(name, host, kind, access_token or "", **more)

    invocation.ask(work)
    if invocation.as_json:
        print_json({"account": name, "host": host, "kind": kind})
    else:
        click.echo(f"stored the {kind} credential of account {name} at {host}")


@account.command("list", short_help="List accounts and how their credentials are.")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List accounts and how their credentials are; never a secret."""

    async def work(manager: JobManager) -> list[dict[str, Any]]:
        return await manager.accounts()

    found = invocation.ask(work)
    if invocation.as_json:
        for each in found:
            print_json(each)
        return
    print_table(
        ("account", "host", "kind", "state", "generation", "expires", "waiting", "reason"),
        (
            (
                each["account"],
                each.get("host"),
                each.get("kind"),
                each["state"],
                each["generation"],
                moment(each.get("expires_at")),
                each["jobs_waiting"] or "",
                each.get("reason"),
            )
            for each in found
        ),
        "no accounts",
    )
