"""Numbers, and above all runs of them: read and written at once, not one by one.

A list of numbers of one kind is a table of records of equal width: every fifth byte (or second, or ninth) is the same tag. So one
slice shows how long a run is, and one call of :mod:`struct` per few hundred numbers moves it. Both ways take time linear in
the numbers, whatever their order: a run too short to pay ends the attempt, and the coders' own loops read or write the rest.
"""

from __future__ import annotations

import struct

from dspex_erl.etf import _tags as tags
from dspex_erl.etf._faults import encode_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

    Packers: TypeAlias = list[tuple[int, Callable[..., None]]]
    Unpackers: TypeAlias = dict[int, list[tuple[int, Callable[..., tuple[Any, ...]]]]]

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
_WINDOW = 512
_UNPACKERS: Final[Unpackers] = {
    tag: [(1 << bit, struct.Struct(">" + code * (1 << bit)).unpack_from) for bit in range(9, -1, -1)]
    for tag, code in ((tags.INTEGER, "xi"), (tags.NEW_FLOAT, "xd"))
}


def read_numbers(data: Any, pos: int, count: int, items: list[Any]) -> int:
    """Adds the numbers at ``pos``, at most ``count``, to ``items``, and tells where they end. O(numbers).

    Stops early at anything that is not a whole, finite number, and where numbers of one tag come in short runs: both are for
    the loop that reads every term.
    """
    rounds = 0
    size = len(data)
    extend = list.extend
    while len(items) < count and pos < size and len(items) >= 8 * rounds - 64:
        rounds += 1
        tag = data[pos]
        width = _WIDTHS.get(tag, 0)
        if not width:
            break
        window = min(count - len(items), _WINDOW, (size - pos) // width)
        column = bytes(data[pos : pos + window * width : width])
        run = window - len(column.lstrip(column[:1]))
        if not run:
            break
        if tag == tags.SMALL_INTEGER:
            extend(items, bytes(data[pos + 1 : pos + 2 * run : 2]))
        else:
            before = len(items)
            at_run = pos
            left = run
            for length, unpack in _UNPACKERS[tag]:
                if left >= length:
                    extend(items, unpack(data, at_run))
                    at_run += width * length
                    left -= length
            if tag == tags.NEW_FLOAT:
                finite = _count_finite(items, before)
                if finite < run:
                    list.__delitem__(items, slice(before + finite, None))
                    return pos + width * finite
        pos += width * run
    return pos


def _count_finite(items: list[Any], start: int) -> int:
    """How many floats from ``start`` on come before the first that is not finite."""
    numbers = items[start:]
    total = sum(numbers)
    if total - total == 0.0:
        # An infinity or a NaN would have shown in the sum.
        return len(numbers)
    for position, number in enumerate(numbers):
        if number - number != 0.0:
            return position
    return len(numbers)


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
