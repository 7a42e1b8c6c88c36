"""How the coders say no: one place that makes every error of this package, so that both coders raise the same ones.

The makers below *return* the exception to raise. Errors start with the path ``$``, because whoever finds a fault does not know where in
the term it is; the coder, which does, puts them in their place with :func:`at`. Of a path, the first ``STEPS_SHOWN`` steps
matter, so that a coder need not build more of one that is a million steps deep.
"""

from __future__ import annotations

from dspex_erl.errors import (
    PATH_LENGTH,
    CodecError,
    DecodeError,
    DecodeLimitError,
    EncodeError,
    EncodeLimitError,
    TruncatedError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

STEPS_SHOWN: Final = PATH_LENGTH + 1
"""How many steps of a path are worth collecting: one more than is shown, so that the cut is visible."""

TYPE_NAME_LENGTH: Final = 100
"""How many characters of a type's name an error text shows."""

DECODE_FAULTS: Final = {
    "version": ("the version byte 131", "another byte"),
    "key": ("a key that can be hashed", "{}"),
    "tag": ("a term", "tag {}"),
    "trailing": ("nothing behind the term", "more bytes"),
    "float": ("a finite float", "a NaN or an infinity"),
    "atom_utf8": ("an atom of at most 255 characters", "an invalid name"),
    "atom_length": ("an atom of at most 255 characters", "a longer name"),
    "bits": ("1 to 8 bits in the last byte of a bit string", "{}"),
    "inflated_size": ("as many inflated bytes as announced ({})", "another number"),
    "inflated_data": ("data compressed by zlib", "other bytes"),
    "inflated_trailing": ("one term inside the compressed one", "more bytes"),
}
"""What the decoders may find wrong: the texts for ``expected`` and ``got``, with a place for the detail."""

ENCODE_FAULTS: Final = {
    "surrogate": ("text that UTF-8 can write", "a surrogate"),
    "key_clash": ("keys that differ in Erlang", "two that are the same term"),
    "changed": ("a container that stays as it is", "one whose size changed while it was encoded"),
}
"""What the encoders may find wrong, likewise."""

LIMIT_PHRASES: Final = {
    "max_bytes": "{} bytes",
    "max_depth": "containers {} deep",
    "max_elements": "{} elements",
    "max_atoms": "{} different atoms",
    "max_digits": "an integer of {} bytes",
    "max_inflated": "{} bytes announced",
    "max_same_hash": "{} keys of one hash",
}
"""How a number beyond each limit is put."""


class Refusal(Exception):
    """A fault found by a helper that knows no place. Never leaves the package."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


class Short(Exception):
    """The bytes end inside a term that a helper was reading. Never leaves the package."""


def type_name(value: object) -> str:
    """The name of the type of ``value``, with its module, for an error text.

    >>> type_name(1j)
    'builtins.complex'
    """
    kind = type(value)
    try:
        return f"{kind.__module__}.{kind.__qualname__}"[:TYPE_NAME_LENGTH]
    except Exception:
        # A class may have a metaclass that makes these raise.
        return "a type that hides its name"


def decode_error(what: str, detail: object, offset: int) -> DecodeError:
    """The error for the fault ``what`` of :data:`DECODE_FAULTS`, at ``offset``."""
    expected, got = DECODE_FAULTS[what]
    return DecodeError(expected.format(detail), got.format(detail), offset)


def truncated(size: int) -> TruncatedError:
    """The error for bytes that end, at ``size``, before the term does."""
    return TruncatedError("a whole term", "the end of the bytes", size)


def decode_limit(limit: str, maximum: int, number: int, offset: int) -> DecodeLimitError:
    """The error for a term that would take ``number`` where ``limit`` allows ``maximum``."""
    return DecodeLimitError(limit, maximum, LIMIT_PHRASES[limit].format(number), offset)


def encode_error(what: str, detail: object) -> EncodeError:
    """The error for the fault ``what`` of :data:`ENCODE_FAULTS`. Of ``detail`` only the type is told."""
    expected, got = ENCODE_FAULTS[what]
    return EncodeError(expected, got.format(type_name(detail)))


def encode_limit(limit: str, maximum: int, number: int) -> EncodeLimitError:
    """The error for a value that would take ``number`` where ``limit`` allows ``maximum``."""
    return EncodeLimitError(limit, maximum, LIMIT_PHRASES[limit].format(number))


def at(error: CodecError, path: str, offset: int | None = None) -> CodecError:
    """``error`` with its place: ``path`` goes before the path it has.

    ``offset`` is given for an error inside a compressed term, and is where that starts: a place in the inflated bytes means nothing to
    the caller, and no more bytes can mend a term that ends inside them, so that it is not truncated but wrong.

    >>> str(at(truncated(7), "$[1]"))
    'expected a whole term, got the end of the bytes, at byte 7, $[1]'
    """
    if offset is not None:
        assert isinstance(error, DecodeError)
        if isinstance(error, TruncatedError):
            error = DecodeError("a whole term inside the compressed one", "its end", offset, error.path)
        error.offset = offset
        error.args = (*error.args[:-2], offset, error.path)
    error.path = path + error.path[1:]
    error.args = (*error.args[:-1], error.path)
    return error
