"""`python -m benchmarks`: measure everything, or what is named. One JSON object a line on stdout."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import latency, lifecycle, page_weight, progress, watching
from benchmarks.stage import ROOT, say

MEASUREMENTS: dict[str, Callable[[Path | None], dict[str, Any]]] = {
    "lifecycle": lifecycle.measure,
    "progress": progress.measure,
    "latency": latency.measure,
    "watching": watching.measure,
    "page_weight": page_weight.measure,
}

PROGRAMS = ("hot_path", "crawler_vs_python_gitlab", "jobs_list")
"""Measurements that are programs of their own, with stdout as here; they are run as such."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurements that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*MEASUREMENTS, *PROGRAMS)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(known)}; default all")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="DIRECTORY",
        help="run our server under cProfile: statistics go to stderr and into this directory",
    )
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    if options.profile is not None:
        options.profile.mkdir(parents=True, exist_ok=True)
    default = known if options.profile is None else MEASUREMENTS
    for name in options.names or default:
        say(f"measuring {name}")
        if name in PROGRAMS:
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=True)
            continue
        file = None if options.profile is None else (options.profile / f"{name}.stats").absolute()
        result = MEASUREMENTS[name](file)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
