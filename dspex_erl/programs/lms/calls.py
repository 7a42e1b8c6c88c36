"""The adapter's call at hand: which fields a request asks for, for the models that answer without understanding the prompt."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dspy.utils.callback import BaseCallback

__all__ = ["AdapterCall", "Remember", "current_call"]


@dataclass(frozen=True)
class AdapterCall:
    """What the adapter was asked to put into a prompt, and the adapter itself, whose format an answer must have."""

    adapter: Any
    signature: Any
    inputs: dict[str, Any]


_current: ContextVar[AdapterCall | None] = ContextVar("dspex_erl_adapter_call", default=None)


class Remember(BaseCallback):  # type: ignore[misc]
    """A callback that keeps the call at hand where the engine of the same request finds it. It holds nothing itself."""

    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        _current.set(AdapterCall(instance, inputs.get("signature"), dict(inputs.get("inputs") or {})))


def current_call() -> AdapterCall | None:
    """The adapter's call whose request is being answered; ``None`` for a request that no adapter has made."""
    return _current.get()
