"""What is claimed about the repository itself."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent


class RepositoryTests(SynchronousTestCase):
    """Rules that a reviewer would otherwise have to remember."""

    def test_make_alone_lists_every_target(self) -> None:
        """`make` shows each target that a person may type, with a sentence."""
        shown = subprocess.run(["make", "-C", ROOT, "--no-print-directory"], capture_output=True, text=True).stdout
        phony = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        self.assertEqual([line.split()[1] for line in shown.splitlines()], phony)

    def test_schemas_are_reached_through_a_link(self) -> None:
        """The package reaches the schemas by a relative link, so there is one copy of them in the tree."""
        link = ROOT / "crawlsock" / "schemas"
        if link.is_symlink():  # in an unpacked source distribution it is a copy
            self.assertEqual(os.readlink(link), "../schemas")
        names = [sorted(path.name for path in folder.iterdir()) for folder in (link, ROOT / "schemas")]
        self.assertEqual(names[0], names[1])

    def test_the_plugin_folder_is_no_package(self) -> None:
        """An __init__.py in twisted/ or twisted/plugins/ would hide Twisted or its plugins."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_every_tests_folder_is_a_package(self) -> None:
        """trial finds a test only in a package."""
        folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
        self.assertEqual([str(each) for each in folders if not (each / "__init__.py").exists()], [])

    def test_no_file_is_longer_than_four_hundred_lines(self) -> None:
        """A file above 400 lines is two files."""
        folders = ("crawlsock", "tests", "twisted", "benchmarks")
        modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
        long = {str(p.relative_to(ROOT)): n for p in modules if (n := len(p.read_text().splitlines())) > 400}
        self.assertEqual(long, {})

    def test_importing_the_package_imports_nothing_else(self) -> None:
        """`import crawlsock` costs a crawler nothing: the file has no imports."""
        tree = ast.parse((ROOT / "crawlsock" / "__init__.py").read_text())
        self.assertEqual([node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))], [])

    def test_a_skip_fails_in_continuous_integration(self) -> None:
        """With CI=true a skipped test or module fails and says why; without, it is skipped; xfail stays
        xfail.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        (folder / "test_module.py").write_text("import pytest\npytest.skip('no time', allow_module_level=True)\n")
        (folder / "test_one.py").write_text(
            "import pytest\n"
            "def test_skipped(): pytest.skip('no postgres')\n"
            "@pytest.mark.xfail(reason='known')\n"
            "def test_known(): assert False\n"
        )
        command = (
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            "-rfEsx",
            *("--continue-on-collection-errors", "--rootdir", folder, folder),
        )
        outcomes = []
        for ci in ("true", ""):
            environ = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
            ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
            outcomes.append((ended.returncode != 0, "1 xfailed" in ended.stdout, "no postgres" in ended.stdout))
            self.assertIn("1 failed, 1 xfailed, 1 error" if ci else "2 skipped, 1 xfailed", ended.stdout)
        self.assertEqual(outcomes, [(True, True, True), (False, True, True)])

    def test_extras_name_each_other_correctly(self) -> None:
        """An extra that another one pulls in exists."""
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        extras = config["options.extras_require"]
        named = {
            name
            for text in extras.values()
            for group in re.findall(r"crawlsock\[(.*?)\]", text)
            for name in group.split(",")
        }
        self.assertEqual(named - set(extras), set())
