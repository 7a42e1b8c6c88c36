"""ErlPort's codec functions over our codec, and the two methods that ErlPort's ``OpaqueObject`` has and ours does not.

Pickles are made and loaded here only where :data:`dspex_erl.compat.pickle_allowed` says so, by the codec alone: nothing in this package
unpickles by itself.
"""

from __future__ import annotations

from dspex_erl import compat
from dspex_erl.etf import Codec
from dspex_erl.terms import ByteAtom, OpaqueObject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["OpaqueObject", "decode", "encode", "encode_term"]

_VERSION = b"\x83"
_DEFAULT_LEVEL = 6
"""What ``compressed=True`` stands for, as in zlib."""


def decode(string: bytes) -> tuple[Any, bytes]:
    """The first term in ``string``, and the bytes after it."""
    term, end = Codec(allow_pickle=compat.pickle_allowed).decode_from(string)
    return term, string[end:]


def encode(term: Any, compressed: bool | int = False) -> bytes:
    """``term`` in the external format; ``compressed`` is a level from 0 to 9, or ``True`` for 6.

    The data of an Erlang ``OpaqueObject`` that is the whole term goes out as it is, as with ErlPort, neither looked at nor compressed.
    Inside another term it must be a term itself, as a broken one would spoil what is around it.
    """
    if type(term) is OpaqueObject and term.language == b"erlang":
        return _VERSION + term.data
    level = _DEFAULT_LEVEL if compressed is True else int(compressed)
    return Codec(allow_pickle=compat.pickle_allowed, compressed=level).encode(term)


def encode_term(term: Any) -> bytes:
    """``term`` without the version byte."""
    return encode(term)[1:]


def _opaque_from(data: bytes, language: ByteAtom) -> Any:
    """What ``data`` of ``language`` stands for: the object itself if it is Python's, an ``OpaqueObject`` otherwise.

    Raises ``TypeError`` for arguments of other types, and ``DecodeError`` for an object of Python's where pickles are not allowed.
    """
    opaque = OpaqueObject(data, language)
    # By way of the codec, so that whether it may be unpickled is decided in one place.
    return decode(encode(opaque))[0] if language == b"python" else opaque


# ErlPort's users expect both on the class itself, and it must be this class, as the decoder makes its instances. But what they do needs
# the codec, which is a layer above the class.
OpaqueObject.decode = staticmethod(_opaque_from)  # type: ignore[attr-defined]
OpaqueObject.encode = encode_term  # type: ignore[attr-defined]
