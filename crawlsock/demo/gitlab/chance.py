"""Chance that repeats itself.

Law: whatever looks random in the sample GitLab is a pure function of the seed and of the coordinates of the
thing asked about, never of what was asked before. That is what lets items be computed on demand, in any
order, by any process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


def draw(seed: int, *coordinates: int) -> int:
    """Return 64 bits that depend on the seed and on every coordinate.

    The steps are the finaliser of a multiplicative hash: enough to look unordered, and cheap enough for a
    call an item.
    """
    state = (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
    for coordinate in coordinates:
        state = ((state ^ coordinate) * 0xBF58476D1CE4E5B9) & _MASK
        state ^= state >> 29
    state = (state * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 32)


def pick(options: Sequence[T], bits: int) -> T:
    """Return the option that these bits select."""
    return options[bits % len(options)]


def fraction(bits: int) -> float:
    """Map 64 bits to a number in [0, 1)."""
    return (bits >> 11) / (1 << 53)


def stamp(seconds: int, milliseconds: int = 0) -> str:
    """Format a Unix time the way GitLab's API does: UTC, milliseconds, ``Z``."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"


def zoned_stamp(seconds: int) -> str:
    """Format a Unix time the way GitLab's API formats the dates of commits: with an offset."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.000+00:00"


def day(seconds: int) -> str:
    """Format a Unix time as a calendar day."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
