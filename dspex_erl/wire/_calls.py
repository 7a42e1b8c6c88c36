"""The short way for what nearly every frame is: a plain call.

:func:`take_calls` cuts the calls off the beginning of what was read, and stops at the first frame that is anything else, however little
is wrong with it. That frame, and all behind it, goes the long way through :class:`~dspex_erl.wire.protocol.Connection`, which
knows every rule; so this module needs to know what is usual, and nothing of what is wrong.

There are two of it with one behaviour: this one, and one in C, in use if the codec is.
"""

from __future__ import annotations

from dspex_erl.etf import IMPLEMENTATION
from dspex_erl.terms import Atom, ByteAtom, List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dspex_erl.wire.events import Call

__all__ = ["ATOMS", "LISTS", "take_calls"]

ATOMS = frozenset((Atom, ByteAtom, type(ByteAtom("\u0100"))))
LISTS = frozenset((list, List))

_TAGS = frozenset((Atom("C"), ByteAtom(b"C")))
_ARITY = 5


def _take_calls(
    decode: Callable[[bytes], Any], data: bytes, packet: int, max_frame: int, in_flight: set[int], call: type[Call], /
) -> tuple[list[Any], int]:
    """The calls at the beginning of ``data``, and the offset of the first frame that is not taken.

    ``decode`` makes a term of a payload; whatever it raises ends the run. ``in_flight`` holds the identifiers that no call may have, and
    gets those of the calls that are taken.
    """
    found: list[Any] = []
    start, size = 0, len(data)
    while size - start >= packet:
        body = start + packet
        length = int.from_bytes(data[start:body], "big")
        if length > max_frame or length > size - body:
            break
        try:
            term = decode(data[body : body + length])
        except Exception:
            break
        if type(term) is not tuple or len(term) != _ARITY:
            break
        tag, id, module, function, args = term
        usual = type(tag) in ATOMS and type(module) in ATOMS and type(function) in ATOMS and type(args) in LISTS
        if not usual or tag not in _TAGS or type(id) is not int or id in in_flight:
            break
        in_flight.add(id)
        found.append(call(id, module, function, args))
        start = body + length
    return found, start


if IMPLEMENTATION == "c":
    from dspex_erl.etf._speedups import take_calls
else:
    take_calls = _take_calls
