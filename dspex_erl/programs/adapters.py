"""Adapters by name: how a signature becomes a prompt, and an answer becomes values."""

from __future__ import annotations

from typing import Any

from dspex_erl.errors import BadRequest

__all__ = ["ADAPTERS", "build_adapter", "check_adapter"]

ADAPTERS = ("chat", "json", "xml", "completion")
"""``chat`` asks for marked fields and is DSPy's default, ``json`` for an object, ``xml`` for elements, ``completion`` for lines and suits
small models."""


def check_adapter(name: Any) -> str:
    """``name`` if it is an adapter's. Raises :class:`BadRequest`."""
    if not isinstance(name, str) or name not in ADAPTERS:
        got = repr(name[:64]) if isinstance(name, str) else type(name).__name__
        raise BadRequest(f"expected an adapter out of {', '.join(ADAPTERS)}, got {got}, at options.adapter")
    return name


def build_adapter(name: str) -> Any:
    """A new adapter of that name. It holds nothing of a call, so that a session's runs may share it."""
    import dspy

    if name == "completion":
        from dspex_erl.programs.completion import CompletionAdapter

        return CompletionAdapter()
    return {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter, "xml": dspy.XMLAdapter}[name]()
