"""The ``crawlsock`` command.

The law of this package: it is a peer like any other. What it knows about jobs it asked over the socket, through the
SDK; it has no way into the store. Modules import only click when they are loaded, and what they need when they run,
so that ``crawlsock --help`` is there at once. What went wrong is one line on stderr that says what to do next, and
an exit code from the one table in ``exits``; never a traceback.
"""

from __future__ import annotations

import sys
from typing import NoReturn

_MISSING = "crawlsock: the command line needs {name}, which is not installed; pip install 'crawlsock[cli]'\n"


def main() -> NoReturn:
    """Run the command of this process's arguments, and end the process with its exit code."""
    try:
        from crawlsock.cli.root import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(_MISSING.format(name=error.name))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    sys.exit(run(sys.argv[1:]))
