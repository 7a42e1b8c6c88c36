"""What this worker calls itself, from its options or its environment."""

from __future__ import annotations

import os

__all__ = ["default_session", "mode", "worker_id"]


def default_session() -> str:
    """The session that an envelope without one means: ``--session-id``, else ``DSPEX_SESSION_ID``, else ``default``."""
    return os.environ.get("DSPEX_SESSION_ID") or "default"


def mode() -> str:
    """``--mode``, else ``DSPEX_MODE``, else ``standalone``."""
    return os.environ.get("DSPEX_MODE") or "standalone"


def worker_id() -> str:
    """``DSPEX_WORKER_ID``, else a name made of the process's number."""
    return os.environ.get("DSPEX_WORKER_ID") or f"worker_{os.getpid()}"
