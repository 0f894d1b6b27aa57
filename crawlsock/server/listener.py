"""Listening, and everything that has to be right about the socket before the first peer connects.

The law: a path in use by a living server is never taken. A stale one is replaced; the directory is private before the
socket is in it, and the socket never had another mode than the one asked for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, execute, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from crawlsock.config.endpoints import socket_path
from crawlsock.config.errors import BAD_CONFIGURATION

IN_USE: Final = 4
"""Exit code: another server lives at this endpoint."""
BACKLOG: Final = 4096
"""Connects that may wait while the server is busy. With the usual 50, three quarters of 200 fail at once."""
MODE: Final = 0o660
_UMASK: Final = 0o117
_PROBE_SECONDS: Final = 2.0
_NO_FILE: Final = b"\0"
"""A name outside of the file system, which the stock port does not try to remove."""


class ListenError(Exception):
    """A server cannot listen; the message names the place and the remedy.

    `exit_code` is what the process ends with: 4 when another server lives there, otherwise 7.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SocketServer:
    """Listen on an endpoint; a part of the lifecycle.

    Stopping ends the listening and removes the socket; connections are the factory's business.

    :param endpoint: a Twisted server endpoint string. For ``unix:`` its options are read here, because the stock
        endpoint leaves a lock file, or does not start again after the server was killed.
    """

    _log = Logger()

    def __init__(self, reactor: Any, endpoint: str, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._factory = factory
        self._path = socket_path(endpoint)
        self._identity: tuple[int, int] | None = None
        self.port: IListeningPort | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, as it was told."""
        return self._endpoint

    @property
    def serving(self) -> bool:
        """Whether who connects there now reaches this server: it listens, and the path still is its socket's."""
        if self.port is None:
            return False
        return self._path is None or self._identity is None or _identity(self._path) == self._identity

    def start(self) -> Deferred[None]:
        """Listen. Fails with `ListenError`. Again is fine."""
        if self.port is not None:
            return succeed(None)
        if self._path is not None:
            return execute(self._listen_unix, self._path)
        return Deferred.fromCoroutine(self._listen())

    def stop(self) -> Deferred[None]:
        """Listen no more, and remove the socket if it is still this server's. Again is fine."""
        port, self.port = self.port, None
        if port is None:
            return succeed(None)
        identity, self._identity = self._identity, None
        if self._path is not None and identity is not None and _identity(self._path) != identity:
            # Somebody has put another socket there. Twisted would remove whatever has the name.
            self._log.warn("{path} is no longer this server's socket and was left alone", path=str(self._path))
            port._bindPath = _NO_FILE  # type: ignore[attr-defined]
        return maybeDeferred(port.stopListening).addCallback(lambda _: None)

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        self._log.info("Listening on {endpoint}", endpoint=self._endpoint)

    async def _listen(self) -> None:
        endpoint: Any = serverFromString(self._reactor, self._endpoint)  # type: ignore[no-untyped-call]
        try:
            self._listening(await endpoint.listen(self._factory))
        except Exception as error:
            cause = getattr(error, "socketError", error)
            code = IN_USE if getattr(cause, "errno", None) == errno.EADDRINUSE else BAD_CONFIGURATION
            raise ListenError(f"cannot listen on {self._endpoint}: {cause}", code) from error

    def _listen_unix(self, path: Path) -> None:
        make_private_directory(path.parent)
        # Two servers that start at one moment must not both find the same stale socket: the second would remove
        # what the first has just made. The kernel ends this lock with the process, so nothing is left behind.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # The stock port makes the file and then changes its mode; the umask closes the moment in between.
        before = os.umask(_UMASK)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            remove_stale_socket(path)
            port = self._reactor.listenUNIX(os.fspath(path), self._factory, backlog=BACKLOG, mode=_mode(self._endpoint))
        except (CannotListenError, OSError) as error:
            cause = getattr(error, "socketError", error)
            raise ListenError(
                f"cannot make the socket {path}: {cause}; set runtime_dir to a directory of your own",
                BAD_CONFIGURATION,
            ) from error
        finally:
            os.umask(before)
            os.close(directory)
        self._identity = _identity(path)
        self._listening(port)


def make_private_directory(directory: Path) -> None:
    """Make the directory with mode 0700 if it is not there; one that is there keeps its mode.

    One that everybody may write to is refused: anybody could put another socket in our place.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        raise ListenError(
            f"cannot make the directory {directory}: {error.strerror}; set runtime_dir to one of your own",
            BAD_CONFIGURATION,
        ) from error
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise ListenError(
            f"everybody may write to {directory}; take that away with chmod o-w, or set runtime_dir to another one",
            BAD_CONFIGURATION,
        )


def remove_stale_socket(path: Path) -> None:
    """Remove the socket that a killed server left behind.

    Raises `ListenError` when a server answers there, or when what is there is no socket.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(
            f"{path} is no socket and was left alone; remove it, or set runtime_dir to another directory",
            BAD_CONFIGURATION,
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # A full backlog (EAGAIN), a stopped server (timeout): somebody is there, if not at their best.
            # No permission: whoever is there, it is not ours.
            raise ListenError(
                f"{path} seems to be in use ({error.strerror or error}); stop the server that has it", IN_USE
            ) from error
    raise ListenError(f"{path} is in use by another server; stop it, or set runtime_dir to another directory", IN_USE)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mode(endpoint: str) -> int:
    for argument in endpoint.split(":")[1:]:
        if argument.startswith("mode="):
            return int(argument.removeprefix("mode="), 8)
    return MODE
