"""Python, and DSPy above all, for Erlang and Elixir over ports.

The functions here are what Elixir calls (``:python.call(py, :dspex_erl, :create_program, […])``); they live in :mod:`dspex_erl.api`
and :mod:`dspex_erl.envelopes`, and are documented there. Importing this module imports nothing else: what a function needs is imported at
its first use, and DSPy when the first program is made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_erl.api import (
        clear_program,
        configure_lm,
        create_program,
        create_session,
        delete_program,
        destroy_session,
        execute_program,
        export_session,
        get_program_info,
        get_session_info,
        get_stats,
        health_check,
        import_session,
        list_programs,
        list_sessions,
        reset_programs,
        reset_state,
        shutdown,
    )
    from dspex_erl.envelopes import cancel, handle_command, handle_message, invoke
    from dspex_erl.programs.modules import register_module, register_reward

__all__ = [
    "cancel",
    "clear_program",
    "configure_lm",
    "create_program",
    "create_session",
    "delete_program",
    "destroy_session",
    "execute_program",
    "export_session",
    "get_program_info",
    "get_session_info",
    "get_stats",
    "handle_command",
    "handle_message",
    "health_check",
    "import_session",
    "invoke",
    "list_programs",
    "list_sessions",
    "register_module",
    "register_reward",
    "reset_programs",
    "reset_state",
    "shutdown",
]

__version__ = "0.1.0"

_ELSEWHERE = {
    "cancel": "dspex_erl.envelopes",
    "handle_command": "dspex_erl.envelopes",
    "handle_message": "dspex_erl.envelopes",
    "invoke": "dspex_erl.envelopes",
    "register_module": "dspex_erl.programs.modules",
    "register_reward": "dspex_erl.programs.modules",
}


def __getattr__(name: str) -> Any:
    """Finds a public function where it lives, at its first use, and keeps it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    function = getattr(import_module(_ELSEWHERE.get(name, "dspex_erl.api")), name)
    globals()[name] = function
    return function
