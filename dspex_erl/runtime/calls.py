"""From a call to its result, and from an exception to the term that describes it.

A call names a module and a function, either of which may be dotted (``os:'path.join'``, ``my_app:'Class.method'``), as ErlPort has it.
Modules are imported at their first call. Whatever a function raises, ``SystemExit`` and ``KeyboardInterrupt`` included, becomes an
error for its caller, and nothing that an exception does while it is described (a broken ``__str__``, a class name of 300
bytes) keeps the caller from getting one.
"""

from __future__ import annotations

import sys

from dspex_erl.terms import Atom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dspex_erl.wire import Call

__all__ = ["Calls", "error_term"]

MESSAGE_LENGTH = 65536
"""The longest message of an exception, in characters, that is sent. The rest says nothing more to a reader."""

_ATOM_LENGTH = 255
_PATHS = 4096
"""How many names of functions are kept split into their parts."""

_UNKNOWN: tuple[str, list[str]] = ("", [])
"""In the place of a name that is not among them; no module is called so."""


class Calls:
    """Runs calls, with the hooks that user code may have set. ``encoder`` and ``decoder`` see each top-level value."""

    def __init__(self) -> None:
        self.encoder: Callable[[Any], Any] | None = None
        self.decoder: Callable[[Any], Any] | None = None
        self._paths: dict[tuple[Any, Any], tuple[str, list[str]]] = {}

    def run(self, call: Call) -> Any:
        """What ``call`` returns, or the coroutine that it began.

        Raises ``ImportError`` and ``AttributeError`` when there is no such function, and whatever importing its module or the function itself
        raises.
        """
        name, attributes = self._paths.get((call.module, call.function), _UNKNOWN)
        function: Any = sys.modules.get(name)
        if function is None:
            function = self._resolve_first(call)
        else:
            for attribute in attributes:
                function = getattr(function, attribute)
        if self.decoder is not None:
            return function(*map(self.decoder, call.args))
        return function(*call.args)

    def encoded(self, value: Any) -> Any:
        """``value`` as the user's encoder hook would have it sent."""
        return value if self.encoder is None else self.encoder(value)

    def _resolve_first(self, call: Call) -> Callable[..., Any]:
        """The function that ``call`` names, by way of an import, which waits if another thread is in the middle of importing the module."""
        name, attributes = call.module.name, call.function.name.split(".")
        target: Any = __import__(name, {}, {}, [attributes[0]])
        for attribute in attributes:
            target = getattr(target, attribute)
        if len(self._paths) < _PATHS:
            self._paths[call.module, call.function] = name, attributes
        return target  # type: ignore[no-any-return]


def error_term(error: BaseException) -> tuple[Any, ...]:
    """``{python, Type, Message, Trace}``, in ErlPort's shape: the trace is a list of texts, innermost frame first."""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__name__}"
    return Atom("python"), Atom(_printable(name)[:_ATOM_LENGTH]), _printable(_message(error)), _trace(error)


def _message(error: BaseException) -> str:
    try:
        text = str(error)[:MESSAGE_LENGTH]
    except BaseException:
        text = f"<{type(error).__name__} that cannot be printed>"
    return text


def _trace(error: BaseException) -> list[str]:
    try:
        from traceback import extract_tb, format_list

        # Turned round before it is formatted, which writes once what repeats, and after it how often.
        lines = format_list(extract_tb(error.__traceback__)[::-1])
    except BaseException:
        return []
    return list(map(_printable, lines))


def _printable(text: str) -> str:
    """``text`` with what UTF-8 cannot write spelled out; also a plain ``str`` where an exception returned a subclass."""
    return str.encode(text, "utf-8", "backslashreplace").decode("utf-8")
