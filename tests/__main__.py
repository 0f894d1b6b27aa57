"""Run all tests as two pytest processes side by side: ``python -m tests``, which is what ``make test`` does.

Tests that start and kill whole services mostly wait, and so do those that look at the page in a browser; the others
mostly compute. Together they take two thirds as long. With arguments, one pytest runs with just these.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CASES = ("tests.integration.fault_case", "tests.integration.web_case")
"""Whose users start whole services."""


def waiting() -> list[str]:
    """Return the test files whose cases start whole services, and after them the folder of the browser's tests."""
    files = sorted((HERE / "integration").glob("test_*.py"))
    whole = [file for file in files if any(case in file.read_text(encoding="utf-8") for case in CASES)]
    return [str(path.relative_to(ROOT)) for path in (*whole, HERE / "browser")]


def main(arguments: list[str]) -> int:
    """Run the tests; return the exit code: 0 when all passed."""
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*pytest, *arguments], cwd=ROOT, check=False).returncode
    files = waiting()
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen([*pytest, *files], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            rest = subprocess.run([*pytest, *(f"--ignore={file}" for file in files)], cwd=ROOT, check=False)
        finally:
            code = beside.wait()
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return rest.returncode or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
