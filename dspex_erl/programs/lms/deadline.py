"""The moment by which a run must be over, for whatever waits on its behalf, and how that is left when it comes.

DSPy retries what failed, and sleeps in between; a run whose time is over, or would be when the sleep is, has to get past that.
What is raised here is therefore no ``Exception``, and :class:`~dspex_erl.programs.execution.Execution` alone catches it.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

__all__ = ["GiveUp", "Late", "deadline", "leave_if_late", "seconds_left"]

LONGEST_PAUSE = 4.0
"""Seconds that DSPy sleeps before it tries again, unless the server says how long."""

deadline: ContextVar[float | None] = ContextVar("dspex_erl_deadline", default=None)
"""On ``time.monotonic``'s clock; ``None`` for a run that may take for ever."""


class Late(BaseException):
    """The deadline is over."""


class GiveUp(BaseException):
    """The deadline would be over before another try. ``error`` is why the last one failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def seconds_left() -> float | None:
    """Until the deadline; ``None`` without one. Raises :class:`Late` when it is over."""
    limit = deadline.get()
    if limit is None:
        return None
    left = limit - time.monotonic()
    if left <= 0:
        raise Late
    return left


def leave_if_late(error: Exception, retry_after: float | None) -> None:
    """Leaves the run if there is no time for another try after ``error``."""
    left = seconds_left()
    if left is not None and left <= (LONGEST_PAUSE if retry_after is None else retry_after):
        raise GiveUp(error)
