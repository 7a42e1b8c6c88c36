"""Reads short containers of the usual terms, for the pure decoder: most of what a message consists of.

The decoder's own loop can read everything, keeps a frame for each container that is not finished, and knows where it is when something is
wrong. What is here reads a container, and a few levels of others inside it, by recursion, which is quicker, and gives up at
whatever is out of the ordinary: the loop then reads the same bytes again. So there are no errors here, no paths and no exceptions to
rules. Giving up costs no more than reading once again what was read, because the loop does not come back before it has passed the
place of the trouble.
"""

from __future__ import annotations

import struct as _struct

from dspex_erl.errors import DecodeError
from dspex_erl.etf import _tags as tags
from dspex_erl.etf._buffer import cut
from dspex_erl.etf._containers import frozen_list
from dspex_erl.etf._numbers import FEW_NUMBERS, NUMBERS, read_numbers
from dspex_erl.etf._options import LARGE_BINARY
from dspex_erl.terms import List, Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from dspex_erl.etf._atoms import Atoms
    from dspex_erl.etf._options import Options

LEVELS: Final = 8
"""How many containers inside one another are read at most."""

CONTAINERS: Final = frozenset({tags.SMALL_TUPLE, tags.LIST, tags.MAP})
"""Tags of what is read here."""

SMALLEST_SHAPE, LARGEST_SHAPE, WRONG_GUESSES = 4, 64, 4
"""Maps whose keys are guessed, by twice their number (fewer are not worth it, and Erlang sorts the keys of at most 32), and how often
a guess may be wrong."""

_SHORT = 32
_TURNS: Final = tuple(((b"", 0),) * count for count in range(_SHORT + 1))

_U16 = _struct.Struct(">H").unpack_from
_U32 = _struct.Struct(">I").unpack_from
_I32 = _struct.Struct(">i").unpack_from
_F64 = _struct.Struct(">d").unpack_from

# list.append and dict.update themselves, because List and Map refuse them.
_new_list = list.__new__
_bound_append = list.append.__get__
_new_dict = dict.__new__
_update = dict.update

_EMPTY_LIST = List()


class ShortReader:
    """Reads with fixed options. Holds no state, so that threads may share it."""

    __slots__ = ("_frozen", "_large", "_max_digits", "_max_elements", "_struct_field", "_text", "_views")

    def __init__(self, options: Options) -> None:
        self._text = options.strings == "str"
        self._frozen = not self._text
        self._views = options.view_threshold
        self._large = min(self._views or LARGE_BINARY, LARGE_BINARY)
        self._max_digits = options.max_digits
        self._max_elements = options.max_elements
        # Hooks may raise, and must not be called twice: where one is due, this gives up.
        self._struct_field = ("__struct__" if self._text else b"__struct__") if options.structs else None

    def read_run(
        self,
        data: bytes,
        pos: int,
        elements: int,
        levels: int,
        shapes: dict[int, Any],
        atoms: Atoms,
        fields: list[Any],
        count: int,
        last: int,
    ) -> tuple[int, int]:
        """Adds the containers at ``pos`` to ``fields``, at most ``count``, until something else comes.

        Returns where they end, and ``elements`` with theirs added. ``last`` is where they must start at the latest, so that there is
        at least a byte for each of them and for all that is to come after them.
        """
        add = list.append
        read = self.read
        try:
            for turn in range(count):
                if data[pos] not in CONTAINERS:
                    break
                value, end, total = read(data, pos, elements, levels, shapes, atoms)
                if total < 0 or end > last + turn + 1:
                    break
                add(fields, value)
                pos = end
                elements = total
        except (IndexError, _struct.error, DecodeError):
            pass
        return pos, elements

    # One function for all containers and leaves, as a call for each would double the time. The branches stand in the order of how
    # often messages have them.
    def read(  # noqa: C901
        self, data: bytes, pos: int, elements: int, levels: int, shapes: dict[int, Any], atoms: Atoms
    ) -> tuple[Any, int, int]:
        """The list, tuple or map at ``pos``, where it ends, and ``elements`` with its own added; or None, the place of trouble, and -1.

        May also raise ``IndexError``, ``struct.error`` or ``DecodeError``, or tell an end past that of the data: all these mean
        trouble, too. ``levels`` is how many containers may be inside one another, ``shapes`` what is known of the maps of this
        message, by twice the number of their pairs.
        """
        if not levels:
            return None, pos, -1
        tag = data[pos]
        if tag == 104:
            more = data[pos + 1]
            end = pos + 2
        else:
            more = _U32(data, pos + 1)[0]
            end = pos + 5
        guess: Any = None
        pairs: Any
        value: Any
        if tag == 116:
            more += more
            if SMALLEST_SHAPE <= more <= LARGEST_SHAPE:
                guess = shapes.get(more)
                if guess is None:
                    shapes[more] = 0
                elif type(guess) is int:
                    if guess < WRONG_GUESSES:
                        return None, pos, -1
                    guess = None
        elements += more
        if elements > self._max_elements:
            return None, pos, -1
        fields: list[Any]
        if tag == 108 and self._frozen:
            fields = _new_list(List)
            add = _bound_append(fields)
        else:
            fields = []
            add = fields.append
        heads: Any
        if guess is not None:
            heads = guess[2]
        else:
            left = more
            if more >= FEW_NUMBERS and tag != 116 and data[end] in NUMBERS:
                end = read_numbers(data, end, more, fields)
                left -= len(fields)
            if left > _SHORT:
                return None, pos, -1
            heads = _TURNS[left]
        for head, width in heads:
            at = end + width
            if width and data[end:at] != head:
                return None, end, -1
            leaf = data[at]
            if leaf > 106:
                if leaf == 109:
                    at += 5
                    end = at + _U32(data, at - 4)[0]
                    if end - at >= self._large:
                        in_key = tag == 116 and not width and not len(fields) & 1
                        add(cut(data, at, end, self._text, 0 if in_key else self._views))
                    elif self._text:
                        raw = data[at:end]
                        try:
                            add(raw.decode())
                        except UnicodeDecodeError:
                            add(raw)
                    else:
                        add(data[at:end])
                    continue
                if leaf == 119:
                    end = at + 2 + data[at + 1]
                    raw = data[at + 2 : end]
                    try:
                        add(atoms.utf8[raw])
                    except KeyError:
                        add(atoms.get(raw, False, at))
                    continue
                if leaf == 110:
                    at += 3
                    end = at + data[at - 2]
                    if end - at > self._max_digits:
                        return None, at, -1
                    value = int.from_bytes(data[at:end], "little")
                    add(-value if data[at - 1] else value)
                    continue
            elif leaf == 97:
                end = at + 2
                add(data[at + 1])
                continue
            elif leaf == 98:
                end = at + 5
                add(_I32(data, at + 1)[0])
                continue
            elif leaf == 100:
                end = at + 3 + _U16(data, at + 1)[0]
                add(atoms.get(data[at + 3 : end], True, at))
                continue
            elif leaf == 70:
                end = at + 9
                value = _F64(data, at + 1)[0]
                if value - value != 0.0:
                    return None, at, -1
                add(value)
                continue
            if tag == 116 and not width and not len(fields) & 1:
                # A key that is a container has rules of its own.
                return None, at, -1
            if leaf == 104 or leaf == 108 or leaf == 116:
                value, end, elements = self.read(data, at, elements, levels - 1, shapes, atoms)
                if elements < 0:
                    return None, end, -1
            elif leaf == 106:
                end = at + 1
                value = _EMPTY_LIST if self._frozen else []
            elif leaf == 107:
                at += 3
                end = at + _U16(data, at - 2)[0]
                elements += end - at
                if elements > self._max_elements:
                    return None, at, -1
                value = list(data[at:end])
                if self._frozen:
                    value = frozen_list(value)
            else:
                return None, at, -1
            add(value)
        if tag == 104:
            if more == 3 and fields[0] is atoms.marker:
                return None, pos, -1
            return tuple(fields), end, elements
        if tag == 108:
            # Of no elements: that is its tail. With another tail: not a proper list, or a longer one.
            return (fields, end + 1, elements) if more and data[end] == 106 else (None, end, -1)
        if guess is not None:
            pairs = zip(guess[0], fields)
        else:
            pairs = iter(fields)
            pairs = zip(pairs, pairs)
        if self._frozen:
            value = _new_dict(Map)
            _update(value, pairs)
        else:
            value = dict(pairs)
        if guess is None and len(value) + len(value) != more:
            return None, pos, -1
        if self._struct_field is not None and self._struct_field in value:
            return None, pos, -1
        return value, end, elements
