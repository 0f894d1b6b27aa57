"""A sample GitLab: deterministic data of any size behind GitLab's REST API v4.

``Dataset`` holds the data and counts it, ``SampleGitLab`` serves it, ``Options`` and ``Faults`` say how well
it behaves. ``python -m crawlsock.demo.gitlab --help`` runs one as a process of its own.
"""

from __future__ import annotations

from crawlsock.demo.gitlab.dataset import Dataset, Refusal
from crawlsock.demo.gitlab.kinds import ENDPOINTS, Kind
from crawlsock.demo.gitlab.options import Faults, Options
from crawlsock.demo.gitlab.server import SampleGitLab
from crawlsock.demo.gitlab.statistics import Statistics

__all__ = ["ENDPOINTS", "Dataset", "Faults", "Kind", "Options", "Refusal", "SampleGitLab", "Statistics"]
