"""Every error that leaves this package, with the layer that raises it.

::

    DspexError
    ├── CodecError (ValueError)                      etf
    │   ├── EncodeError
    │   │   └── EncodeLimitError (LimitExceeded)
    │   ├── DecodeError
    │   │   ├── TruncatedError (EOFError)
    │   │   └── DecodeLimitError (LimitExceeded)
    │   └── LimitExceeded
    ├── ProtocolError                                wire
    │   ├── LocalProtocolError                       this side asked for an illegal step
    │   └── RemoteProtocolError                      the peer sent what the protocol forbids
    │       └── FrameTooLong                         the one fault that ends a connection
    └── WorkerError                                  runtime
        ├── ConnectionLost (ConnectionError)
        └── WorkerStopping

An error carries fields; its text is made from them, in the form *expected X, got Y, at Z*.
``reason`` is the atom, out of a documented list, that the error bears on the Erlang side.
Errors name types, sizes and places. They never hold the value that was wrong.

Everything that a worker imports before its first answer does without ``typing``, ``dataclasses`` and ``enum``: together they cost
as much as the interpreter's own start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar

__all__ = [
    "CodecError",
    "ConnectionLost",
    "DecodeError",
    "DecodeLimitError",
    "DspexError",
    "EncodeError",
    "EncodeLimitError",
    "FrameTooLong",
    "LimitExceeded",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "TruncatedError",
    "WorkerError",
    "WorkerStopping",
    "format_path",
]

PATH_LENGTH = 16
"""How many steps of a path an error text shows before it is cut."""

KEY_LENGTH = 40
"""How many characters of one map key an error text shows."""


def format_path(steps: Iterable[object]) -> str:
    """The text of a path inside a term, outermost step first.

    A step is an ``int`` (the index in a list or tuple) or a one-element tuple that holds a map key.
    Further steps than :data:`PATH_LENGTH` are cut.

    >>> format_path([0, ("name",), 2])
    "$[0]['name'][2]"
    """
    parts = ["$"]
    for count, step in enumerate(steps):
        if count == PATH_LENGTH:
            parts.append("…")
            break
        parts.append(f"[{step}]" if isinstance(step, int) else f"[{_brief_key(step)}]")
    return "".join(parts)


def _brief_key(step: object) -> str:
    key = step[0] if isinstance(step, tuple) else step
    if not isinstance(key, (str, bytes, int, float)):
        return f"a {type(key).__name__} key"
    # Cut before repr(): the key may be a megabyte long, or an integer of more digits than str() allows.
    if isinstance(key, (str, bytes)):
        text = repr(key[: KEY_LENGTH + 1])
    elif isinstance(key, int) and key.bit_length() > 4 * KEY_LENGTH:
        text = f"an integer of {key.bit_length()} bits"
    else:
        text = repr(key)
    return text if len(text) <= KEY_LENGTH + 3 else text[:KEY_LENGTH] + "…"


class DspexError(Exception):
    """The root of every error that this package raises on purpose."""

    reason: ClassVar[str] = "python_runtime_error"


class CodecError(DspexError, ValueError):
    """A term that cannot be encoded, or bytes that cannot be decoded.

    ``expected`` and ``got`` are phrases; ``path`` says where in the term, ``$`` being its root.
    """

    reason = "serialization_error"

    def __init__(self, expected: str, got: str, path: str = "$") -> None:
        super().__init__(expected, got, path)
        self.expected = expected
        self.got = got
        self.path = path

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}, at {self.path}"


class EncodeError(CodecError):
    """A Python value that has no Erlang counterpart."""


class DecodeError(CodecError):
    """Bytes that are not an external term, or one that has no Python counterpart.

    ``offset`` counts bytes from the start of what was given to the decoder.
    """

    def __init__(self, expected: str, got: str, offset: int = 0, path: str = "$") -> None:
        super().__init__(expected, got, path)
        self.args = (expected, got, offset, path)
        self.offset = offset

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}, at byte {self.offset}, {self.path}"


class TruncatedError(DecodeError, EOFError):
    """The bytes end before the term does: more of them may make it whole."""


class LimitExceeded(CodecError):
    """A stated limit would have been passed. ``limit`` is the name of the argument that raises it."""

    reason = "limit_exceeded"
    limit: str


class EncodeLimitError(EncodeError, LimitExceeded):
    """A value too deep or too large to be sent."""

    reason = "limit_exceeded"

    def __init__(self, limit: str, maximum: int, got: str, path: str = "$") -> None:
        super().__init__(f"at most {maximum} ({limit})", got, path)
        self.args = (limit, maximum, got, path)
        self.limit = limit
        self.maximum = maximum


class DecodeLimitError(DecodeError, LimitExceeded):
    """A term too deep or too large to be received; nothing was allocated for the excess."""

    reason = "limit_exceeded"

    def __init__(self, limit: str, maximum: int, got: str, offset: int = 0, path: str = "$") -> None:
        super().__init__(f"at most {maximum} ({limit})", got, offset, path)
        self.args = (limit, maximum, got, offset, path)
        self.limit = limit
        self.maximum = maximum


class ProtocolError(DspexError):
    """A step that the protocol does not have. ``str()`` names the event, the role and the state."""

    reason = "bad_request"


class LocalProtocolError(ProtocolError):
    """This side asked its own engine for an illegal step; the engine is unchanged."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol forbids; the engine is unchanged and goes on."""


class FrameTooLong(RemoteProtocolError):
    """A frame announces more bytes than allowed, so that the stream cannot be followed any further."""

    reason = "limit_exceeded"

    def __init__(self, length: int, maximum: int) -> None:
        super().__init__(f"expected a frame of at most {maximum} bytes (max_frame), got a length of {length}")
        self.length = length
        self.maximum = maximum


class WorkerError(DspexError):
    """A fault of the process that serves calls."""


class ConnectionLost(WorkerError, ConnectionError):
    """The peer is gone, so that an answer can neither come nor be sent."""

    reason = "process_crashed"


class WorkerStopping(WorkerError):
    """A call came after ``shutdown``."""

    reason = "cancelled"
