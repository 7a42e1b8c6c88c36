"""The moment by which a run must be over, for whatever waits on its behalf, and how that is left when it comes.

DSPy retries what failed, and sleeps in between; a run whose time is over, or would be when the sleep is, has to get past that.
What is raised here is therefore no ``Exception``, and :class:`~dspex_erl.programs.execution.Execution` alone catches it.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

import dspy

__all__ = ["Deadline", "GiveUp", "Late", "leave_if_late", "seconds_left"]

LONGEST_PAUSE = 60.0
"""Seconds that DSPy sleeps at most before it tries again, unless the server says how long. It begins with one, and doubles it."""


class Deadline:
    """When a run must be over, as DSPy's setting ``deadline``, which reaches every thread that DSPy starts for the run.

    ``at`` is on ``time.monotonic``'s clock; ``None`` for a run that may take for ever. A run that is stopped is late from then on.
    """

    __slots__ = ("at",)

    def __init__(self, at: float | None) -> None:
        self.at = at

    def __deepcopy__(self, memo: object) -> Deadline:
        # DSPy copies settings for its threads, which work for the same run.
        return self


_tried: ContextVar[tuple[object, int]] = ContextVar("dspex_erl_tried", default=(None, 0))
"""The request that failed last, and how often it did."""


class Late(BaseException):
    """The deadline is over."""


class GiveUp(BaseException):
    """The deadline would be over before another try. ``error`` is why the last one failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def seconds_left() -> float | None:
    """Until the deadline; ``None`` without one. Raises :class:`Late` when it is over."""
    limit = dspy.settings.get("deadline")
    if limit is None or limit.at is None:
        return None
    left: float = limit.at - time.monotonic()
    if left <= 0:
        raise Late
    return left


def leave_if_late(request: object, error: Exception, retry_after: float | None) -> None:
    """Leaves the run if there is no time to try ``request`` again, which failed with ``error``."""
    before, tries = _tried.get()
    tries = tries + 1 if before is request else 0
    _tried.set((request, tries))
    left = seconds_left()
    if left is not None and left <= (min(2.0 ** min(tries, 6), LONGEST_PAUSE) if retry_after is None else retry_after):
        raise GiveUp(error)
