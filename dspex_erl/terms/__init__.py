"""Erlang terms that have no builtin Python counterpart.

Two families, after the two mappings of :mod:`dspex_erl.etf`: ErlPort's own classes (:class:`ByteAtom`, :class:`List`,
:class:`Map`, :class:`OpaqueObject`), and ours (:class:`Atom`, :class:`Pid` and the rest). Both may be sent in either
mapping. All are immutable and hashable, so that any term can be a key of a map.

This package knows nothing of bytes on a wire; it imports only :mod:`dspex_erl.errors`. The identifiers are loaded at their first use:
they are dataclasses, and importing :mod:`dataclasses` takes as long as starting Python.
"""

from __future__ import annotations

from dspex_erl.terms._atom import Atom, ByteAtom
from dspex_erl.terms._containers import ExactKey, ImproperList, List, Map, MutationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_erl.terms._identifiers import BitString, Export, Fun, OpaqueObject, Pid, Port, Reference

__all__ = [
    "Atom",
    "BitString",
    "ByteAtom",
    "ExactKey",
    "Export",
    "Fun",
    "ImproperList",
    "List",
    "Map",
    "MutationError",
    "OpaqueObject",
    "Pid",
    "Port",
    "Reference",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dspex_erl.terms import _identifiers

    value: object = getattr(_identifiers, name)
    globals()[name] = value
    return value
