"""How much memory this process holds."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["resident_bytes"]


def resident_bytes() -> int:
    """The resident set in bytes: now, where the system says so, else its peak."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
