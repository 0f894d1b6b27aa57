"""What pytest adds to the tests, which are trial test cases and also run under ``trial``.

In continuous integration (``CI=true``) nothing may be skipped: a suite that skips what it cannot find is
green for the wrong reason. So a skip is reported as a failure there, and says what was missing.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

SKIPS_ARE_FAILURES = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def _refuse_skip(report: _Report) -> _Report:
    """Turn a skipped report into a failed one; an expected failure (xfail) is no skip and stays as it is."""
    if SKIPS_ARE_FAILURES and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))
