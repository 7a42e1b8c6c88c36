"""What one side of a connection tells the other, as values.

Plain slotted classes and not dataclasses: one is made for every frame, and importing :mod:`dataclasses` would double a worker's
start-up time. Nobody changes an event after it was made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_erl.errors import DspexError

__all__ = ["Call", "Event", "Failure", "HandlerFailure", "Invalid", "Message", "Output", "Result", "Send"]


class Event:
    """The base of all events: equal when of one class and with equal fields."""

    __slots__ = ()

    def fields(self) -> tuple[Any, ...]:
        """What goes over the wire after the tag, in order."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.fields() == other.fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.fields()))})"


class Call(Event):
    """Run ``module:function(*args)`` and answer with ``id``.

    ``context`` is ``None`` in a call to Python; in a call to Erlang the atom ``N`` runs it in a process of its own, ``L`` in the
    server's process.
    """

    __slots__ = ("id", "module", "function", "args", "context")

    def __init__(self, id: int, module: Any, function: Any, args: Any, context: Any = None) -> None:
        self.id = id
        self.module = module
        self.function = function
        self.args = args
        self.context = context

    def fields(self) -> tuple[Any, ...]:
        return self.id, self.module, self.function, self.args, self.context


class Result(Event):
    """The value that call ``id`` returned."""

    __slots__ = ("id", "value")

    def __init__(self, id: int, value: Any) -> None:
        self.id = id
        self.value = value

    def fields(self) -> tuple[Any, ...]:
        return self.id, self.value


class Failure(Event):
    """Call ``id`` failed; ``error`` is the term that says how."""

    __slots__ = ("id", "error")

    def __init__(self, id: int, error: Any) -> None:
        self.id = id
        self.error = error

    def fields(self) -> tuple[Any, ...]:
        return self.id, self.error


class HandlerFailure(Event):
    """Python's message handler failed, after which Erlang's side ends the instance."""

    __slots__ = ("error",)

    def __init__(self, error: Any) -> None:
        self.error = error

    def fields(self) -> tuple[Any, ...]:
        return (self.error,)


class Message(Event):
    """A one-way message to Python's message handler."""

    __slots__ = ("payload",)

    def __init__(self, payload: Any) -> None:
        self.payload = payload

    def fields(self) -> tuple[Any, ...]:
        return (self.payload,)


class Send(Event):
    """A one-way message to an Erlang process: a pid, a registered name, or ``{name, node}``."""

    __slots__ = ("destination", "payload")

    def __init__(self, destination: Any, payload: Any) -> None:
        self.destination = destination
        self.payload = payload

    def fields(self) -> tuple[Any, ...]:
        return self.destination, self.payload


class Output(Event):
    """Text that Python printed."""

    __slots__ = ("text",)

    def __init__(self, text: Any) -> None:
        self.text = text

    def fields(self) -> tuple[Any, ...]:
        return (self.text,)


class Invalid(Event):
    """A frame that is no legal event; the connection goes on.

    ``kind`` says what it wanted to be: ``call`` (``id`` waits for an answer and may be sent one), ``answer`` (a call of ours,
    ``id``, will get nothing better than ``error``), or ``frame`` (nobody is concerned; ``id`` is ``None``).
    """

    __slots__ = ("kind", "id", "error")

    def __init__(self, kind: str, id: int | None, error: DspexError) -> None:
        self.kind = kind
        self.id = id
        self.error = error

    def fields(self) -> tuple[Any, ...]:
        return self.kind, self.id, self.error
