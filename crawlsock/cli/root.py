"""The command itself: its name, its options, and which module has which command.

The law: a command is one row of `COMMANDS`. Its module is imported when the command is called, and not before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

import click

from crawlsock import __version__
from crawlsock.cli.command import Invocation, shared_options
from crawlsock.cli.exits import Exit, verdict

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "Crawl a sample GitLab from end to end, with everything it needs."),
    "submit": ("submit", "Submit a job, or many."),
    "jobs": ("jobs", "List jobs, newest first."),
    "show": ("jobs", "Show a job: attempts, errors, milestones, children."),
    "watch": ("watch", "Watch a crawl until it has ended, and exit with its result."),
    "explain": ("explain", "Tell why a job is not running."),
    "cancel": ("control", "Cancel a job, a job and all below it, or all that match."),
    "retry": ("control", "Queue failed or cancelled jobs again."),
    "pause": ("control", "Pause jobs: they hold at their next checkpoint."),
    "resume": ("control", "Let paused jobs go on."),
    "top": ("top", "Watch everything live: jobs, rates, crawlers, health."),
    "events": ("events", "Print what happens, as it happens."),
    "errors": ("errors", "Show what goes wrong, in groups."),
    "incidents": ("errors", "Show what the server found worth telling somebody."),
    "crawlers": ("crawlers", "List the crawlers and how they are, and steer them."),
    "queue": ("queue", "Show the queues; stop and start giving out jobs."),
    "crawl": ("crawl", "Run a GitLab crawler in the foreground."),
    "account": ("account", "Keep accounts and their credentials."),
    "token": ("token", "Make and revoke the tokens that peers show."),
    "migrate": ("migrate", "Bring the database's schema to this version."),
    "status": ("crawlers", "Show the server's state."),
    "doctor": ("doctor", "Check what can be wrong with an installation."),
    "schema": ("schema", "Show the messages of the protocol."),
    "config": ("config", "Show and change the server's settings."),
}
"""By name: the module below `crawlsock.cli`, and the sentence for the list of commands."""


class LazyGroup(click.Group):
    """A group that knows the names of its commands before it has imported them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that has the command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"crawlsock.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is answered with the nearest."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="crawlsock", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Let a bug show its traceback.")
@shared_options
def root() -> None:
    """Talk to a crawlsock server, run crawlers, try it all with `crawlsock demo`.

    Every option below may also stand after the command. Results go to stdout (one JSON object, or one a line, with
    --json), everything else to stderr.

    Exit codes: 0 done, 1 the job failed, 2 usage, 3 not reachable, 4 conflict, 5 not allowed, 6 timed out,
    7 bad configuration, 8 version mismatch.
    """


def run(arguments: Sequence[str], invocation: Invocation | None = None) -> int:
    """Run one command and return the process's exit code; problems are told on stderr."""
    obj = Invocation() if invocation is None else invocation
    debug = "--debug" in arguments
    try:
        result = root.main(list(arguments), prog_name="crawlsock", standalone_mode=False, obj=obj)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.DONE
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        _complain(_usage(error))
        return Exit.USAGE
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.FAILED
    except Exception as error:
        told = verdict(error)
        if debug and told.line.startswith("a bug"):
            raise
        _complain(told.line)
        return told.code


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "crawlsock"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; see {path} --help"


def _complain(line: str) -> None:
    if line:
        sys.stderr.write(f"crawlsock: {line}\n")
        sys.stderr.flush()
