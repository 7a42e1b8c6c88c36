"""Numbers, and above all runs of them: read and written at once, not one by one.

A list of numbers of one kind is a table of records of equal width: every fifth byte (or second, or ninth) is the same tag. So one
slice shows how long a run is, and one call of :mod:`struct` per few hundred numbers moves it. Both ways take time linear in
the numbers, whatever their order: a run too short to pay ends the attempt, and the coders' own loops read or write the rest.
"""

from __future__ import annotations

import struct
from array import array
from sys import byteorder

from dspex_erl.etf import _tags as tags
from dspex_erl.etf._faults import encode_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    Packers: TypeAlias = list[tuple[int, Callable[..., None]]]
    Unpackers: TypeAlias = list[tuple[int, Callable[..., tuple[Any, ...]]]]

NUMBERS = frozenset({tags.SMALL_INTEGER, tags.INTEGER, tags.NEW_FLOAT})
"""Tags of which runs are looked for."""

FEW_NUMBERS = 8
"""Fewer than this are not worth a look."""

_LONGEST_STRING = 65535

pack_integer = struct.Struct(">Bi").pack
pack_count = struct.Struct(">BI").pack
SMALL: Final = tuple(bytes((tags.SMALL_INTEGER, number)) for number in range(256))
"""The external format of the numbers below 256."""

# Powers of two, so that a run of any length takes few calls and few formats. ``x`` is the place of the tag.
_INTEGER_PACKERS: Final[Packers] = [(1 << bit, struct.Struct(">" + "xi" * (1 << bit)).pack_into) for bit in range(10, -1, -1)]
_FLOAT_PACKERS: Final[Packers] = [(1 << bit, struct.Struct(">" + "xd" * (1 << bit)).pack_into) for bit in range(10, -1, -1)]
_WIDTHS = {tags.SMALL_INTEGER: 2, tags.INTEGER: 5, tags.NEW_FLOAT: 9}
_FLOAT_UNPACKERS: Final[Unpackers] = [(1 << bit, struct.Struct(">" + "xd" * (1 << bit)).unpack_from) for bit in range(9, -1, -1)]
_F64 = struct.Struct(">d").unpack_from

# Looking for a run further than it goes is in vain, so the window grows with the run.
_FIRST_WINDOW = 512
_LAST_WINDOW = 4096


def read_numbers(data: Any, pos: int, count: int, items: list[Any]) -> int:
    """Adds the numbers at ``pos``, at most ``count``, to ``items``, and tells where they end. O(numbers).

    Stops early at anything that is not a whole, finite number, and where numbers of one tag come in short runs: both are for
    the loop that reads every term.
    """
    rounds = 0
    size = len(data)
    room = _FIRST_WINDOW
    while len(items) < count and pos < size and len(items) >= 8 * rounds - 64:
        rounds += 1
        tag = data[pos]
        width = _WIDTHS.get(tag, 0)
        if not width:
            break
        if tag == tags.SMALL_INTEGER and pos + 2 < size and data[pos + 2] == tags.INTEGER:
            # One small number among larger ones needs no table.
            list.append(items, data[pos + 1])
            pos += 2
            continue
        run = window = min(count - len(items), room, (size - pos) // width)
        column = bytes(data[pos : pos + window * width : width])
        if column != column[:1] * window:
            run -= len(column.lstrip(column[:1]))
            room = max(_FIRST_WINDOW, run)
        elif room < _LAST_WINDOW or tag == tags.SMALL_INTEGER:
            # The copies of small numbers take little, and the list grows in fewer steps.
            room += room
        read = _READERS[tag](data, pos, run, items)
        pos += width * read
        if read < run or not run:
            break
    return pos


def _read_small(data: Any, pos: int, count: int, items: list[Any]) -> int:
    list.extend(items, bytes(data[pos + 1 : pos + 2 * count : 2]))
    return count


def _read_integers(data: Any, pos: int, count: int, items: list[Any]) -> int:
    block = bytearray(data[pos : pos + 5 * count])
    del block[::5]
    numbers = array("i")
    numbers.frombytes(block)
    if byteorder == "little":
        numbers.byteswap()
    list.extend(items, numbers.tolist())
    return count


def _read_floats(data: Any, pos: int, count: int, items: list[Any]) -> int:
    """Reads those before the first that is not finite, and tells how many."""
    # What is not finite has an exponent of ones, and so 7F or FF in its highest byte.
    highest = bytes(data[pos + 1 : pos + 9 * count : 9])
    if b"\x7f" in highest or b"\xff" in highest:
        count = _count_finite(data, pos, count)
    left = count
    for length, unpack in _FLOAT_UNPACKERS:
        while left >= length:
            list.extend(items, unpack(data, pos))
            pos += 9 * length
            left -= length
    return count


def _count_finite(data: Any, pos: int, count: int) -> int:
    for position in range(count):
        number = _F64(data, pos + 9 * position + 1)[0]
        if number - number != 0.0:
            return position
    return count


_READERS: Final[dict[int, Callable[[Any, int, int, list[Any]], int]]] = {
    tags.SMALL_INTEGER: _read_small,
    tags.INTEGER: _read_integers,
    tags.NEW_FLOAT: _read_floats,
}


def pack_big(number: int, max_digits: int) -> bytes:
    """SMALL_BIG_EXT or LARGE_BIG_EXT. Raises ``EncodeLimitError`` for more than ``max_digits`` bytes."""
    size = (number.bit_length() + 7) >> 3
    if size > max_digits:
        raise encode_limit("max_digits", max_digits, size)
    sign = 1 if number < 0 else 0
    header = bytes((tags.SMALL_BIG, size, sign)) if size < 256 else pack_count(tags.LARGE_BIG, size) + bytes((sign,))
    return header + abs(number).to_bytes(size, "little")


def pack_charlist(text: str) -> bytes:
    """The list of the code points of ``text``."""
    if not text:
        return b"j"
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        # Surrogates too are numbers here, as they are for ord().
        return _pack_words(list(map(ord, text))) or b""
    if len(raw) <= _LONGEST_STRING:
        return b"k" + len(raw).to_bytes(2, "big") + raw
    return _pack_bytes(raw)


def _pack_bytes(numbers: bytes) -> bytes:
    """LIST_EXT of numbers below 256."""
    size = len(numbers)
    block = bytearray(2 * size)
    block[::2] = b"a" * size
    block[1::2] = numbers
    return b"".join((pack_count(tags.LIST, size), block, b"j"))


def pack_integers(numbers: list[Any]) -> bytes | None:
    """The external format of a list of integers of at most 32 bits, None for any other list. O(length)."""
    size = len(numbers)
    if list(map(type, numbers)).count(int) < size:
        return None
    try:
        raw = bytes(numbers)
    except ValueError:
        pass
    else:
        return b"k" + size.to_bytes(2, "big") + raw if size <= _LONGEST_STRING else _pack_bytes(raw)
    return _pack_words(numbers) if size >= FEW_NUMBERS else None


def _pack_words(numbers: list[int]) -> bytes | None:
    """LIST_EXT of 32-bit integers, None if one is larger."""
    size = len(numbers)
    try:
        block = _columns(numbers, b"b", 5, _INTEGER_PACKERS)
    except struct.error:
        return None
    # Those below 256 have a shorter form. They show as a tag and three zeros, as may other bytes by chance.
    small = block.count(b"b\0\0\0")
    head = pack_count(tags.LIST, size)
    if 8 * small > size:
        return b"".join((head, *(SMALL[n] if 0 <= n < 256 else pack_integer(98, n) for n in numbers), b"j"))
    parts: list[Any] = [head]
    view = memoryview(block)
    start = 0
    found = block.find(b"b\0\0\0")
    while found >= 0:
        if found % 5 == 0:
            parts += (view[start:found], SMALL[block[found + 4]])
            start = found + 5
        found = block.find(b"b\0\0\0", found + 1)
    parts += (view[start:], b"j")
    return b"".join(parts)


def pack_floats(numbers: list[Any]) -> bytes | None:
    """The external format of a list of finite floats, None for any other list. O(length)."""
    size = len(numbers)
    if list(map(type, numbers)).count(float) < size:
        return None
    block = _columns(numbers, b"F", 9, _FLOAT_PACKERS)
    # What is not finite has an exponent of ones, and so 7F or FF in its highest byte.
    highest = block[1::9]
    if (b"\x7f" in highest or b"\xff" in highest) and any(number - number != 0.0 for number in numbers):
        return None
    return b"".join((pack_count(tags.LIST, size), block, b"j"))


def _columns(numbers: list[Any], tag: bytes, width: int, packers: Packers) -> bytearray:
    """The numbers, each of ``width`` bytes, the first of which is ``tag``."""
    size = len(numbers)
    block = bytearray(width * size)
    done = 0
    for length, pack_into in packers:
        while size - done >= length:
            pack_into(block, width * done, *numbers[done : done + length])
            done += length
    block[::width] = tag * size
    return block
