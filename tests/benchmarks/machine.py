"""What the numbers were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dspex_erl.etf import IMPLEMENTATION

ROOT = Path(__file__).resolve().parents[2]
_OTP_RELEASE = "io:put_chars(erlang:system_info(otp_release)), halt()."


def facts() -> dict[str, Any]:
    """For the head of the report. Nothing in it is needed to run, so what cannot be found out is left empty."""
    return {
        "cpu": _cpu_model() or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": len(usable_cores()) or os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg()[0],
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "coder": IMPLEMENTATION,
        "otp": _output("erl", "-noshell", "-noinput", "-eval", _OTP_RELEASE),
        "commit": _commit(),
        "packages": {name: _version(name) for name in ("dspex_erl", "msgspec", "orjson")},
    }


def usable_cores() -> list[int]:
    """The cores that this process may run on; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")


def _commit() -> str:
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = commit and _output("git", "-C", str(ROOT), "status", "--porcelain")
    return f"{commit} and changes" if changed else commit


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
