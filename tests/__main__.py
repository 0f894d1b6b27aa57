"""Run all tests as three pytest processes side by side: ``python -m tests``, which is what ``make test`` does.

Tests that start and kill whole services mostly wait, and so do those that look at the page in a browser and type
commands; the others mostly compute. Together they take half as long. With arguments, one pytest runs with just these.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE = Path(__file__).parent
ROOT = HERE.parent
CASES = ("tests.integration.fault_case", "tests.integration.web_case")
"""Whose users start whole services."""
AS_PEOPLE_DO: Final = (
    "tests/browser",
    "tests/integration/test_cli.py",
    "tests/integration/test_cli_oversight.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_embedded_postgres.py",
)
"""What looks at pages and types commands."""


def waiting() -> list[str]:
    """Return the test files whose cases start whole services."""
    files = sorted((HERE / "integration").glob("test_*.py"))
    whole = [file for file in files if any(case in file.read_text(encoding="utf-8") for case in CASES)]
    return [str(file.relative_to(ROOT)) for file in whole]


def main(arguments: list[str]) -> int:
    """Run the tests; return the exit code: 0 when all passed."""
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*pytest, *arguments], cwd=ROOT, check=False).returncode
    beside = (waiting(), AS_PEOPLE_DO)
    elsewhere = [f"--ignore={path}" for paths in beside for path in paths]
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in beside]
        others = [
            subprocess.Popen([*pytest, *paths], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
            for paths, output in zip(beside, outputs, strict=True)
        ]
        try:
            codes = [subprocess.run([*pytest, *elsewhere], cwd=ROOT, check=False).returncode]
        finally:
            ended = [other.wait() for other in others]
        for output in outputs:
            output.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    return next((code for code in (*codes, *ended) if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
