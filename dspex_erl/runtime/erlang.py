"""Erlang as user code sees it: the functions of ErlPort's ``erlport.erlang``, bound to the worker that serves this process.

>>> from dspex_erl.runtime.erlang import CallError
>>> error = CallError((Atom("erlang"), Atom("error"), (Atom("no_such_key"), b"answer"), []))
>>> error.value
(Atom('no_such_key'), b'answer')
>>> print(error)
(Atom('erlang'), Atom('error'), (Atom('no_such_key'), "answer"), [])
"""

from __future__ import annotations

import inspect
from itertools import islice
from typing import TYPE_CHECKING, Any

from dspex_erl.errors import DspexError
from dspex_erl.terms import Atom, ByteAtom, List, Map
from dspex_erl.wire import Result, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from dspex_erl.runtime.scheduler import Scheduler

__all__ = ["CallError", "Erlang", "Error"]

_SHOWN_DEPTH = 8
_SHOWN_PARTS = 50
"""How much of a term the text of an error shows."""


class Error(DspexError):
    """The root of ErlPort's own errors."""


class CallError(Error):
    """A call to Erlang failed: ``language``, ``type`` (``error``, ``exit``, ``throw``), ``value`` (the reason), ``stacktrace``.

    Its text is the tuple of the four, as with ErlPort, but for texts, which stand in it as they are and not as lists of numbers or with
    anything escaped: a reason may be the text of an error that came from here, and so on, and each level must add to it and not multiply it.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        if type(value) is not tuple or len(value) != 4:
            value = None, None, value, []
        self.language, self.type, self.value, self.stacktrace = value

    def __str__(self) -> str:
        return _shown(self.args[0])


CallError.__module__ = Error.__module__ = "erlport.erlang"  # the name that reaches Erlang, as with ErlPort


class Erlang:
    """What Python may ask of the Erlang side. Every method may be called from any thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._self: Any = None

    def call(self, module: Any, function: Any, args: list[Any]) -> Any:
        """``module:function(args…)`` in Erlang, in a process of its own.

        Raises ``ValueError`` when module or function are no atoms or ``args`` is no list, ``CallError`` when the call failed.
        """
        for name in (module, function):
            if not isinstance(name, (Atom, ByteAtom)):
                raise ValueError(f"expected an atom, got {type(name).__name__}")
        if not isinstance(args, list):
            raise ValueError(f"expected a list of arguments, got {type(args).__name__}")
        return self._call(module, function, args, Atom("N"))

    def cast(self, destination: Any, message: Any) -> None:
        """Sends ``message`` to a pid, a registered name (an atom) or ``(name, node)``, and does not wait."""
        self._scheduler.channel.send(Send(destination, message))

    def self(self) -> Any:
        """The pid of the Erlang process that owns this worker."""
        if self._self is None:
            self._self = self._call(Atom("erlang"), Atom("self"), [], Atom("L"))
        return self._self

    def make_ref(self) -> Any:
        """A new reference."""
        return self._call(Atom("erlang"), Atom("make_ref"), [], Atom("L"))

    def _call(self, module: Any, function: Any, args: list[Any], context: Atom) -> Any:
        calls = self._scheduler.calls
        answer = self._scheduler.call_erlang(module, function, list(map(calls.encoded, args)), context)
        if type(answer) is not Result:
            raise CallError(answer.error)  # type: ignore[union-attr]
        return answer.value if calls.decoder is None else calls.decoder(answer.value)

    def set_encoder(self, encoder: Callable[[Any], Any]) -> None:
        """From now on ``encoder(value)`` is sent in place of each argument and result."""
        self._scheduler.calls.encoder = _one_argument(encoder)

    def set_decoder(self, decoder: Callable[[Any], Any]) -> None:
        """From now on functions get ``decoder(value)`` in place of each argument, and calls return it in place of each result."""
        self._scheduler.calls.decoder = _one_argument(decoder)

    def set_message_handler(self, handler: Callable[[Any], Any]) -> None:
        """From now on ``handler(message)`` is called for each message that Erlang sends. An error in it ends the instance."""
        self._scheduler.message_handler = _one_argument(handler)

    def set_default_encoder(self) -> None:
        """Values are sent as they are."""
        self._scheduler.calls.encoder = None

    def set_default_decoder(self) -> None:
        """Values come as they are."""
        self._scheduler.calls.decoder = None

    def set_default_message_handler(self) -> None:
        """Messages are ignored."""
        self._scheduler.message_handler = None


def _one_argument(function: Any) -> Any:
    """``function`` if it can be called with one argument. Raises ``TypeError`` or ``ValueError``."""
    if not callable(function):
        raise TypeError(f"expected a function of one argument, got {type(function).__name__}")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise ValueError("expected a function that can be called with a single argument") from None
    except ValueError:
        # Some functions in C tell nothing of their arguments; calling them will.
        pass
    return function


def _shown(term: Any, depth: int = 0) -> str:
    """``term`` for a reader, as Python writes it. Texts in quotes, but nothing in them escaped, or the next level would escape that again."""
    if isinstance(term, (Atom, ByteAtom)):
        return repr(term)
    text = _text(term)
    if text is not None:
        return f'"{text}"'
    kind = type(term)
    if kind not in _FORMS:
        return repr(term)
    if depth == _SHOWN_DEPTH:
        return "…"
    if kind is dict or kind is Map:
        parts = [f"{_shown(key, depth + 1)}: {_shown(value, depth + 1)}" for key, value in islice(term.items(), _SHOWN_PARTS)]
    else:
        parts = [_shown(part, depth + 1) for part in term[:_SHOWN_PARTS]]
    if len(term) > _SHOWN_PARTS:
        parts.append("…")
    return _FORMS[kind].format(", ".join(parts))


_FORMS: dict[type, str] = {tuple: "({})", list: "[{}]", List: "List([{}])", dict: "{{{}}}", Map: "Map({{{}}})"}


def _text(term: Any) -> str | None:
    """The text that ``term`` is: a binary in UTF-8, a ``str``, or a list of characters that can be printed. Otherwise ``None``."""
    if isinstance(term, (Atom, ByteAtom)):
        return None
    if isinstance(term, str):
        return term
    try:
        if isinstance(term, bytes):
            return term.decode("utf-8")
        if type(term) in (list, List) and term:
            text = "".join(map(chr, term))
            return text if all(character.isprintable() or character in "\t\r\n" for character in text) else None
    except (TypeError, ValueError, OverflowError):
        pass
    return None
