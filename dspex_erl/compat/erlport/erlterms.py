"""``erlport.erlterms``: ErlPort's classes, and its codec's functions over ours."""

from dspex_erl.compat._codec import OpaqueObject, decode, encode, encode_term
from dspex_erl.errors import TruncatedError as IncompleteData
from dspex_erl.terms import ByteAtom as Atom
from dspex_erl.terms import ImproperList, List, Map, MutationError

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
