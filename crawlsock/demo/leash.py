"""``python -m crawlsock.demo.leash PARENT PROGRAM ...``: become a program that does not outlive its parent.

The law: standard library only, because every child of the demo passes through here. The program runs in a session of
its own, so that Ctrl-C in a terminal reaches the demo alone, which then stops its children in order; and the kernel
sends it SIGTERM when the demo is gone, however that came about.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Bind this process to its parent, then turn into the program."""
    parent, program = int(arguments[0]), arguments[1:]
    os.setsid()
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        pass  # not Linux: children end when the demo stops them
    if os.getppid() != parent:
        sys.exit(1)  # the parent was gone before the kernel knew that we care
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
