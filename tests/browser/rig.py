"""A real server with its web endpoint, the company that furnishes it, and Chromium: shared by the tests of a process.

The law: who is tested runs in processes of its own, and is started as a user would start it. Tests are synchronous:
they ask the browser, the HTTP API and the database, and wait by asking again up to a deadline.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

from attrs import define, field

from tests.integration.postgres import execute, fresh_database, public_temporary_directory
from tests.integration.processes import Child, Children, python, twistd
from tests.integration.second_client import Client

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
)
_POLL_SECONDS: Final = 0.05

T = TypeVar("T")


def missing() -> str | None:
    """Return why the browser's tests cannot run here, or None."""
    if not os.access(CHROMIUM, os.X_OK):
        return "there is no Chromium; on Debian: apt install chromium"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "there is no Playwright; install the `test` extra"
    return None


def until(what: str, ask: Callable[[], T], seconds: float = 20.0) -> T:
    """Ask until the answer is true, and return it; say `what` was not so when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last seen: {answer!r}")
        # Nobody tells when another process is ready.
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@define(eq=False)
class Site:
    """One server on a database of its own. With a company it is furnished, else empty."""

    name: str
    directory: Path = field(factory=public_temporary_directory)
    dsn: str = field(factory=fresh_database)
    port: int = field(factory=free_port)
    made: dict[str, Any] = field(factory=dict)
    server: Child | None = None
    _children: Children = field(init=False)
    _company: Child | None = None

    def __attrs_post_init__(self) -> None:
        self._children = Children(self.directory / "logs")
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.directory / "data" / "run" / "crawlsock.sock"

    def start(self) -> Site:
        """Start the server, and wait until it says that it is ready."""
        settings = {
            "data_dir": self.directory / "data",
            "http_endpoint": f"tcp:{self.port}:interface=127.0.0.1",
            "heartbeat_interval": 1,
            "lease_length": 600,
            "resume_grace": 600,
            "progress_interval": 0.1,
            "reconnect_spread": 0.1,
            "drain_timeout": 2,
            "log_level": "info",
        }
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self.server = self._children.begin(
            self.name, twistd("-n", "--pidfile=", "crawlsock", *options), extra={"DATABASE_URL": self.dsn}
        )
        until(f"{self.name} is ready", lambda: self._ready() or not self._alive(), 40)
        if not self._alive():
            raise AssertionError(f"the server ended instead of serving:\n{self.tails()}")
        return self

    def furnish(self, what: str = "all") -> Site:
        """Let the company come in; return when everything is there. `what`: ``all``, or ``crawler`` for just one."""
        self._company = self._children.begin(
            f"{self.name}-company",
            python("tests.browser.stage", self.socket, self.directory / "data" / "tokens", what),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.made = self._answer()
        return self

    def order(self, do: str, **details: Any) -> Any:
        """Tell the company to do something; return what it answers."""
        assert self._company is not None and self._company.process.stdin is not None
        self._company.process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        self._company.process.stdin.flush()
        return self._answer()

    def hostile(self) -> Site:
        """Let those in whose names are hostile, if they are not there yet."""
        if "hostile" not in self.made:
            self.made.update(self.order("hostile"))
        return self

    def _answer(self) -> Any:
        assert self._company is not None
        line = cast(IO[bytes], self._company.process.stdout).readline()
        answer = json.loads(line) if line else {"error": "it has ended"}
        if "error" in answer:
            raise AssertionError(f"the company: {answer['error']}\n{self.tails()}")
        return answer["result"]

    def token(self, role: str) -> str:
        """Return the token that the server made for a role."""
        return (self.directory / "data" / "tokens" / role).read_text(encoding="utf-8").strip()

    def login(self, role: str, token: str | None = None) -> str:
        """Return a one-time link that signs in with a role, as the command line asks for it."""
        client = Client(self.socket)
        try:
            client.hello(role, token or self.token(role))
            reply = client.ask("login_create")
        finally:
            client.close()
        return str(reply["data"]["url"])

    def api(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """Call the HTTP API as an operator; return the JSON, None for no content; fail on anything from 400."""
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        request.add_header("Authorization", f"Bearer {token or self.token('admin')}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:2000]!r}") from None
        return json.loads(content) if content else None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return cast("list[tuple[Any, ...]]", execute(self.dsn, sql))

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        assert self.server is not None
        self.server.kill()

    def close(self) -> None:
        """End all processes, and remove what they left."""
        self._children.end_all()
        shutil.rmtree(self.directory, ignore_errors=True)

    def tails(self) -> str:
        """Return the last lines of all processes."""
        return self._children.tails()

    def _alive(self) -> bool:
        return self.server is not None and self.server.alive

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@define
class Shared:
    """What the tests of a process share: made when first asked for, ended with the process."""

    sites: dict[str, Site] = field(factory=dict)
    kept: dict[tuple[str, str], Any] = field(factory=dict)
    """Pages that are signed in, by site and role: a new one costs more than a second of processor time."""
    _playwright: Any = None
    _browser: Any = None

    def site(self, name: str) -> Site:
        """Return the server ``furnished``, or ``empty``."""
        if name not in self.sites:
            site = self.sites[name] = Site(name).start()
            if name == "furnished":
                site.furnish()
        return self.sites[name]

    def browser(self) -> Any:
        """Return the running Chromium."""
        if self._browser is None:
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(ARGUMENTS), chromium_sandbox=os.geteuid() != 0
            )
            atexit.register(self.close)
        return self._browser

    def close(self) -> None:
        """End Chromium."""
        self.kept.clear()
        browser, self._browser = self._browser, None
        if browser is not None:
            browser.close()
            self._playwright.stop()


SHARED: Final = Shared()
