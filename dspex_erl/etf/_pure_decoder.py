"""The decoder in Python: the twin of the one in C, and what runs where there is none.

One loop, :meth:`Decoder._run`, reads term after term; containers that are not finished wait on a list of frames, so that the depth of
a term costs memory but no recursion. Time and memory are linear in the bytes read.

Three things make it faster than one step per term, and none of them shows in the results or in the errors:

* runs of numbers in a list or tuple are recognised by a slice of every fifth (or second, or ninth) byte and unpacked at once;
* atoms are looked up by their bytes in a table that outlives the call;
* the keys of a map are guessed to be those of the last map of as many pairs: a guess is right when its bytes stand there.

A frame is ``(it, items, append, kind, count, at, owed, extra)``: an iterator with one turn for each element to come, the elements
read so far, what adds to them, the kind of container, how many elements it has in all (the tail of a list included), the offset
of its tag, the elements that the containers around it still expect, and what its kind needs besides.
"""

from __future__ import annotations

import struct as _struct
from itertools import chain, repeat

from dspex_erl.errors import DecodeError, format_path
from dspex_erl.etf import _rare as rare
from dspex_erl.etf import _tags as tags
from dspex_erl.etf._atoms import Atoms
from dspex_erl.etf._buffer import cut, readable
from dspex_erl.etf._containers import frozen_list, improper_list
from dspex_erl.etf._faults import STEPS_SHOWN, Short, at, decode_error, decode_limit, truncated
from dspex_erl.etf._numbers import FEW_NUMBERS, NUMBERS, read_numbers
from dspex_erl.etf._options import LARGE_BINARY, Options
from dspex_erl.etf._short import CONTAINERS, LARGEST_SHAPE, LEVELS, SMALLEST_SHAPE, WRONG_GUESSES, ShortReader
from dspex_erl.terms import List, Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, TypeAlias

    Frame: TypeAlias = tuple[Any, ...]
    # ``bytes``, or a read-only ``memoryview`` of bytes: indexing and slicing both is what the loop lives on.
    Buffer: TypeAlias = Any

# From _MAP on, a frame reads the keys of a map too: with an even number of items, a key is next.
_ROOT, _LIST, _TUPLE, _IMPROPER, _SHAPE, _MAP, _LEARN = range(7)

_MISSING: Final = object()
_U16 = _struct.Struct(">H").unpack_from
_U32 = _struct.Struct(">I").unpack_from
_I32 = _struct.Struct(">i").unpack_from
_F64 = _struct.Struct(">d").unpack_from
_LEAVES = tags.IDENTIFIERS | {tags.BIT_BINARY, tags.FLOAT}

_from_bytes = int.from_bytes

# list.append and dict.update themselves, because List and Map refuse them.
_new_list = list.__new__
_bound_append = list.append.__get__
_new_dict = dict.__new__
_update = dict.update

_EMPTY_LIST = List()
_EMPTY_MAP = Map()


class Decoder:
    """Decodes with fixed options. Holds no state but a table of atoms, so that threads may share it."""

    __slots__ = ("_atoms", "_frozen", "_large", "_options", "_short")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._frozen = options.strings == "bytes"
        self._large = min(options.view_threshold or LARGE_BINARY, LARGE_BINARY)
        self._atoms = Atoms(options)
        self._short = ShortReader(options)

    def decode(self, data: Any, /) -> Any:
        """The term in ``data``, which must be exactly one."""
        data = readable(data, self._options.view_threshold > 0)
        term, end = self._whole(data, 0)
        if end != len(data):
            raise decode_error("trailing", len(data) - end, end)
        return term

    def decode_from(self, data: Any, offset: int = 0, /) -> tuple[Any, int]:
        """The term at ``offset``, and where it ends."""
        data = readable(data, self._options.view_threshold > 0)
        if not isinstance(offset, int):
            raise TypeError(f"expected an offset as int, got {type(offset).__name__}")
        if not 0 <= offset <= len(data):
            raise ValueError(f"expected an offset from 0 to {len(data)}, got another")
        return self._whole(data, offset)

    def _whole(self, data: Buffer, offset: int) -> tuple[Any, int]:
        """The term at ``offset``, where its version byte stands."""
        size = len(data)
        options = self._options
        if size - offset > options.max_bytes:
            raise decode_limit("max_bytes", options.max_bytes, size - offset, offset)
        if size == offset:
            raise truncated(size)
        if data[offset] != tags.VERSION:
            raise decode_error("version", data[offset], offset)
        if data[offset + 1 : offset + 2] == b"P":
            return self._compressed(data, offset + 1)
        return self._term(data, offset + 1)

    def _compressed(self, data: Buffer, offset: int) -> tuple[Any, int]:
        plain, end = rare.inflate(data, offset, self._options)
        try:
            term, inner_end = self._term(plain, 0)
        except DecodeError as error:
            raise at(error, "$", offset) from error.__cause__
        if inner_end != len(plain):
            raise decode_error("inflated_trailing", len(plain) - inner_end, offset)
        return term, end

    def _term(self, data: Buffer, pos: int) -> tuple[Any, int]:
        """The term at ``pos``. One that is short in all its parts, as most calls and replies are, never gets to the loop."""
        options = self._options
        size = len(data)
        # So many bytes can bring more atoms than allowed.
        atoms = self._atoms if size - pos < 2 * options.max_atoms else self._atoms.counted()
        shapes: dict[int, Any] = {}
        trouble = size
        if type(data) is bytes:
            try:
                if data[pos] in CONTAINERS:
                    term, end, elements = self._short.read(data, pos, 0, min(options.max_depth, LEVELS), shapes, atoms)
                    if elements >= 0 and end <= size:
                        return term, end
                    trouble = end
            except (IndexError, _struct.error, DecodeError):
                pass
        return self._run(data, pos, atoms, shapes, trouble + 1)

    # The hot loop: one function, because a call per term would double its time. The branches stand in the order of how often
    # messages have them.
    def _run(  # noqa: C901
        self, data: Buffer, pos: int, atoms: Atoms, shapes: dict[int, Any], short_from: int
    ) -> tuple[Any, int]:
        """The term at ``pos``. From ``short_from`` on, containers may be read as short ones: not before the last trouble with that."""
        size = len(data)
        options = self._options
        text = options.strings == "str"
        plain = type(data) is bytes
        large = self._large
        max_elements, max_digits = options.max_elements, options.max_digits
        limit = max_depth = options.max_depth
        utf8_atom, latin_atom = atoms.utf8.get, atoms.latin.get
        read_short, read_run = self._short.read, self._short.read_run
        frozen = all_frozen = self._frozen
        key_floor = -1
        elements = 0
        marker = atoms.marker
        structs = bool(options.structs)
        many = 2 * rare.MANY_PAIRS
        fields: list[Any]
        pairs: Iterator[Any]
        extra: Any = None
        stack: list[Frame] = []
        items: list[Any] = []
        append: Callable[[Any], None] = items.append
        it: Iterator[Any] = repeat(None, 1)
        kind, count, at_tag, owed = _ROOT, 1, pos, 0
        closing = False
        try:
            while True:
                levels = min(limit - len(stack), LEVELS) if key_floor < 0 else 0
                for expected in it:
                    if expected is not None:
                        if kind == _LEARN:
                            extra.append(pos)
                        elif data[pos : pos + expected[1]] == expected[0]:
                            pos += expected[1]
                        else:
                            # A wrong guess: from here on an ordinary map, whose next key is read as any other.
                            shapes[2 * count] = extra[1] + 1
                            done = len(items)
                            items = list(chain.from_iterable(zip(extra[0], items)))
                            append = items.append
                            it = repeat(None, 2 * (count - done))
                            kind, count = _MAP, 2 * count
                            break
                    tag = data[pos]
                    # Two halves, so that no tag is compared with more than a few others. What does not continue is a container.
                    if tag > 106:
                        if tag == 109:
                            start = pos + 5
                            end = start + _U32(data, pos + 1)[0]
                            if end > size:
                                raise Short
                            if end - start >= large:
                                in_key = key_floor >= 0 or kind >= _MAP and not len(items) & 1
                                append(cut(data, start, end, text, 0 if in_key else options.view_threshold))
                            elif text:
                                raw = data[start:end] if plain else bytes(data[start:end])
                                try:
                                    append(raw.decode())
                                except UnicodeDecodeError:
                                    append(raw)
                            else:
                                append(data[start:end] if plain else bytes(data[start:end]))
                            pos = end
                            continue
                        if tag == 119:
                            end = pos + 2 + data[pos + 1]
                            if end > size:
                                raise Short
                            raw = data[pos + 2 : end] if plain else bytes(data[pos + 2 : end])
                            value = utf8_atom(raw, _MISSING)
                            if value is _MISSING:
                                value = atoms.get(raw, False, pos)
                            append(value)
                            pos = end
                            continue
                        if tag == 110:
                            start = pos + 3
                            end = start + data[pos + 1]
                            if end - start > max_digits:
                                raise decode_limit("max_digits", max_digits, end - start, pos)
                            if end > size:
                                raise Short
                            value = _from_bytes(data[start:end], "little")
                            append(-value if data[pos + 2] else value)
                            pos = end
                            continue
                        if tag == 116 or tag == 108:
                            pass
                        elif tag == 107:
                            start = pos + 3
                            end = start + _U16(data, pos + 1)[0]
                            elements += end - start
                            if elements > max_elements:
                                raise decode_limit("max_elements", max_elements, elements, pos)
                            if end > size:
                                raise Short
                            value = list(data[start:end])
                            append(frozen_list(value) if frozen or kind >= _MAP and not len(items) & 1 else value)
                            pos = end
                            continue
                        elif tag == 111:
                            start = pos + 6
                            end = start + _U32(data, pos + 1)[0]
                            if end - start > max_digits:
                                raise decode_limit("max_digits", max_digits, end - start, pos)
                            if end > size:
                                raise Short
                            value = _from_bytes(data[start:end], "little")
                            append(-value if data[pos + 5] else value)
                            pos = end
                            continue
                        elif tag == 115 or tag == 118:
                            start = pos + 2 if tag == 115 else pos + 3
                            end = start + (data[pos + 1] if tag == 115 else _U16(data, pos + 1)[0])
                            if end > size:
                                raise Short
                            append(atoms.get(bytes(data[start:end]), tag == 115, pos))
                            pos = end
                            continue
                        else:
                            value, pos = self._leaf(data, pos)
                            append(value)
                            continue
                    elif tag == 97:
                        append(data[pos + 1])
                        pos += 2
                        continue
                    elif tag == 100:
                        end = pos + 3 + _U16(data, pos + 1)[0]
                        if end > size:
                            raise Short
                        raw = data[pos + 3 : end] if plain else bytes(data[pos + 3 : end])
                        value = latin_atom(raw, _MISSING)
                        if value is _MISSING:
                            value = atoms.get(raw, True, pos)
                        append(value)
                        pos = end
                        continue
                    elif tag == 104:
                        pass
                    elif tag == 98:
                        append(_I32(data, pos + 1)[0])
                        pos += 5
                        continue
                    elif tag == 70:
                        value = _F64(data, pos + 1)[0]
                        if value - value != 0.0:
                            raise decode_error("float", None, pos)
                        append(value)
                        pos += 9
                        continue
                    elif tag == 106:
                        append(_EMPTY_LIST if frozen or kind >= _MAP and not len(items) & 1 else [])
                        pos += 1
                        continue
                    elif tag != 105:
                        value, pos = self._leaf(data, pos)
                        append(value)
                        continue
                    if pos >= short_from and levels and (kind < _MAP or len(items) & 1) and tag != 105:
                        try:
                            value, end, total = read_short(data, pos, elements, levels, shapes, atoms)
                        except (IndexError, _struct.error, DecodeError):
                            end, total = size, -1
                        # There must be a byte at least for everything that is still to come, or else it must be found out where
                        # they lack. The first sum is never too small, and quicker.
                        if total >= 0 and (size - end >= owed + 2 * count or size - end >= _owed(kind, count, items, owed)):
                            append(value)
                            pos = end
                            elements = total
                            continue
                        short_from = end + 1
                    if tag == 104:
                        more = need = data[pos + 1]
                        start = pos + 2
                    else:
                        more = need = _U32(data, pos + 1)[0]
                        start = pos + 5
                    if not need:
                        if tag == 108:
                            # As in OTP: a list of no elements is its tail. One more turn, for the same place, for all in a row.
                            while data[start] == 108 and _U32(data, start + 1)[0] == 0:
                                start += 5
                            if kind in (_SHAPE, _LEARN):
                                it = chain((None,), it)
                            else:
                                it = repeat(None, count - len(items) - (kind == _LIST))
                            pos = start
                            break
                        if tag == 116:
                            append(_EMPTY_MAP if frozen or kind >= _MAP and not len(items) & 1 else {})
                        else:
                            append(())
                        pos = start
                        continue
                    if tag == 116:
                        more = need = need + need
                    elif tag == 108:
                        need += 1
                    depth = len(stack)
                    if depth >= limit:
                        raise _too_deep(depth, max_depth, pos)
                    if kind >= _MAP and key_floor < 0 and not len(items) & 1:
                        key_floor = depth
                        limit = min(max_depth, depth + rare.MAX_KEY_DEPTH)
                        frozen = True
                    elements += more
                    if elements > max_elements:
                        raise decode_limit("max_elements", max_elements, elements, pos)
                    rest = _owed(kind, count, items, owed)
                    if need > size - start - rest:
                        raise Short
                    if tag == 116 and plain and SMALLEST_SHAPE <= more <= LARGEST_SHAPE:
                        guess = shapes.get(more)
                        if guess is None:
                            shapes[more] = 0
                        elif type(guess) is tuple:
                            stack.append((it, items, append, kind, count, at_tag, owed, extra))
                            owed, at_tag, pos, kind, count, extra = rest, pos, start, _SHAPE, more >> 1, guess
                            items = []
                            append = items.append
                            it = iter(guess[2])
                            break
                        elif guess < WRONG_GUESSES:
                            stack.append((it, items, append, kind, count, at_tag, owed, extra))
                            owed, at_tag, pos, kind, count, extra = rest, pos, start, _LEARN, more, []
                            items = []
                            append = items.append
                            it = repeat(True, more)
                            break
                    if tag == 108 and frozen:
                        fields = _new_list(List)
                        add = _bound_append(fields)
                    else:
                        fields = []
                        add = fields.append
                    if more >= FEW_NUMBERS and data[start] in NUMBERS and tag != 116:
                        start = read_numbers(data, start, more, fields)
                    elif levels > 1 and start >= short_from and tag != 116 and key_floor < 0:
                        last = size - need - rest
                        start, elements = read_run(data, start, elements, levels - 1, shapes, atoms, fields, more, last)
                    stack.append((it, items, append, kind, count, at_tag, owed, extra))
                    it = repeat(None, more - len(fields))
                    owed, at_tag, pos, count = rest, pos, start, need
                    kind = _LIST if tag == 108 else _MAP if tag == 116 else _TUPLE
                    items = fields
                    append = add
                    break
                else:
                    # Every element is there: the container can be built and given to the one around it.
                    if kind == _LIST:
                        tag = data[pos]
                        while tag == 108 and _U32(data, pos + 1)[0] == 0:
                            pos += 5
                            tag = data[pos]
                        if tag == 106:
                            pos += 1
                            value = items
                        elif tag == 108 or tag == 107:
                            # A list as the tail of a list: for Erlang, more elements of the same.
                            start = pos + 5 if tag == 108 else pos + 3
                            more = _U32(data, pos + 1)[0] if tag == 108 else _U16(data, pos + 1)[0]
                            elements += more
                            if elements > max_elements:
                                raise decode_limit("max_elements", max_elements, elements, pos)
                            if tag == 108:
                                if more + 1 > size - start - owed:
                                    raise Short
                                count += more
                                pos = start
                                it = repeat(None, more)
                                continue
                            if start + more > size:
                                raise Short
                            pos = start + more
                            list.extend(items, data[start:pos])
                            value = items
                        else:
                            kind = _IMPROPER
                            it = repeat(None, 1)
                            continue
                    elif kind == _TUPLE:
                        value = tuple(items)
                        if count == 3 and items[0] is marker:
                            closing = True
                            value = rare.opaque(value, at_tag, options)
                    elif kind == _ROOT:
                        return items[0], pos
                    elif kind == _IMPROPER:
                        value = improper_list(items)
                    else:
                        pairs = iter(items)
                        pairs = zip(extra[0], pairs) if kind == _SHAPE else zip(pairs, pairs)
                        if count > many:
                            closing = True
                            rare.check_hashes(items[::2], at_tag, options)
                        try:
                            if frozen:
                                value = _new_dict(Map)
                                _update(value, pairs)
                            else:
                                value = dict(pairs)
                        except MemoryError:
                            raise
                        except Exception as error:
                            closing = True
                            raise rare.key_fault(error, at_tag) from error
                        if kind != _SHAPE:
                            if len(value) + len(value) < count:
                                closing = True
                                value = rare.clashing(items[::2], items[1::2], at_tag, options)
                            if kind == _LEARN and type(shapes[count]) is int:
                                # Unless a map inside this one was as long, and has been learnt first.
                                shapes[count] = _learn(data, items[::2], extra, shapes[count])
                        if structs:
                            closing = True
                            value = rare.struct(value, at_tag, options)
                    closing = False
                    it, items, append, kind, count, at_tag, owed, extra = stack.pop()
                    append(value)
                    if len(stack) == key_floor:
                        key_floor = -1
                        frozen = all_frozen
                        limit = max_depth
        except (IndexError, _struct.error, Short):
            raise at(truncated(size), _path(stack, items, kind, extra, closing)) from None
        except DecodeError as error:
            at(error, _path(stack, items, kind, extra, closing))
            raise

    def _leaf(self, data: Buffer, pos: int) -> tuple[Any, int]:
        """The term at ``pos``, which has one of the rare tags or none at all."""
        if data[pos] in _LEAVES:
            return rare.leaf(data, pos, self._options)
        raise decode_error("tag", data[pos], pos)


def _learn(data: bytes, keys: list[Any], marks: list[int], wrong: int) -> Any:
    """What the next map of as many pairs is guessed to look like: its keys, and the bytes of each."""
    if not rare.SALTED.issuperset(map(type, keys)) or len(set(keys)) < len(keys):
        return wrong + 1
    starts = iter(marks)
    return tuple(keys), wrong, [(data[start:end], end - start) for start, end in zip(starts, starts)]


def _owed(kind: int, count: int, items: list[Any], owed: int) -> int:
    """How many elements, keys and values are to come after the one being read, at least a byte each."""
    rest = count - len(items) - 1
    return owed + (rest + rest if kind == _SHAPE else rest)


def _too_deep(depth: int, max_depth: int, offset: int) -> DecodeError:
    if depth >= max_depth:
        return decode_limit("max_depth", max_depth, depth + 1, offset)
    return decode_limit("max_depth", rare.MAX_KEY_DEPTH, rare.MAX_KEY_DEPTH + 1, offset)


def _path(stack: list[Frame], items: list[Any], kind: int, extra: Any, closing: bool) -> str:
    """Where the term being read is. ``closing``: it is the container of the current frame itself."""
    steps: list[object] = []
    frames = [(frame[1], frame[3], frame[7]) for frame in stack[: STEPS_SHOWN + 1]]
    if not closing:
        frames.append((items, kind, extra))
    for elements, sort, more in frames:
        done = len(elements)
        if sort in (_LIST, _TUPLE, _IMPROPER):
            steps.append(done)
        elif sort == _SHAPE:
            steps.append((more[0][done],))
        elif sort != _ROOT:
            steps.append((elements[-1],) if done & 1 else done >> 1)
    return format_path(steps[:STEPS_SHOWN])
