"""``erlport.erlang``: calls, casts and handlers, bound to the worker of this process."""

from __future__ import annotations

from typing import Any

from dspex_erl.runtime.erlang import CallError, Erlang, Error
from dspex_erl.runtime.worker import current

__all__ = [
    "CallError",
    "Error",
    "call",
    "cast",
    "make_ref",
    "self",
    "set_decoder",
    "set_default_decoder",
    "set_default_encoder",
    "set_default_message_handler",
    "set_encoder",
    "set_message_handler",
]

_bound: Erlang | None = None


def __getattr__(name: str) -> Any:
    global _bound
    if name not in __all__:
        raise AttributeError(f"module 'erlport.erlang' has no attribute {name!r}")
    if _bound is None:
        scheduler = current()
        if scheduler is None:
            raise AttributeError(f"expected erlport.erlang.{name} to be used inside a worker, got a process without one")
        _bound = Erlang(scheduler)
    return getattr(_bound, name)
