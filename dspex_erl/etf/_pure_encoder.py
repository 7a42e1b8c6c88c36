"""The encoder in Python: the twin of the one in C, and what runs where there is none.

One loop, :meth:`Encoder._run`, writes value after value as small pieces that are joined now and then; containers that are not finished
wait on a list of frames, so that depth costs memory but no recursion. Time and memory are linear in the size of the output.

Lists of numbers are written at once, the keys of maps and atoms are looked up in tables that outlive the call. A list or map is copied
(its references, that is) when the encoder comes to it, so that a user's encoder or another thread cannot change it in between.

A frame is ``(it, keys, key_type, source, closing)``: an iterator over what is to come; for a map with simple keys, the table of
their encodings and their type; what tells the place (a sequence, or the state of :func:`_checked`); and whether the list ends in ``[]``.
"""

from __future__ import annotations

import struct as _struct
from itertools import islice
from sys import maxsize

from dspex_erl.errors import EncodeError, format_path
from dspex_erl.etf import _rare as rare
from dspex_erl.etf import _tags as tags
from dspex_erl.etf._faults import STEPS_SHOWN, at, encode_error, encode_limit
from dspex_erl.etf._foreign import pack_atom
from dspex_erl.etf._lower import lower
from dspex_erl.etf._numbers import FEW_NUMBERS, SMALL, pack_big, pack_charlist, pack_count, pack_floats, pack_integer, pack_integers
from dspex_erl.etf._options import LARGE_BINARY, Options
from dspex_erl.terms import Atom, ByteAtom, ExactKey, ImproperList, List, Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

_CACHED = 4096
"""How many atoms, and how many keys of one type, an encoder keeps from call to call before it starts anew."""

_SHORT_KEY = 64
"""The longest key, in characters, that is kept."""

_PIECES = 4096
"""How many pieces are kept before they are joined: the bytes of so many are still in the cache of the processor."""

_CHUNK = 1 << 20
"""Unless they are more than so many bytes: then copying them twice would cost more."""

_pack_float = _struct.Struct(">Bd").pack
_SHORT: Final = tuple(pack_count(tags.BINARY, size) for size in range(256))
_TUPLES: Final = tuple(bytes((tags.SMALL_TUPLE, size)) for size in range(256))
_FEW = 8
_copy = dict.copy
_WIDE_ATOM = type(ByteAtom("☃"))


class _State:
    """Where a map stands whose keys are compared as they are written."""

    __slots__ = ("in_key", "key", "ordinal")

    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        self.in_key = True
        self.key: Any = None


class _Table:
    """Encodings by value, for values of one exact type: ``1 == 1.0 == True``, but not for Erlang.

    ``known`` may be read directly. It is a plain ``dict``, because those are the quickest.
    """

    __slots__ = ("_make", "known")

    def __init__(self, make: Callable[[Any], bytes | None]) -> None:
        self._make = make
        self.known: dict[Any, bytes] = {}

    def add(self, value: Any) -> bytes | None:
        """The encoding of a value that is not known; ``None`` if it is not a simple one."""
        encoded = self._make(value)
        if encoded is not None:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.known[value] = encoded
        return encoded


class Encoder:
    """Encodes with fixed options. Holds no state but tables of atoms and keys, so that threads may share it."""

    __slots__ = ("_atoms", "_latin", "_none", "_options", "_tables", "_true_false")

    def __init__(self, options: Options) -> None:
        self._options = options
        latin = self._latin = options.strings == "bytes"
        self._true_false = pack_atom("false", latin), pack_atom("true", latin)
        self._none = pack_atom("undefined" if latin else "nil", latin)
        self._atoms = _Table(lambda atom: pack_atom(atom.name, latin))
        self._tables: dict[type, _Table] = {
            str: _Table(self._string_key),
            bytes: _Table(_bytes_key),
            int: _Table(_integer_key),
            Atom: self._atoms,
            ByteAtom: self._atoms,
        }

    def encode(self, term: Any, /) -> bytes:
        """The external format of ``term``."""
        encoded = b"".join(self._run(term, joining=True))
        if len(encoded) > self._options.max_bytes:
            raise self._too_large(len(encoded))
        return encoded

    def encode_iovec(self, term: Any, /) -> list[bytes | memoryview]:
        """The external format of ``term`` in pieces; large binaries are passed on as they are."""
        pieces: list[bytes | memoryview] = []
        small: list[bytes | memoryview] = []
        total = 0
        for piece in self._run(term, joining=False):
            total += len(piece)
            if len(piece) < LARGE_BINARY:
                small.append(piece)
                continue
            # There is something small before it at all times: its own header.
            pieces += (b"".join(small), piece)
            small = []
        if total > self._options.max_bytes:
            raise self._too_large(total)
        if small:
            pieces.append(b"".join(small))
        return pieces

    def _too_large(self, size: int) -> EncodeError:
        return encode_limit("max_bytes", self._options.max_bytes, size)

    # The hot loop: one function, because a call per value would double its time. The branches stand in the order of how often
    # messages have them.
    def _run(self, term: Any, joining: bool) -> list[bytes | memoryview]:  # noqa: C901
        """The pieces of what is written; with ``joining``, large binaries are not always pieces of their own."""
        options = self._options
        charlists = self._latin
        text = not charlists
        true_false = self._true_false
        none = self._none
        atoms = self._atoms.known
        add_atom: Callable[[Any], Any] = self._atoms.add
        tables = self._tables
        max_elements = options.max_elements
        limit = options.max_depth
        # What may still be written, at most. Small things are not taken off: max_elements bounds them, and the end counts exactly.
        budget = options.max_bytes
        elements = 0
        out: list[bytes | memoryview] = [b"\x83"]
        append = out.append
        stack: list[tuple[Any, ...]] = []
        keys: Any = None
        key_type: Any = None
        source: Any = None
        closing = False
        # How many pieces are joined already, what the budget was then, and the keys whose pieces are still to be looked at.
        joined, next_join, counted = 0, _PIECES if joining else maxsize, budget
        open_keys: list[_State] = []
        it: Iterator[Any] = iter((term,))
        try:
            while True:
                for item in it:
                    if keys is not None:
                        key, value = item
                        head = None
                        if type(key) is key_type:
                            try:
                                head = keys[key]
                            except KeyError:
                                head = tables[key_type].add(key)
                        if charlists and key_type is str and head is not None:
                            # Such a key is a list. One too long is left to the branch that finds it so.
                            elements += len(key)
                            if elements > max_elements:
                                elements -= len(key)
                                head = None
                        if head is None:
                            # Not a simple key, or not of the type of those before: from here on they are compared.
                            done = len(source) - it.__length_hint__() - 1  # type: ignore[attr-defined]
                            state = _State(done)
                            seen = {keys.get(earlier) or tables[key_type].add(earlier) or b"" for earlier in islice(source, done)}
                            it = _checked(list(source.items()), state, seen, out, open_keys)
                            source = state
                            keys = None
                            break
                        append(head)
                        item = value
                    kind = type(item)
                    if kind is str:
                        if text:
                            raw = item.encode()
                            size = len(raw)
                            budget -= size
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(_SHORT[size] if size < 256 else pack_count(109, size))
                            append(raw)
                        else:
                            encoded = pack_charlist(item)
                            count = len(item)
                            budget -= len(encoded)
                            if count and encoded[0] == 108 and len(stack) >= limit:
                                raise encode_limit("max_depth", options.max_depth, options.max_depth + 1)
                            elements += count
                            if elements > max_elements:
                                raise encode_limit("max_elements", max_elements, elements)
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(encoded)
                    elif kind is int:
                        if 0 <= item < 256:
                            append(SMALL[item])
                        elif -2147483648 <= item < 2147483648:
                            append(pack_integer(98, item))
                        else:
                            encoded = pack_big(item, options.max_digits)
                            budget -= len(encoded)
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(encoded)
                    elif kind is bytes:
                        size = len(item)
                        budget -= size
                        if budget < 0:
                            raise self._too_large(options.max_bytes - budget)
                        append(_SHORT[size] if size < 256 else pack_count(109, size))
                        append(item)
                    elif kind is Atom or kind is ByteAtom or kind is _WIDE_ATOM:
                        try:
                            append(atoms[item])
                        except KeyError:
                            append(add_atom(item))
                    elif kind is float and item - item == 0.0:
                        append(_pack_float(70, item))
                    elif kind is bool:
                        append(true_false[item])
                    elif item is None:
                        append(none)
                    elif kind is dict or kind is Map:
                        mapping = _copy(item)
                        count = len(mapping)
                        if not count:
                            append(b"t\x00\x00\x00\x00")
                            continue
                        if len(stack) >= limit:
                            raise encode_limit("max_depth", options.max_depth, options.max_depth + 1)
                        elements += 2 * count
                        if elements > max_elements:
                            raise encode_limit("max_elements", max_elements, elements)
                        append(pack_count(116, count))
                        stack.append((it, keys, key_type, source, closing))
                        closing = False
                        key_type = type(next(iter(mapping)))
                        if key_type in tables:
                            keys = tables[key_type].known
                            source = mapping
                            it = iter(mapping.items())
                        else:
                            keys = None
                            source = _State(0)
                            it = _checked(list(mapping.items()), source, set(), out, open_keys)
                        break
                    elif kind is list or kind is List or kind is tuple or kind is ImproperList:
                        members = item if kind is tuple else item[:]
                        count = len(members)
                        if not count:
                            if kind is not ImproperList:
                                append(b"h\x00" if kind is tuple else b"j")
                                continue
                            # Its constructor does not make one, but there are ways. As for Erlang, that is the tail alone.
                            stack.append((it, keys, key_type, source, closing))
                            limit += 1
                            it = iter((item.tail,))
                            keys = source = None
                            closing = False
                            break
                        block = None
                        if kind is not tuple and kind is not ImproperList:
                            first = type(members[0])
                            if first is int:
                                block = pack_integers(members)
                            elif first is float and count >= FEW_NUMBERS:
                                block = pack_floats(members)
                        if len(stack) >= limit and not (block is not None and block[0] == 107):
                            raise encode_limit("max_depth", options.max_depth, options.max_depth + 1)
                        elements += count
                        if elements > max_elements:
                            raise encode_limit("max_elements", max_elements, elements)
                        if block is not None:
                            budget -= len(block)
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(block)
                            continue
                        if kind is tuple:
                            append(_TUPLES[count] if count < 256 else pack_count(105, count))
                        else:
                            append(pack_count(108, count))
                            if kind is ImproperList:
                                members.append(item.tail)
                        rest: Any = iter(members)
                        if count <= _FEW:
                            # Most are short and hold leaves: those do without a frame. Whatever is out of the ordinary ends
                            # this loop, and is met again by the one around it.
                            for member in rest:
                                member_kind = type(member)
                                if member_kind is Atom or member_kind is ByteAtom:
                                    try:
                                        append(atoms[member])
                                    except KeyError:
                                        append(add_atom(member))
                                elif member_kind is int and -2147483648 <= member < 2147483648:
                                    append(SMALL[member] if 0 <= member < 256 else pack_integer(98, member))
                                elif member_kind is str and text and len(member) < 64:
                                    try:
                                        raw = member.encode()
                                    except UnicodeEncodeError:
                                        break
                                    append(_SHORT[len(raw)])
                                    append(raw)
                                elif member_kind is bytes and len(member) < 256:
                                    append(_SHORT[len(member)])
                                    append(member)
                                elif member is None:
                                    append(none)
                                elif member_kind is bool:
                                    append(true_false[member])
                                else:
                                    break
                            else:
                                if kind is list or kind is List:
                                    append(b"j")
                                continue
                            rest.__setstate__(len(members) - rest.__length_hint__() - 1)
                        stack.append((it, keys, key_type, source, closing))
                        keys = None
                        closing = kind is list or kind is List
                        source = members
                        it = rest
                        break
                    else:
                        stand_in = item.value if kind is ExactKey else rare.raw(item, options)
                        if kind is not ExactKey and stand_in is not None:
                            budget -= len(stand_in)
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(stand_in)
                            continue
                        if kind is not ExactKey:
                            stand_in = lower(item, options)
                        if type(stand_in) is memoryview:
                            budget -= len(stand_in)
                            if budget < 0:
                                raise self._too_large(options.max_bytes - budget)
                            append(pack_count(109, len(stand_in)))
                            append(stand_in)
                            continue
                        # A frame of one value, which takes the place of ``item``: no step of the path, and no depth.
                        stack.append((it, keys, key_type, source, closing))
                        limit += 1
                        it = iter((stand_in,))
                        keys = None
                        source = None
                        closing = False
                        break
                else:
                    if closing:
                        append(b"j")
                    if not stack:
                        return out
                    if len(out) > next_join and not open_keys:
                        if counted - budget < _CHUNK:
                            out[joined:] = (b"".join(out[joined:]),)
                        joined = len(out)
                        next_join = joined + _PIECES
                        counted = budget
                    if source is None:
                        limit -= 1
                    it, keys, key_type, source, closing = stack.pop()
        except UnicodeEncodeError:
            raise self._located(encode_error("surrogate", term), out, stack, it, keys, source) from None
        except EncodeError as error:
            located = self._located(error, out, stack, it, keys, source)
            if located is not error:
                raise located from None
            raise

    def _located(
        self, error: EncodeError, out: list[Any], stack: list[tuple[Any, ...]], it: Iterator[Any], keys: Any, source: Any
    ) -> EncodeError:
        """``error`` with its path. What was written before it may have passed the limit of size, which then comes first."""
        written = sum(map(len, out))
        if written > self._options.max_bytes:
            return self._too_large(written)
        if getattr(error, "limit", None) == "max_bytes":
            return error
        steps: list[object] = []
        for frame_it, frame_keys, _, frame_source, _ in [*stack, (it, keys, None, source, None)]:
            if len(steps) == STEPS_SHOWN:
                break
            if frame_source is not None:
                steps.append(_step(frame_it, frame_keys, frame_source))
        at(error, format_path(steps))
        return error

    def _string_key(self, key: str) -> bytes | None:
        if len(key) > _SHORT_KEY:
            return None
        if self._latin:
            charlist = pack_charlist(key)
            return None if charlist[0] == tags.LIST else charlist
        try:
            raw = key.encode()
        except UnicodeEncodeError:
            return None
        return pack_count(tags.BINARY, len(raw)) + raw


def _step(it: Any, keys: Any, source: Any) -> object:
    """The step of a path into a frame."""
    if type(source) is _State:
        return source.ordinal if source.in_key else (source.key,)
    position = len(source) - it.__length_hint__() - 1
    return position if keys is None else (next(islice(source, position, None)),)


def _bytes_key(key: bytes) -> bytes | None:
    return pack_count(tags.BINARY, len(key)) + key if len(key) <= _SHORT_KEY else None


def _integer_key(key: int) -> bytes | None:
    if 0 <= key < 256:
        return SMALL[key]
    return pack_integer(tags.INTEGER, key) if -(2**31) <= key < 2**31 else None


def _checked(
    pairs: list[tuple[Any, Any]], state: _State, seen: set[bytes], out: list[Any], open_keys: list[_State]
) -> Iterator[Any]:
    """Keys and values in turn. When the loop asks for a value, its key is written: were those bytes a key of this map before?"""
    for ordinal in range(state.ordinal, len(pairs)):
        key, value = pairs[ordinal]
        state.ordinal, state.in_key, state.key = ordinal, True, key
        mark = len(out)
        open_keys.append(state)
        yield key
        open_keys.pop()
        state.in_key = False
        raw = b"".join(out[mark:])
        if raw in seen:
            raise encode_error("key_clash", key)
        seen.add(raw)
        yield value
