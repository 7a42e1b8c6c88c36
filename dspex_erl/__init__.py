"""Python, and DSPy above all, for Erlang and Elixir over ports.

The functions here are what Elixir calls (``:python.call(py, :dspex_erl, …)``). Importing this module imports nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["shutdown"]

__version__ = "0.1.0"


def shutdown() -> dict[Any, Any]:
    """Ends the worker that serves this process: running calls finish, new ones are refused, and it exits with status 0.

    Returns ``{status: "stopping"}``. Raises ``WorkerError`` outside a worker.
    """
    from dspex_erl.errors import WorkerError
    from dspex_erl.runtime.worker import current
    from dspex_erl.terms import Atom

    scheduler = current()
    if scheduler is None:
        raise WorkerError("expected shutdown to be called inside a worker, got a process without one")
    scheduler.stop()
    return {Atom("status"): b"stopping"}
