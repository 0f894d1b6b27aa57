"""What is claimed about the distributions: that they are whole, and that each extra is enough for what it is
for.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import crawlsock

ROOT = Path(__file__).parent.parent.parent
NOT_OURS = (
    ".git",
    ".venv",
    ".*_cache",
    "_trial_temp*",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".hypothesis",
)
BUILD = "import sys, setuptools.build_meta as backend; backend.build_{kind}(sys.argv[1])"


def run(*command: str | Path, cwd: Path) -> str:
    """Run `command` with nothing of this checkout on its path; return what it printed, or raise with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRAWLSOCK_", "PYTHON"))}
    ended = subprocess.run(
        command, cwd=cwd, env=kept, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    if ended.returncode:
        raise AssertionError(f"{command} ended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def files_below(*folders: str) -> set[str]:
    """Return the data files that a distribution must hold, relative to the root of the repository."""
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".json", ".sql", ".typed", ".html", ".css", ".js", ".svg"}
    }


@cache
def build() -> tuple[Path, Path, Path]:
    """Build once: the source distribution from a copy of the tree, the wheel from the source distribution.

    (Not in ``setUpClass``, which trial does not call.) Returns their folder, which goes at exit, and the two.
    """
    directory = Path(tempfile.mkdtemp(prefix="crawlsock-wheel-"))
    atexit.register(shutil.rmtree, directory)
    source, unpacked = directory / "source", directory / "unpacked"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*NOT_OURS))
    run(sys.executable, "-c", BUILD.format(kind="sdist"), directory, cwd=source)
    (sdist,) = directory.glob("*.tar.gz")
    unpacked.mkdir()
    run("tar", "xzf", sdist, cwd=unpacked)
    (root,) = unpacked.iterdir()
    run(sys.executable, "-c", BUILD.format(kind="wheel"), directory, cwd=root)
    (wheel,) = directory.glob("*.whl")
    return directory, sdist, wheel


class DistributionTests(SynchronousTestCase):
    """The source distribution, and the wheel made from it."""

    def setUp(self) -> None:
        self.directory, self.sdist, self.wheel = build()

    def environment(self, name: str) -> Path:
        """Make an empty environment and return its folder of programs."""
        run(sys.executable, "-m", "venv", "--without-pip", self.directory / name, cwd=self.directory)
        return self.directory / name / "bin"

    def install(self, programs: Path, extras: str) -> None:
        run(
            *(
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(programs / "python"),
                "--disable-pip-version-check",
            ),
            *("install", "--quiet", f"{self.wheel}{extras}"),
            cwd=self.directory,
        )

    def test_the_wheel_is_whole(self) -> None:
        """The wheel holds every module, schema, statement and migration, the plugin, and no test."""
        with zipfile.ZipFile(self.wheel) as archive:
            held = set(archive.namelist())
        schemas = {f"crawlsock/{name}" for name in files_below("schemas")}
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / "crawlsock").rglob("*.py")}
        wanted = schemas | modules | files_below("crawlsock") | {"twisted/plugins/crawlsock_plugin.py"}
        self.assertEqual(wanted - held, set())
        self.assertGreater(len(schemas), 30)
        foreign = {name for name in held if not name.startswith(("crawlsock/", f"crawlsock-{crawlsock.__version__}"))}
        self.assertEqual(foreign, {"twisted/plugins/crawlsock_plugin.py"})

    def test_the_source_distribution_is_whole(self) -> None:
        """The source distribution holds what is needed to test and to run from it, and nothing that tools
        left.
        """
        with tarfile.open(self.sdist) as archive:
            held = {name.partition("/")[2] for name in archive.getnames()}
        wanted = files_below("schemas", "crawlsock") | {
            *(
                "LICENSE",
                "README.md",
                "CHANGES.md",
                "CONTRIBUTING.md",
                "Makefile",
                "crawlsock.tac",
                "ruff.toml",
            ),
            *(
                "twisted/plugins/crawlsock_plugin.py",
                "docs/configuration.md",
                "tests/integration/test_wheel.py",
            ),
        }
        self.assertEqual(wanted - held, set())
        self.assertEqual({name for name in held if name.endswith((".pyc", "dropin.cache"))}, set())

    def test_what_the_installations_can_do(self) -> None:
        """A bare installation is enough for a crawler and no more; the server extra makes twistd know us."""
        programs = self.environment("bare")
        self.install(programs, "")
        servers_own = ("psycopg2", "txpostgres", "cryptography", "treq", "click")
        imports = (
            "import crawlsock.sdk, crawlsock.wire, importlib.util as util;"
            f"print([name for name in {servers_own!r} if util.find_spec(name)])"
        )
        self.assertEqual(run(programs / "python", "-c", imports, cwd=self.directory), "[]\n")
        for command, extra in ((["crawlsock"], "cli"), (["twistd", "-n", "crawlsock"], "server")):
            program, *options = command
            complaint = subprocess.run(
                [programs / program, *options], cwd=self.directory, capture_output=True, text=True
            )
            self.assertNotEqual(complaint.returncode, 0)
            self.assertIn(f"crawlsock[{extra}]", complaint.stderr)
            self.assertEqual(len(complaint.stderr.splitlines()), 1)

        self.install(programs, "[server]")
        for _ in range(2):  # the second time from the cache of plugins that the first has written
            self.assertIn("    crawlsock ", run(programs / "twistd", "--help", cwd=self.directory))
        known = run(programs / "twistd", "crawlsock", "--help", cwd=self.directory)
        self.assertIn("--lease-length=", known)
        self.assertIn(crawlsock.__version__, run(programs / "crawlsock", "--version", cwd=self.directory))
