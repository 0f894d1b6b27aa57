"""What ``twistd`` needs: the options of ``twistd crawlsock``, and the service made from them.

Configuration that cannot be used ends the process with one line on stderr and exit code 7, here and in
``crawlsock.tac``. The log belongs to the application, so this is also where it is set up: what twistd was
told about logging (``--logfile``, ``--syslog``, a daemon or not) holds for our lines too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import NoReturn, cast

from twisted.application.service import Application, IService, IServiceCollection, MultiService
from twisted.internet.interfaces import IReactorCore
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized

from crawlsock.config import DECLARATIONS, OPTIONS, ConfigError, Loaded, load
from crawlsock.config.errors import suggestion
from crawlsock.logs import Logs, json_line, text_line, to_file, to_stream, to_syslog
from crawlsock.masking import Masker, passwords_of_dsn

_NAME = "crawlsock"


def _refuse(error: object) -> NoReturn:
    sys.stderr.write(f"{_NAME}: {error}\n")
    raise SystemExit(ConfigError.exit_code)


class Options(usage.Options):
    """The options of ``twistd crawlsock``, made from the declarations of the settings."""

    synopsis = "[options]"
    longdesc = (
        "Every option can also be said in the environment (CRAWLSOCK_DATA_DIR for --data-dir) or in a file; "
        "docs/configuration.md has values, defaults and what they mean."
    )
    optParameters = [[spec.flag.removeprefix("--"), None, None, spec.help] for spec in OPTIONS]

    loaded: Loaded

    def parseOptions(self, options: list[str] | None = None) -> None:
        """Parse `options`, and end the process when they cannot be used."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            _refuse(_with_suggestion(str(error)))
        except ConfigError as error:
            _refuse(error)

    def parseArgs(self, *arguments: str) -> None:
        """Refuse arguments: there is nothing that they could mean."""
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} is no option; options begin with --")

    def postOptions(self) -> None:
        """Read the settings, with these options before everything else."""
        given = {spec.key: self[spec.flag.removeprefix("--")] for spec in OPTIONS}
        self.loaded = load(given, os.environ)


def _with_suggestion(complaint: str) -> str:
    """Add the option that was probably meant; getopt only says that there is no such option."""
    words = complaint.split()
    if words[0] == "option" and words[-1] == "recognized":
        return complaint + suggestion(words[1], (spec.flag for spec in OPTIONS))
    return complaint


class _Root(MultiService):
    """Holds the server's service, and gives its log to the application that it is put into.

    twistd makes the application after the service, and asks it for an observer before it starts anything.
    """

    def __init__(self, logs: Logs) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._logs = logs

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join `parent`, an application or another service."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._logs.observer)  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def make_logs(loaded: Loaded, twistd: Mapping[str, object]) -> Logs:
    """Make the log that the settings and twistd's own options ask for; nothing is opened yet."""
    settings = loaded.settings
    masker = Masker()
    for name, declaration in DECLARATIONS.items():
        if declaration.secret:
            for password in passwords_of_dsn(getattr(settings, name) or ""):
                masker.register(password)
    stream = sys.__stdout__
    path = str(twistd.get("logfile") or ("" if twistd.get("nodaemon") else "twistd.log"))
    on_terminal = False
    if twistd.get("syslog"):
        write = to_syslog(str(twistd.get("prefix") or _NAME))
    elif (path and path != "-") or stream is None:
        write = to_file(path)
    else:
        write = to_stream(stream)
        on_terminal = stream.isatty()
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and on_terminal)
    colour = on_terminal and "NO_COLOR" not in os.environ
    line = partial(text_line, masker=masker, colour=colour) if as_text else partial(json_line, masker=masker)
    return Logs(settings.log_level, masker, line, write)


def _twistd_options() -> Mapping[str, object]:
    """Read again what twistd was told; a ``.tac`` file is not handed it."""
    # Here and not above: importing it takes a command line tool into every process that knows our options.
    from twisted.scripts._twistd_unix import ServerOptions

    class Quiet(ServerOptions):
        """The same options, without those that act when they are parsed; they have acted already."""

        def opt_reactor(self, name: str) -> None:
            """Was chosen."""

        def opt_debug(self) -> None:
            """Implies the foreground."""
            self["nodaemon"] = True

        def opt_spew(self) -> None:
            """Was turned on."""

        opt_r = opt_reactor
        opt_b = opt_debug

    options = Quiet()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(sys.argv[1:])  # type: ignore[no-untyped-call]
    except (usage.UsageError, SystemExit):
        # Loaded by something else than twistd, whose arguments are none of our business.
        return {"nodaemon": True}
    return cast("Mapping[str, object]", options)


def _make_root(loaded: Loaded, twistd: Mapping[str, object]) -> _Root:
    # Imported late: twistd asks every plugin for its options, and the server is not needed for that; and the
    # reactor must not be installed before twistd has read which one was asked for.
    from twisted.internet import reactor

    try:
        from crawlsock.service import make_service
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == _NAME:
            raise
        _refuse(f"the server needs {error.name}, which is not installed; pip install '{_NAME}[server]'")

    # twistd sets this umask only when it becomes a daemon, and its --umask comes later than this and wins.
    os.umask(0o077)
    logs = make_logs(loaded, twistd)
    root = _Root(logs)
    make_service(loaded, cast(IReactorCore, reactor), logs).setServiceParent(root)  # type: ignore[no-untyped-call]
    return root


def makeService(options: Options) -> IService:
    """Make the service of ``twistd crawlsock``."""
    parent = cast("Mapping[str, object] | None", getattr(options, "parent", None))
    return _make_root(options.loaded, parent or {"nodaemon": True})


def make_application(environ: Mapping[str, str]) -> Componentized:
    """Make the application of ``crawlsock.tac``, configured by `environ` alone."""
    try:
        loaded = load({}, environ)
    except ConfigError as error:
        _refuse(error)
    application = cast(Componentized, Application(_NAME))  # type: ignore[no-untyped-call]
    _make_root(loaded, _twistd_options()).setServiceParent(cast(IServiceCollection, application))
    return application
