"""``erlport.erlterms``: ErlPort's classes, and its codec's two functions over ours."""

from __future__ import annotations

from typing import Any

from dspex_erl import compat
from dspex_erl.errors import TruncatedError
from dspex_erl.etf import Codec
from dspex_erl.terms import ByteAtom as Atom
from dspex_erl.terms import ImproperList, List, Map, MutationError, OpaqueObject

__all__ = [
    "Atom",
    "ImproperList",
    "IncompleteData",
    "List",
    "Map",
    "MutationError",
    "OpaqueObject",
    "decode",
    "encode",
    "encode_term",
]

IncompleteData = TruncatedError


def decode(string: bytes) -> tuple[Any, bytes]:
    """The first term in ``string``, and the bytes after it."""
    term, end = Codec(allow_pickle=compat.pickle_allowed).decode_from(string)
    return term, string[end:]


def encode(term: Any, compressed: bool | int = False) -> bytes:
    """``term`` in the external format; ``compressed`` is a level from 0 to 9, or ``True`` for 6."""
    level = 6 if compressed is True else int(compressed)
    return Codec(allow_pickle=compat.pickle_allowed, compressed=level).encode(term)


def encode_term(term: Any) -> bytes:
    """``term`` without the version byte."""
    return encode(term)[1:]
