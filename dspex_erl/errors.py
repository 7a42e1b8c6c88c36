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
    ├── WorkerError                                  runtime
    │   ├── ConnectionLost (ConnectionError)
    │   └── WorkerStopping
    ├── RequestError                                 sessions and programs: the caller asked for what cannot be done
    │   ├── BadRequest, BadSignature, BadInput, UnknownModule, UnknownCommand, SnapshotInvalid
    │   ├── SessionNotFound, SessionExists, SessionLimit
    │   └── ProgramNotFound, ProgramExists, ProgramLimit
    ├── LMError                                      programs: the language model, or the way to it
    │   └── RateLimited, LMAuth, LMUnavailable, LMRefused, ContextWindow, LMParse
    └── ProgramError                                 programs: a run that ended otherwise
        └── ProgramFailed, ImportFailed, TimeoutExpired (TimeoutError), Cancelled

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
    "BadInput",
    "BadRequest",
    "BadSignature",
    "Cancelled",
    "CodecError",
    "ConnectionLost",
    "ContextWindow",
    "DecodeError",
    "DecodeLimitError",
    "DspexError",
    "EncodeError",
    "EncodeLimitError",
    "FrameTooLong",
    "ImportFailed",
    "LMAuth",
    "LMError",
    "LMParse",
    "LMRefused",
    "LMUnavailable",
    "LimitExceeded",
    "LocalProtocolError",
    "ProgramError",
    "ProgramExists",
    "ProgramFailed",
    "ProgramLimit",
    "ProgramNotFound",
    "ProtocolError",
    "RateLimited",
    "RemoteProtocolError",
    "RequestError",
    "SessionExists",
    "SessionLimit",
    "SessionNotFound",
    "SnapshotInvalid",
    "TimeoutExpired",
    "TruncatedError",
    "UnknownCommand",
    "UnknownModule",
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
    """The root of every error that this package raises on purpose.

    ``reason``, ``error_type`` and ``recovery_strategy`` are what a caller in Elixir finds in the fields of those names.
    """

    reason: ClassVar[str] = "python_runtime_error"
    error_type: ClassVar[str] = "python_runtime_error"
    recovery_strategy: ClassVar[str] = "fatal"


class CodecError(DspexError, ValueError):
    """A term that cannot be encoded, or bytes that cannot be decoded.

    ``expected`` and ``got`` are phrases; ``path`` says where in the term, ``$`` being its root.
    """

    reason = "serialization_error"
    error_type = "serialization_error"

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
    error_type = "process_crashed"
    recovery_strategy = "restart_process"


class WorkerStopping(WorkerError):
    """A call came after ``shutdown``."""

    reason = "cancelled"
    recovery_strategy = "retry"


class RequestError(DspexError):
    """What the caller asked for cannot be done, now or as asked. Nothing was changed by the asking."""

    reason = "bad_request"
    error_type = "bad_request"


class BadRequest(RequestError):
    """An argument is missing, of the wrong type or out of range."""


class UnknownCommand(RequestError):
    """A command or message that this version does not have."""

    reason = "unknown_command"


class BadSignature(RequestError):
    """A signature that cannot be read: its form, a type, or the name of a field."""

    reason = "bad_signature"


class BadInput(RequestError):
    """An input of a program is missing, unknown, or not of its declared type."""

    reason = "bad_input"


class UnknownModule(RequestError):
    """A module of programs that nobody registered."""

    reason = "unknown_module"


class SnapshotInvalid(RequestError):
    """A snapshot that is not one, or whose programs do not match their fingerprints."""

    reason = "snapshot_invalid"


class SessionNotFound(RequestError):
    """No session has this id."""

    reason = "session_not_found"


class SessionExists(RequestError):
    """A session has this id already; it is untouched."""

    reason = "session_exists"


class SessionLimit(RequestError):
    """The worker has as many sessions as it may have."""

    reason = "session_limit"


class ProgramNotFound(RequestError):
    """The session has no program of this id."""

    reason = "program_not_found"


class ProgramExists(RequestError):
    """The session has a program of this id already; it is untouched."""

    reason = "program_exists"


class ProgramLimit(RequestError):
    """The session has as many programs as it may have."""

    reason = "program_limit"


class LMError(DspexError):
    """The language model, or the way to it, failed. ``retry_after_ms`` is set if the model's server said when to come back."""

    reason = "lm_unavailable"
    error_type = "lm_error"
    recovery_strategy = "fallback"

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class RateLimited(LMError):
    """The model's server asks for fewer requests."""

    reason = "rate_limited"
    recovery_strategy = "retry"


class LMAuth(LMError):
    """The key is missing, wrong, or not paid for."""

    reason = "lm_auth"
    recovery_strategy = "fatal"


class LMUnavailable(LMError):
    """The model's server cannot be reached, failed, or took too long."""

    recovery_strategy = "retry"


class LMRefused(LMError):
    """The model's server refuses this request as it is."""

    reason = "lm_refused"


class ContextWindow(LMError):
    """The prompt is longer than the model can read."""

    reason = "context_window"


class LMParse(LMError):
    """The model answered, but not with the fields and types that the signature asks for."""

    reason = "lm_parse"
    recovery_strategy = "retry"


class ProgramError(DspexError):
    """A run of a program that ended without a result, though neither the caller nor the model is to blame."""


class ProgramFailed(ProgramError):
    """The program itself raised. The exception that it raised is the cause."""


class ImportFailed(ProgramError):
    """A module that the program needs cannot be imported."""

    reason = "import_error"
    error_type = "import_error"


class TimeoutExpired(ProgramError, TimeoutError):
    """The run did not end by its deadline, and was stopped."""

    reason = "timeout_error"
    error_type = "timeout_error"
    recovery_strategy = "retry"


class Cancelled(ProgramError):
    """The run was stopped because its session or its caller went away."""

    reason = "cancelled"
