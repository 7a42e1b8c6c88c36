"""Decoding, by both coders: every tag, both mappings, every limit, and where errors say they are."""

from __future__ import annotations

import gc
import math
import struct
import sys
import threading
import tracemalloc
import zlib
from typing import Any

import pytest

from dspex_erl.errors import DecodeError, DecodeLimitError, TruncatedError
from dspex_erl.terms import (
    Atom,
    BitString,
    ByteAtom,
    ExactKey,
    Export,
    Fun,
    ImproperList,
    List,
    Map,
    OpaqueObject,
    Pid,
    Port,
    Reference,
)
from tests.coders import Coder, raising

V = b"\x83"


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def listing(*items: bytes, tail: bytes = b"j") -> bytes:
    return b"l" + u32(len(items)) + b"".join(items) + tail


def mapping(*items: bytes) -> bytes:
    return b"t" + u32(len(items) // 2) + b"".join(items)


def binary(data: bytes) -> bytes:
    return b"m" + u32(len(data)) + data


def atom(name: str) -> bytes:
    raw = name.encode()
    return b"w" + bytes([len(raw)]) + raw


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, ImproperList):
        return same(list(left), list(right)) and same(left.tail, right.tail)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        pairs = zip(sorted(left.items(), key=repr), sorted(right.items(), key=repr))
        return len(left) == len(right) and all(same(a, b) for a, b in pairs)
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


NODE = atom("n@h")
N = Atom("n@h")

# Bytes, the term in the mapping of ErlPort, and in ours where it differs.
SAME: Any = object()
TERMS: list[tuple[bytes, Any, Any]] = [
    (b"a\x00", 0, SAME),
    (b"a\xff", 255, SAME),
    (b"b\xff\xff\xff\xff", -1, SAME),
    (b"b\x80\x00\x00\x00", -(2**31), SAME),
    (b"n\x01\x00\x05", 5, SAME),
    (b"n\x00\x00", 0, SAME),
    (b"n\x00\x01", 0, SAME),
    (b"n\x09\x01" + b"\0" * 8 + b"\x01", -(2**64), SAME),
    (b"n\x01\x02\x05", -5, SAME),
    (b"n\x03\x00\x05\0\0", 5, SAME),
    (b"o\0\0\0\x01\x00\x07", 7, SAME),
    (b"o\0\0\x01\x00\x01" + b"\xff" * 256, -(2**2048 - 1), SAME),
    (b"F" + struct.pack(">d", 1.5), 1.5, SAME),
    (b"F" + struct.pack(">d", -0.0), -0.0, SAME),
    (b"F" + struct.pack(">d", 5e-324), 5e-324, SAME),
    (b"c" + b"2.50000000000000000000e+00".ljust(31, b"\0"), 2.5, SAME),
    (b"c" + b"-1.0".ljust(31, b"\0"), -1.0, SAME),
    (atom("true"), True, SAME),
    (atom("false"), False, SAME),
    (b"d\0\x04true", True, SAME),
    (b"s\x05false", False, SAME),
    (b"v\0\x04true", True, SAME),
    (atom("undefined"), None, Atom("undefined")),
    (atom("nil"), ByteAtom(b"nil"), None),
    (b"d\0\x03nil", ByteAtom(b"nil"), None),
    (atom("ok"), ByteAtom(b"ok"), Atom("ok")),
    (atom(""), ByteAtom(b""), Atom("")),
    (b"d\0\x02ok", ByteAtom(b"ok"), Atom("ok")),
    (b"s\x02ok", ByteAtom(b"ok"), Atom("ok")),
    (b"s\x01\xe9", ByteAtom(b"\xe9"), Atom("é")),
    (atom("é"), ByteAtom(b"\xe9"), Atom("é")),
    (atom("日"), ByteAtom("日"), Atom("日")),
    (b"v\x03\xfc" + "😀".encode() * 255, ByteAtom("😀" * 255), Atom("😀" * 255)),
    (binary(b""), b"", ""),
    (binary(b"hello"), b"hello", "hello"),
    (binary("日本".encode()), "日本".encode(), "日本"),
    (binary(b"\xff\xfe"), b"\xff\xfe", SAME),
    (binary(b"\xed\xa0\x80"), b"\xed\xa0\x80", SAME),
    (binary(b"x" * 70000), b"x" * 70000, "x" * 70000),
    (binary(b"\xff" * 70000), b"\xff" * 70000, SAME),
    (b"M\0\0\0\x01\x01\x80", BitString(b"\x80", 1), SAME),
    (b"M\0\0\0\x02\x03ab", BitString(b"a`", 3), SAME),
    (b"M\0\0\0\x02\x08ab", b"ab", "ab"),
    (b"M\0\0\0\x01\x08\xff", b"\xff", SAME),
    (b"M\0\0\0\0\x00", b"", ""),
    (b"j", List(), []),
    (b"k\0\x00", List(), []),
    (b"k\0\x03\x01\x02\xff", List([1, 2, 255]), [1, 2, 255]),
    (listing(b"a\x01", atom("ok")), List([1, ByteAtom(b"ok")]), [1, Atom("ok")]),
    (listing(b"a\x01", listing(b"j")), List([1, List([List()])]), [1, [[]]]),
    (listing(b"a\x01", tail=b"a\x02"), ImproperList([1], 2), SAME),
    (listing(b"a\x01", b"a\x02", tail=binary(b"x")), ImproperList([1, 2], b"x"), ImproperList([1, 2], "x")),
    (listing(b"a\x01", tail=b"h\0"), ImproperList([1], ()), SAME),
    (listing(b"a\x01", tail=listing(b"a\x02")), List([1, 2]), [1, 2]),
    (listing(b"a\x01", tail=listing(b"a\x02", tail=b"a\x03")), ImproperList([1, 2], 3), SAME),
    (listing(b"a\x01", tail=b"k\0\x02\x02\x03"), List([1, 2, 3]), [1, 2, 3]),
    (listing(b"a\x01", tail=listing(tail=b"j")), List([1]), [1]),
    (listing(tail=b"a\x05"), 5, SAME),
    (listing(tail=listing(tail=b"j")), List(), []),
    (listing(listing(tail=b"a\x05"), b"a\x06"), List([5, 6]), [5, 6]),
    (b"h\x02" + listing(tail=b"a\x05") + b"a\x06", (5, 6), SAME),
    (mapping(listing(tail=b"a\x05"), listing(tail=b"a\x06")), Map({5: 6}), {5: 6}),
    (b"h\0", (), SAME),
    (b"i\0\0\0\0", (), SAME),
    (b"h\x02a\x01a\x02", (1, 2), SAME),
    (b"i\0\0\0\x01a\x01", (1,), SAME),
    (b"i\0\0\x01\x00" + b"a\x07" * 256, (7,) * 256, SAME),
    (b"h\x01" + b"h\x02j" + binary(b"q"), ((List(), b"q"),), (([], "q"),)),
    (b"t\0\0\0\0", Map(), {}),
    (mapping(atom("a"), b"a\x01"), Map({ByteAtom(b"a"): 1}), {Atom("a"): 1}),
    (mapping(binary(b"a"), b"j"), Map({b"a": List()}), {"a": []}),
    (mapping(b"j", b"j"), Map({List(): List()}), {List(): []}),
    (mapping(b"t\0\0\0\0", b"t\0\0\0\0"), Map({Map(): Map()}), {Map(): {}}),
    (mapping(b"k\0\x01\x01", b"k\0\x01\x01"), Map({List([1]): List([1])}), {List([1]): [1]}),
    (mapping(listing(b"j", b"j"), listing(b"j", b"j")), Map({List([[], []]): List([[], []])}), {List([[], []]): [[], []]}),
    (mapping(b"h\x01j", b"h\x01j"), Map({(List(),): (List(),)}), {(List(),): ([],)}),
    (
        mapping(mapping(b"a\x01", listing(b"j")), mapping(b"a\x01", listing(b"j"))),
        Map({Map({1: [[]]}): Map({1: [[]]})}),
        {Map({1: [[]]}): {1: [[]]}},
    ),
    (mapping(listing(b"j", tail=b"a\x01"), b"a\x02"), Map({ImproperList([List()], 1): 2}), {ImproperList([List()], 1): 2}),
    (b"X" + NODE + u32(1) + u32(2) + u32(3), Pid(N, 1, 2, 3), SAME),
    (b"g" + NODE + u32(1) + u32(2) + b"\x03", Pid(N, 1, 2, 3), SAME),
    (b"Y" + NODE + u32(1) + u32(2), Port(N, 1, 2), SAME),
    (b"f" + NODE + u32(1) + b"\x02", Port(N, 1, 2), SAME),
    (b"x" + NODE + u32(1) + u32(2) + u32(3), Port(N, 2**32 + 2, 3), SAME),
    (b"Z\0\x02" + NODE + u32(3) + u32(1) + u32(2), Reference(N, 3, (1, 2)), SAME),
    (b"r\0\x02" + NODE + b"\x03" + u32(1) + u32(2), Reference(N, 3, (1, 2)), SAME),
    (b"e" + NODE + u32(1) + b"\x03", Reference(N, 3, (1,)), SAME),
    (b"q" + atom("m") + b"d\0\x01f" + b"a\x02", Export(Atom("m"), Atom("f"), 2), SAME),
]
OLD_FUN = b"u" + u32(1) + b"g" + NODE + u32(1) + u32(2) + b"\x03" + atom("m") + b"a\x01" + b"b\0\0\x01\0" + b"a\x07"


def new_fun(*free: bytes) -> bytes:
    body = b"\x02" + b"u" * 16 + u32(5) + u32(len(free)) + atom("m") + b"a\x01" + b"b\0\0\x01\0"
    body += b"X" + NODE + u32(1) + u32(2) + u32(3) + b"".join(free)
    return b"p" + u32(4 + len(body)) + body


TERMS += [
    (OLD_FUN, Fun(OLD_FUN), SAME),
    (new_fun(), Fun(new_fun()), SAME),
    (new_fun(b"a\x01", new_fun(b"j")), Fun(new_fun(b"a\x01", new_fun(b"j"))), SAME),
]


def expected(row: tuple[bytes, Any, Any], strings: str) -> Any:
    return row[1] if strings == "bytes" or row[2] is SAME else row[2]


@pytest.mark.parametrize("row", TERMS, ids=[f"{index}-tag{row[0][0]}" for index, row in enumerate(TERMS)])
class TestEveryTag:
    def test_alone(self, coder: Coder, strings: str, row: Any) -> None:
        assert same(coder.decode(V + row[0], strings=strings), expected(row, strings))

    def test_among_others(self, coder: Coder, strings: str, row: Any) -> None:
        data = V + b"h\x03" + row[0] + mapping(b"a\x01", row[0], b"a\x02", row[0]) + listing(row[0], b"a\x02")
        term = coder.decode(data, strings=strings)
        value = expected(row, strings)
        assert same(term[0], value)
        assert same(dict(term[1]), {1: value, 2: value})
        assert same(list(term[2]), [value, 2])

    def test_every_prefix_is_truncated(self, coder: Coder, strings: str, row: Any) -> None:
        data = V + b"h\x02a\x01" + row[0]
        for size in sorted({*range(min(len(data), 60)), *range(max(0, len(data) - 8), len(data))}):
            with pytest.raises(TruncatedError) as caught:
                coder.decode(data[:size], strings=strings)
            assert caught.value.offset == size

    def test_from_other_buffers(self, coder: Coder, strings: str, row: Any) -> None:
        data = V + row[0]
        padded = memoryview(b"##" + data)[2:]
        for source in (bytearray(data), memoryview(data), memoryview(bytearray(data)), padded):
            assert same(coder.decode(source, strings=strings), expected(row, strings))

    def test_one_after_the_other(self, coder: Coder, strings: str, row: Any) -> None:
        data = (V + row[0]) * 2 + b"more"
        size = 1 + len(row[0])
        for offset in (0, size):
            term, end = coder.decode_from(data, offset, strings=strings)
            assert same(term, expected(row, strings))
            assert end == offset + size

    def test_as_the_key_of_a_map(self, coder: Coder, row: Any) -> None:
        term = coder.decode(V + mapping(row[0], b"a\x00"))
        assert same(list(term), [expected(row, "bytes")])


class TestArguments:
    def test_trailing_bytes(self, coder: Coder) -> None:
        with raising(DecodeError, offset=3, path="$"):
            coder.decode(b"\x83a\x01\x00")

    @pytest.mark.parametrize(("data", "offset"), [(b"\x82a\x01", 0), (b"a\x01", 0)])
    def test_another_version(self, coder: Coder, data: bytes, offset: int) -> None:
        with raising(DecodeError, offset=offset, path="$"):
            coder.decode(data)

    @pytest.mark.parametrize("data", [None, "text", 5, [131]])
    def test_no_bytes(self, coder: Coder, data: Any) -> None:
        with pytest.raises(TypeError):
            coder.decode(data)
        with pytest.raises(TypeError):
            coder.decode_from(data, 0)

    def test_a_buffer_with_gaps(self, coder: Coder) -> None:
        with pytest.raises(TypeError):
            coder.decode(memoryview(b"\x83#a#\x01#")[::2])

    @pytest.mark.parametrize("offset", [None, "0", 1.0])
    def test_no_offset(self, coder: Coder, offset: Any) -> None:
        with pytest.raises(TypeError):
            coder.decode_from(b"\x83a\x01", offset)

    @pytest.mark.parametrize("offset", [-1, 4, 2**80])
    def test_an_offset_outside(self, coder: Coder, offset: int) -> None:
        with pytest.raises(ValueError, match="offset"):
            coder.decode_from(b"\x83a\x01", offset)

    def test_an_offset_at_the_end_needs_more_bytes(self, coder: Coder) -> None:
        with raising(TruncatedError, offset=3, path="$"):
            coder.decode_from(b"\x83a\x01", 3)

    def test_a_large_buffer_of_another_shape(self, coder: Coder) -> None:
        data = V + binary(b"x" * 100_001)
        words = memoryview(bytearray(data + b"#" * (-len(data) % 4))).cast("I")
        assert coder.decode_from(words, 0)[0] == b"x" * 100_001

    @pytest.mark.parametrize("threshold", [0, 1000])
    def test_a_large_mutable_buffer_is_not_kept(self, coder: Coder, threshold: int) -> None:
        data = bytearray(
            V + listing(binary(b"x" * 100_000), atom("a"), b"d\0\x01b", b"s\x01c", binary(b"y"), b"a\1", mapping(b"a\1", b"j"))
        )
        term = coder.decode(data, view_threshold=threshold)
        if not threshold:
            data[:] = b"\0" * 5
        assert (bytes(term[0]), term[1:]) == (b"x" * 100_000, [b"a", b"b", b"c", b"y", 1, {1: []}])
        assert coder.decode(bytearray(V + binary("é".encode() * 70000)), strings="str") == "é" * 70000


class TestFaults:
    @pytest.mark.parametrize(
        ("data", "offset", "path"),
        [
            (b"\x83\x00", 1, "$"),
            (b"\x83P", 2, "$"),
            (b"\x83l\0\0\0\x01\xffj", 6, "$[0]"),
            (V + listing(b"a\x01", tail=b"\xff"), 8, "$[1]"),
            (b"\x83h\x02a\x01R", 5, "$[1]"),
            (b"\x83h\x01P", 3, "$[0]"),
            (V + mapping(b"\xff", b"j"), 6, "$[0]"),
            (V + mapping(b"a\x01", b"a\x02", b"\xff", b"j"), 10, "$[1]"),
            (V + mapping(b"a\x01", b"a\x02", b"j", b"\xff"), 11, "$[a List key]"),
            (V + mapping(binary(b"k"), b"\xff"), 12, "$[b'k']"),
            (V + listing(mapping(b"a\x05", b"h\x02a\x01\xff")), 17, "$[0][5][1]"),
            (V + mapping(b"h\x02a\x01\xff", b"j"), 10, "$[0][1]"),
            (V + mapping(listing(mapping(b"a\x01", b"\xff")), b"j"), 18, "$[0][0][1]"),
            (V + b"F" + struct.pack(">d", math.inf), 1, "$"),
            (V + listing(*[b"F" + struct.pack(">d", 1.0)] * 9, b"F" + struct.pack(">d", math.nan)), 87, "$[9]"),
            (V + listing(*[b"F" + struct.pack(">d", 1.0)] * 19, b"F" + struct.pack(">d", math.nan), b"j"), 177, "$[19]"),
            (V + b"c" + b"1e5".ljust(31, b"\0"), 1, "$"),
            (V + b"c" + b" 1.0".ljust(31, b"\0"), 1, "$"),
            (V + b"c" + b"1_0.0".ljust(31, b"\0"), 1, "$"),
            (V + b"c" + b"inf".ljust(31, b"\0"), 1, "$"),
            (V + b"c" + b"1.0e999".ljust(31, b"\0"), 1, "$"),
            (V + b"w\x01\xff", 1, "$"),
            (V + b"w\x03\xed\xa0\x80", 1, "$"),
            (V + b"v\x01\x00" + b"a" * 256, 1, "$"),
            (V + b"d\x01\x00" + b"a" * 256, 1, "$"),
            (V + b"h\x01v\0\x01\xff", 3, "$[0]"),
            (V + b"M\0\0\0\x01\x00a", 1, "$"),
            (V + b"M\0\0\0\x01\x09a", 1, "$"),
            (V + b"M\0\0\0\0\x08", 1, "$"),
            (V + b"h\x01X" + b"a\x01" + u32(0) * 3, 3, "$[0]"),
            (V + b"Xw\x01\xff" + u32(0) * 3, 1, "$"),
            (V + b"Z\0\0" + NODE + u32(0), 1, "$"),
            (V + b"Z\0\x06" + NODE + u32(0) * 7, 1, "$"),
            (V + b"q" + atom("m") + atom("f") + b"b\0\0\0\1", 1, "$"),
            (V + b"p" + u32(len(new_fun())) + new_fun()[5:] + b"j", 1, "$"),
            (V + b"p" + u32(5000) + new_fun()[5:], 1, "$"),
        ],
    )
    def test_place(self, coder: Coder, strings: str, data: bytes, offset: int, path: str) -> None:
        try:
            coder.decode(data, strings=strings)
        except DecodeError as error:
            found = type(error) if data != b"\x83P" else DecodeError
            assert (found, error.offset, error.path.replace("b'k'", "'k'")) == (DecodeError, offset, path.replace("b'k'", "'k'"))
        else:
            raise AssertionError("decoded")

    def test_a_path_is_cut_after_sixteen_steps(self, coder: Coder) -> None:
        for depth in (16, 17, 40):
            data = V + b"h\x02a\x01" * depth + b"\xff"
            with raising(DecodeError, path="$" + "[1]" * 16 + "…" * (depth > 16), offset=1 + 4 * depth):
                coder.decode(data)

    def test_a_failed_decode_leaves_the_decoder_usable(self, coder: Coder) -> None:
        from dspex_erl.etf._options import Options

        decoder = coder.decoder_class(Options())
        good = V + mapping(atom("a"), b"h\x01j")
        for cut in range(1, len(good)):
            with pytest.raises(TruncatedError):
                decoder.decode(good[:cut])
            assert decoder.decode(good) == {b"a": (List(),)}


class TestNumbersInALine:
    """Runs of numbers are read at once; nothing of that may show."""

    @pytest.mark.parametrize("count", [1, 5, 6, 7, 8, 9, 15, 511, 512, 513, 1025])
    @pytest.mark.parametrize("item", [(b"a\x07", 7), (b"b\xff\xff\xff\0", -256), (b"F" + struct.pack(">d", 0.1), 0.1)])
    def test_runs(self, coder: Coder, strings: str, count: int, item: tuple[bytes, Any]) -> None:
        raw, value = item
        for data, kind in ((listing(*[raw] * count), list), (b"i" + u32(count) + raw * count, tuple)):
            term = coder.decode(V + data, strings=strings)
            assert kind(term) == kind([value] * count)
        broken = V + listing(*[raw] * count, b"\xff")
        with raising(DecodeError, offset=len(broken) - 2, path=f"$[{count}]"):
            coder.decode(broken, strings=strings)
        if count > 1:
            with raising(TruncatedError, path=f"$[{count - 1}]"):
                coder.decode(V + listing(*[raw] * count)[:-2])

    def test_mixed(self, coder: Coder) -> None:
        raws = [b"a\x07", b"b\0\0\1\0", b"F" + struct.pack(">d", 0.5), b"n\1\0\7", b"j"]
        values = [7, 256, 0.5, 7, []]
        for period in (1, 2, 3, 10, 70, 200):
            picks = [(index // period) % 5 for index in range(2000)]
            term = coder.decode(V + listing(*[raws[pick] for pick in picks]), strings="str")
            assert term == [values[pick] for pick in picks]

    def test_floats_whose_sum_is_too_large(self, coder: Coder) -> None:
        huge = b"F" + struct.pack(">d", 1.7e308)
        assert coder.decode(V + listing(*[huge] * 20), strings="str") == [1.7e308] * 20

    def test_in_a_map_numbers_are_not_counted_as_keys(self, coder: Coder) -> None:
        data = b"".join(b"a" + bytes([index, 97, index]) for index in range(100))
        assert coder.decode(V + b"t" + u32(100) + data, strings="str") == {index: index for index in range(100)}


class TestMapsAlike:
    """The keys of the next map are guessed; nothing of that may show."""

    @staticmethod
    def person(*keys: str, value: bytes = b"a\x01") -> bytes:
        return mapping(*(part for key in keys for part in (atom(key), value)))

    def test_the_same_keys_again_and_again(self, coder: Coder, strings: str) -> None:
        term = coder.decode(V + listing(*[self.person("a", "b", "c", value=binary(b"x"))] * 50), strings=strings)
        assert len(term) == 50
        assert all(same(item, term[0]) for item in term)
        assert len(term[0]) == 3

    def test_other_keys_now_and_then(self, coder: Coder) -> None:
        names = [("a", "b"), ("a", "b"), ("a", "b"), ("a", "c"), ("x", "y"), ("a", "b"), ("a", "b"), ("p", "q"), ("a", "b")] * 9
        term = coder.decode(V + listing(*(self.person(*keys) for keys in names)), strings="str")
        assert term == [dict.fromkeys(map(Atom, keys), 1) for keys in names]

    def test_keys_of_another_tag(self, coder: Coder) -> None:
        maps = [self.person("a", "b"), mapping(b"d\0\1a", b"j", b"s\1b", b"j"), mapping(binary(b"a"), b"j", binary(b"b"), b"j")] * 5
        term = coder.decode(V + listing(*maps), strings="str")
        assert [type(next(iter(item))) for item in term] == [Atom, Atom, str] * 5

    def test_nested(self, coder: Coder) -> None:
        inner = self.person("a", "b", value=b"j")
        outer = mapping(atom("a"), inner, atom("b"), inner)
        term = coder.decode(V + listing(*[outer] * 6), strings="str")
        assert term == [{"a": {"a": [], "b": []}, "b": {"a": [], "b": []}}] * 6
        assert all(type(key) is Atom for item in term for key in item)

    def test_keys_that_cannot_be_guessed(self, coder: Coder) -> None:
        odd = mapping(b"a\x01", b"j", b"a\x02", b"j")
        deep = mapping(listing(b"j"), b"j", b"h\x01j", b"j")
        for item in (odd, deep):
            term = coder.decode(V + listing(*[item] * 12), strings="str")
            assert all(part == term[0] and len(part) == 2 for part in term)

    def test_keys_that_python_takes_for_one(self, coder: Coder) -> None:
        item = mapping(atom("a"), b"a\x01", binary(b"a"), b"h\x01j")
        term = coder.decode(V + listing(*[item] * 12))
        assert all(same(part, Map({ByteAtom(b"a"): 1, ExactKey(b"a"): (List(),)})) for part in term)

    def test_a_list_without_elements_before_a_key_and_a_value(self, coder: Coder) -> None:
        empty = b"l\0\0\0\0"
        item = mapping(empty + atom("a"), empty + b"h\x01j", empty + empty + atom("b"), b"h\x01j")
        term = coder.decode(V + listing(*[item] * 6), strings="str")
        assert term == [{"a": ([],), "b": ([],)}] * 6

    def test_maps_of_one_size_in_each_other(self, coder: Coder) -> None:
        item = self.person("a", "b", value=b"j")
        for _ in range(7):
            item = mapping(atom("x"), item, atom("y"), item)
        term = coder.decode(V + item, strings="str")
        for _ in range(7):
            assert list(term) == ["x", "y"]
            assert term["x"] == term["y"]
            term = term["y"]
        assert term == {"a": [], "b": []}

    def test_faults_in_a_guessed_map(self, coder: Coder) -> None:
        good = self.person("a", "b", value=b"j")
        head = V + b"l" + u32(9) + good * 5
        cases = [
            (b"t\0\0\0\2" + atom("a") + b"\xff", 8, "$[5]['a']"),
            (b"t\0\0\0\2" + atom("a") + b"j" + atom("b") + b"\xff", 12, "$[5]['b']"),
            (b"t\0\0\0\2" + atom("a") + b"j" + b"\xff", 9, "$[5][1]"),
            (b"t\0\0\0\2" + atom("a") + b"h\x02j\xff", 11, "$[5]['a'][1]"),
            (b"t\0\0\0\2" + atom("a") + b"j" + atom("b") + b"h\x02j\xff", 15, "$[5]['b'][1]"),
        ]
        for tail, offset, path in cases:
            with raising(DecodeError, offset=len(head) + offset, path=path):
                coder.decode(head + tail + b"j" * 40, strings="str")
        with pytest.raises(TruncatedError) as caught:
            coder.decode(head + b"t\0\0\0\2" + atom("a") + b"l" + u32(20), strings="str")
        assert caught.value.path == "$[5]['a']"

    def test_what_is_owed_to_a_guessed_map(self, coder: Coder) -> None:
        # Two elements and a tail inside the map, one key and one value after it, three maps and a tail: 3 + 2 + 3 + 1 bytes.
        good = self.person("a", "b", value=b"j")
        head = V + b"l" + u32(9) + good * 5 + b"t\0\0\0\2" + atom("a") + b"l" + u32(2)
        for rest, path in ((8, "$[5]['a']"), (9, "$[5]['a'][0]")):
            with pytest.raises((TruncatedError, DecodeError)) as caught:
                coder.decode(head + b"\xff" * rest, strings="str")
            assert caught.value.path == path


class TestKeys:
    @pytest.mark.parametrize(
        ("keys", "decoded"),
        [
            ([b"a\x01", b"F" + struct.pack(">d", 1.0)], [1, ExactKey(1.0)]),
            ([b"F" + struct.pack(">d", 1.0), b"a\x01", atom("true")], [1.0, ExactKey(1), ExactKey(True)]),
            ([atom("false"), b"a\x00"], [False, ExactKey(0)]),
            ([atom("a"), binary(b"a")], [ByteAtom(b"a"), ExactKey(b"a")]),
            ([b"h\x01a\x01", b"h\x01" + atom("true")], [(1,), ExactKey((True,))]),
            ([b"k\0\x01\x01", listing(b"F" + struct.pack(">d", 1.0))], [List([1]), ExactKey(List([1.0]))]),
            ([mapping(b"a\x01", b"a\x01"), mapping(b"a\x01", atom("true"))], [Map({1: 1}), ExactKey(Map({1: True}))]),
            (
                [listing(b"a\x01", tail=b"a\x01"), listing(b"a\x01", tail=atom("true"))],
                [ImproperList([1], 1), ExactKey(ImproperList([1], True))],
            ),
        ],
    )
    def test_that_only_erlang_tells_apart(self, coder: Coder, keys: list[bytes], decoded: list[Any]) -> None:
        data = V + b"h\x01" + mapping(*(part for key in keys for part in (key, b"j")))
        term = coder.decode(data)[0]
        assert type(term) is Map
        assert same(list(term), decoded)
        if b"m\0" in data:
            return
        with raising(DecodeError, offset=3):
            coder.decode(data, strings="str")

    def test_text_and_atom(self, coder: Coder) -> None:
        data = V + b"h\x01" + mapping(atom("a"), b"j", binary(b"a"), b"j")
        with raising(DecodeError, offset=3, path="$[0]['a']"):
            coder.decode(data, strings="str")

    @pytest.mark.parametrize(
        "key", [b"a\x01", atom("a"), binary(b"k"), listing(b"a\x01"), b"h\x01j", b"F" + struct.pack(">d", 0.5)]
    )
    def test_twice(self, coder: Coder, strings: str, key: bytes) -> None:
        data = V + b"h\x01" + mapping(key, b"j", key, b"j")
        with pytest.raises(DecodeError) as caught:
            coder.decode(data, strings=strings)
        assert caught.value.offset == 3
        assert caught.value.path.startswith("$[0][")

    def test_twice_as_exact_keys(self, coder: Coder) -> None:
        with raising(DecodeError, offset=1, path="$[True]"):
            coder.decode(V + mapping(b"a\x01", b"j", atom("true"), b"j", atom("true"), b"j"))

    def test_signed_zeros(self, coder: Coder) -> None:
        term = coder.decode(V + mapping(b"F" + struct.pack(">d", 0.0), b"a\x01", b"F" + struct.pack(">d", -0.0), b"a\x02"))
        assert same(list(term), [0.0, ExactKey(-0.0)])

    def test_as_deep_as_allowed(self, coder: Coder, strings: str) -> None:
        for depth, fits in ((100, True), (101, False)):
            for raw in (b"h\x01" * depth + b"a\x01", b"l\0\0\0\1" * depth + b"a\x01" + b"j" * depth):
                data = V + b"h\x01" + mapping(raw, b"a\x00")
                if fits:
                    assert len(coder.decode(data, strings=strings)[0]) == 1
                    continue
                offset = 8 + 100 * (2 if raw[:1] == b"h" else 5)
                with raising(DecodeLimitError, limit="max_depth", maximum=100, offset=offset):
                    coder.decode(data, strings=strings)

    def test_the_depth_of_a_key_starts_anew(self, coder: Coder) -> None:
        key = b"h\x01" * 60 + b"a\x01"
        value = b"h\x01" * 200 + b"a\x01"
        data = V + listing(mapping(key, value), mapping(key, mapping(key, value)))
        assert len(coder.decode(data)) == 2

    def test_the_depth_of_a_key_counts_from_the_outermost(self, coder: Coder) -> None:
        inner = mapping(b"h\x01" * 60 + b"a\x01", b"j")
        with raising(DecodeLimitError, limit="max_depth", maximum=100):
            coder.decode(V + mapping(b"h\x01" * 60 + inner, b"j"))

    def test_max_depth_may_be_smaller_than_the_depth_of_a_key(self, coder: Coder) -> None:
        data = V + mapping(b"h\x01" * 5 + b"a\x01", b"j")
        assert coder.decode(data, max_depth=6)
        with raising(DecodeLimitError, limit="max_depth", maximum=5, offset=14, path="$[0][0][0][0][0]"):
            coder.decode(data, max_depth=5)

    def test_lists_in_a_key_of_our_mapping_are_frozen_and_others_are_not(self, coder: Coder) -> None:
        part = b"h\x02" + listing(b"j", b"t\0\0\0\0") + b"k\0\x01\x01"
        term = coder.decode(V + mapping(part, part, b"a\x01", part), strings="str")
        key, one = term
        assert same(key, (List([List(), Map()]), List([1])))
        assert same(term[key], ([[], {}], [1]))
        assert same(term[one], ([[], {}], [1]))

    def test_large_binaries_in_keys(self, coder: Coder, strings: str) -> None:
        data = V + mapping(binary(b"x" * 70000), b"a\x01", b"h\x01" + binary(b"y" * 70000), binary(b"z" * 70000))
        term = coder.decode(data, strings=strings, view_threshold=1000)
        first, second = term
        kind = str if strings == "str" else bytes
        assert (type(first), type(second[0])) == (kind, kind)
        assert type(term[second]) is memoryview


class TestFlood:
    @staticmethod
    def same_hash(count: int) -> bytes:
        modulus = sys.hash_info.modulus
        numbers = [1 + index * modulus for index in range(count)]
        keys = [b"n" + bytes([(n.bit_length() + 7) // 8, 0]) + n.to_bytes((n.bit_length() + 7) // 8, "little") for n in numbers]
        return b"".join(key + b"j" for key in keys)

    @staticmethod
    def others(count: int) -> bytes:
        return b"".join(b"b" + u32(10**6 + index) + b"j" for index in range(count))

    def test_few_keys_of_one_hash(self, coder: Coder) -> None:
        data = V + b"t" + u32(1128) + self.others(1000) + self.same_hash(128)
        assert len(coder.decode(data)) == 1128

    def test_too_many_keys_of_one_hash(self, coder: Coder, strings: str) -> None:
        data = V + b"h\x01t" + u32(1129) + self.others(1000) + self.same_hash(129)
        with raising(DecodeLimitError, limit="max_same_hash", maximum=128, offset=3, path="$[0]"):
            coder.decode(data, strings=strings)

    def test_small_maps_are_not_counted(self, coder: Coder) -> None:
        assert len(coder.decode(V + b"t" + u32(1000) + self.others(800) + self.same_hash(200))) == 1000

    def test_text_and_atoms_are_not_counted(self, coder: Coder, strings: str) -> None:
        data = b"".join(binary(b"%d" % index) + b"j" + atom(f"a{index}") + b"j" for index in range(1000))
        assert len(coder.decode(V + b"t" + u32(2000) + data, strings=strings)) == 2000


class TestLimits:
    def test_max_bytes(self, coder: Coder) -> None:
        data = V + b"h\x01a\x01"
        assert coder.decode(data, max_bytes=5) == (1,)
        with raising(DecodeLimitError, limit="max_bytes", maximum=4, offset=0, path="$"):
            coder.decode(data, max_bytes=4)
        assert coder.decode_from(b"##" + data, 2, max_bytes=5) == ((1,), 7)
        with raising(DecodeLimitError, limit="max_bytes", maximum=4, offset=2, path="$"):
            coder.decode_from(b"##" + data, 2, max_bytes=4)

    @pytest.mark.parametrize("raw", [b"h\x01", b"i\0\0\0\1", b"l\0\0\0\1", b"t\0\0\0\1a\x01"])
    def test_max_depth(self, coder: Coder, raw: bytes) -> None:
        closing = b"j" if raw[:1] == b"l" else b""
        data = V + raw * 3 + b"a\x01" + closing * 3
        assert coder.decode(data, max_depth=3)
        step = "[1]" if raw[:1] == b"t" else "[0]"
        with raising(DecodeLimitError, limit="max_depth", maximum=2, offset=1 + 2 * len(raw), path="$" + 2 * step):
            coder.decode(data, max_depth=2)
        with raising(DecodeLimitError, limit="max_depth", maximum=0, offset=1, path="$"):
            coder.decode(data, max_depth=0)

    @pytest.mark.parametrize("raw", [b"h\0", b"i\0\0\0\0", b"j", b"t\0\0\0\0", b"k\0\x01\x01", b"l\0\0\0\0j"])
    def test_what_is_not_deep(self, coder: Coder, raw: bytes) -> None:
        coder.decode(V + raw, max_depth=0)

    @pytest.mark.parametrize(
        ("raw", "elements"),
        [
            (b"h\x03a\x01a\x01a\x01", 3),
            (b"i\0\0\0\3a\x01a\x01a\x01", 3),
            (b"l\0\0\0\3a\x01a\x01a\x01j", 3),
            (b"l\0\0\0\3a\x01a\x01a\x01a\x01", 3),
            (b"l\0\0\0\1a\x01l\0\0\0\2a\x01a\x01j", 3),
            (b"l\0\0\0\1a\x01k\0\2ab", 3),
            (b"k\0\3abc", 3),
            (b"t\0\0\0\2a\x01a\x01a\x02a\x01", 4),
            (b"h\x02a\x01h\x01j", 3),
            (listing(*[b"a\x01"] * 20), 20),
        ],
    )
    def test_max_elements(self, coder: Coder, raw: bytes, elements: int) -> None:
        assert coder.decode(V + raw, max_elements=elements)
        with pytest.raises(DecodeLimitError) as caught:
            coder.decode(V + raw, max_elements=elements - 1)
        assert (caught.value.limit, caught.value.maximum) == ("max_elements", elements - 1)

    def test_max_elements_place(self, coder: Coder) -> None:
        with raising(DecodeLimitError, limit="max_elements", offset=5, path="$[1]"):
            coder.decode(V + b"h\x02a\x01h\x01j", max_elements=2)
        with raising(DecodeLimitError, limit="max_elements", offset=8, path="$[1]"):
            coder.decode(V + b"l\0\0\0\1a\x01k\0\2ab", max_elements=2)
        with raising(DecodeLimitError, limit="max_elements", offset=1, path="$"):
            coder.decode(V + b"l\xff\xff\xff\xff", max_elements=100)

    @pytest.mark.parametrize("tag", [b"w", b"s"])
    def test_max_atoms(self, coder: Coder, strings: str, tag: bytes) -> None:
        names = [tag + b"\x01" + bytes([97 + index]) for index in range(4)]
        data = V + b"h\x08" + b"".join(names) * 2
        assert len(coder.decode(data, strings=strings, max_atoms=4)) == 8
        for _ in range(2):
            with raising(DecodeLimitError, limit="max_atoms", maximum=3, offset=12, path="$[3]"):
                coder.decode(data, strings=strings, max_atoms=3)
        with raising(DecodeLimitError, limit="max_atoms", maximum=0, offset=3, path="$[0]"):
            coder.decode(data, strings=strings, max_atoms=0)

    def test_max_atoms_counts_long_ones(self, coder: Coder) -> None:
        name = b"v\x01\x04" + "é".encode() * 130
        assert len(coder.decode(V + b"h\x02" + name + name, max_atoms=1)) == 2
        with raising(DecodeLimitError, limit="max_atoms", maximum=1, offset=266, path="$[1]"):
            coder.decode(V + b"h\x02" + name + name[:-2] + b"zz", max_atoms=1)

    @pytest.mark.parametrize("raw", [b"n\x04\0abcd", b"o\0\0\0\4\0abcd"])
    def test_max_digits(self, coder: Coder, raw: bytes) -> None:
        assert coder.decode(V + b"h\x01" + raw, max_digits=4)
        with raising(DecodeLimitError, limit="max_digits", maximum=3, offset=3, path="$[0]"):
            coder.decode(V + b"h\x01" + raw, max_digits=3)

    def test_max_digits_comes_before_the_missing_bytes(self, coder: Coder) -> None:
        with raising(DecodeLimitError, limit="max_digits", offset=1):
            coder.decode(b"\x83o\xff\xff\xff\xff\0")

    @pytest.mark.parametrize(
        ("data", "path"),
        [
            (b"\x83l\x00\x00\xff\xff" + b"j" * 100, "$"),
            (b"\x83i\x00\x00\xff\xff" + b"j" * 100, "$"),
            (b"\x83t\x00\x00\xff\xff" + b"j" * 100, "$"),
            (b"\x83h\xff" + b"j" * 100, "$"),
            (b"\x83l\0\0\0\x0a" + b"j" * 10, "$"),
            (b"\x83h\x04" + b"h\x02j", "$"),
            (b"\x83h\x03" + b"h\x02j", "$[0]"),
            (b"\x83h\x03" + b"h\x02jj", "$[0]"),
            (b"\x83h\x03" + b"l\0\0\0\1jj" + b"l\0\0\0\1j", "$[1]"),
            (b"\x83l\0\0\0\2jl\0\0\0\2jj", "$[1]"),
            (b"\x83l\0\0\0\1jl\0\0\0\3jjj", "$[1]"),
            (b"\x83h\x02l\0\0\0\1jl\0\0\0\2jjj", "$[0][1]"),
            (b"\x83l\0\0\0\1jk\0\5jjj", "$[1]"),
        ],
    )
    def test_counts_that_the_bytes_cannot_hold(self, coder: Coder, data: bytes, path: str) -> None:
        with raising(TruncatedError, offset=len(data), path=path):
            coder.decode(data)

    def test_claims_take_no_memory(self, coder: Coder) -> None:
        data = V + (b"l" + u32(8_000_000)) * 5000
        tracemalloc.start()
        try:
            with pytest.raises((TruncatedError, DecodeLimitError)):
                coder.decode(data)
            assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
        finally:
            tracemalloc.stop()


class TestDepth:
    DEPTH = 1_000_000

    @pytest.mark.parametrize("raw", [b"h\x01", b"l\0\0\0\1", b"t\0\0\0\1a\x01", b"h\x02a\x01"])
    def test_a_million_containers(self, coder: Coder, raw: bytes) -> None:
        closing = b"j" * self.DEPTH if raw[:1] == b"l" else b""
        term = coder.decode(V + raw * self.DEPTH + b"a\x02" + closing, strings="str", max_depth=2_000_000)
        depth = 0
        while type(term) is not int:
            (*_, inner) = term.values() if type(term) is dict else term
            # The outer container is dropped while the inner one lives: nothing is freed recursively.
            term = inner
            depth += 1
        assert (term, depth) == (2, self.DEPTH)

    def test_lists_in_tails(self, coder: Coder) -> None:
        data = V + b"l\0\0\0\1a\x01" * 200_000 + b"j"
        assert coder.decode(data, strings="str", max_depth=1) == [1] * 200_000

    def test_lists_without_elements(self, coder: Coder) -> None:
        many = b"l\0\0\0\0" * 100_000
        assert coder.decode(V + many + b"a\x01") == 1
        assert coder.decode(V + b"i" + u32(100_000) + b"l\0\0\0\0a\x01" * 100_000) == (1,) * 100_000
        assert coder.decode(V + mapping(many + b"a\x01", many + b"a\x02", many + b"a\x03", many + b"a\x04")) == {1: 2, 3: 4}

    def test_lists_without_elements_in_maps_of_one_shape(self, coder: Coder) -> None:
        many = b"l\0\0\0\0" * 500_000
        maps = b"".join(mapping(b"a\x01", many + b"a\x02", b"a\x03", many + b"a\x04") for _ in range(4))
        assert coder.decode(V + b"h\x04" + maps) == ({1: 2, 3: 4},) * 4

    def test_improper_tails(self, coder: Coder) -> None:
        data = V + b"l\0\0\0\1a\x01h\x01" * 1000 + b"a\x02"
        term = coder.decode(data)
        for _ in range(1000):
            assert type(term) is ImproperList
            (term,) = term.tail
        assert term == 2
        with raising(DecodeLimitError, limit="max_depth", maximum=3, offset=17, path="$[1][0][1]"):
            coder.decode(data, max_depth=3)


class TestViews:
    def test_large_binaries_are_slices_of_the_input(self, coder: Coder, strings: str) -> None:
        data = V + b"h\x02" + binary(b"x" * 99) + binary(b"y" * 100)
        small, large = coder.decode(data, strings=strings, view_threshold=100)
        assert small == ("x" * 99 if strings == "str" else b"x" * 99)
        assert (type(large), large.readonly, large.obj is data, bytes(large)) == (memoryview, True, True, b"y" * 100)

    def test_of_a_mutable_input_are_read_only(self, coder: Coder) -> None:
        data = bytearray(V + binary(b"y" * 100))
        view = coder.decode(data, view_threshold=1)
        assert view.readonly
        data[6:9] = b"abc"
        assert bytes(view[:4]) == b"abcy"

    def test_empty_binaries_are_no_views(self, coder: Coder) -> None:
        assert type(coder.decode(V + binary(b""), view_threshold=1)) is bytes

    def test_bit_strings_are_no_views(self, coder: Coder) -> None:
        assert type(coder.decode(V + b"M\0\0\0\2\x08ab", view_threshold=1)) is bytes


def compressed(raw: bytes, size: int | None = None) -> bytes:
    return V + b"P" + u32(len(raw) if size is None else size) + zlib.compress(raw)


class TestCompressed:
    def test_term(self, coder: Coder) -> None:
        raw = listing(*[binary(b"again")] * 9)
        data = compressed(raw)
        assert coder.decode(data) == [b"again"] * 9
        assert coder.decode_from(b"#" + data + b"#" * 200_000, 1) == ([b"again"] * 9, 1 + len(data))

    def test_nothing_but_at_the_top(self, coder: Coder) -> None:
        inner = compressed(b"a\x01")[1:]
        with raising(DecodeError, offset=3, path="$[0]"):
            coder.decode(V + b"h\x01" + inner)
        with raising(DecodeError, offset=1, path="$"):
            coder.decode(compressed(inner))

    def test_size(self, coder: Coder) -> None:
        for size in (0, 1, 3, 200):
            with raising(DecodeError, offset=1, path="$"):
                coder.decode(compressed(b"a\x01", size))

    def test_max_inflated(self, coder: Coder) -> None:
        raw = binary(b"x" * 995)
        assert coder.decode(compressed(raw), max_inflated=1000) == b"x" * 995
        with raising(DecodeLimitError, limit="max_inflated", maximum=999, offset=1, path="$"):
            coder.decode(compressed(raw), max_inflated=999)

    def test_a_bomb_is_not_inflated(self, coder: Coder) -> None:
        data = V + b"P" + u32(100) + zlib.compress(bytes(50_000_000))
        tracemalloc.start()
        try:
            with raising(DecodeError, offset=1):
                coder.decode(data)
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()

    def test_cut(self, coder: Coder) -> None:
        data = compressed(listing(*[b"a\x01"] * 9))
        for size in range(1, len(data)):
            with raising(TruncatedError, offset=size, path="$"):
                coder.decode(data[:size])

    def test_no_zlib_stream(self, coder: Coder) -> None:
        with raising(DecodeError, offset=1, path="$"):
            coder.decode(V + b"P" + u32(100) + b"no such stream")

    def test_trailing_bytes(self, coder: Coder) -> None:
        with raising(DecodeError, offset=1, path="$"):
            coder.decode(compressed(b"a\x01a\x02"))
        data = compressed(b"a\x01")
        with raising(DecodeError, offset=len(data), path="$"):
            coder.decode(data + b"#")

    def test_faults_inside_keep_their_path(self, coder: Coder) -> None:
        with raising(DecodeError, offset=3, path="$[1]"):
            coder.decode_from(b"##" + compressed(b"h\x02a\x01\xff"), 2)
        with raising(DecodeError, offset=1, path="$[1]"):
            coder.decode(compressed(b"h\x02a\x01b"))
        with raising(DecodeLimitError, offset=1, path="$[1]", limit="max_elements", maximum=2):
            coder.decode(compressed(b"h\x02a\x01h\x01j"), max_elements=2)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


class Clumsy:
    def __hash__(self) -> int:
        raise IndexError("clumsy")


class Greedy:
    def __hash__(self) -> int:
        raise MemoryError


class TestStructs:
    DATE = mapping(atom("__struct__"), atom("Elixir.Date"), atom("day"), b"a\x05")

    def test_hook(self, coder: Coder, strings: str) -> None:
        field = "day" if strings == "str" else b"day"
        given: list[Any] = []

        def hook(fields: dict[Any, Any]) -> Any:
            given.append(type(fields))
            return ("date", fields[field])

        data = V + listing(*[self.DATE] * 5, mapping(b"a\1", b"a\2"))
        term = coder.decode(data, strings=strings, structs={"Elixir.Date": hook})
        assert list(term) == [("date", 5)] * 5 + [{1: 2}]
        assert given == [dict] * 5

    @pytest.mark.parametrize(
        "raw",
        [
            mapping(atom("__struct__"), atom("Elixir.Time")),
            mapping(atom("__struct__"), binary(b"Elixir.Date")),
            mapping(binary(b"__struct__"), atom("Elixir.Date")),
            mapping(atom("struct"), atom("Elixir.Date")),
            b"t\0\0\0\0",
        ],
    )
    def test_no_struct(self, coder: Coder, strings: str, raw: bytes) -> None:
        plain = coder.decode(V + raw, strings=strings)
        assert same(coder.decode(V + raw, strings=strings, structs={"Elixir.Date": lambda fields: 1}), plain)

    @pytest.mark.parametrize("kind", [ValueError, IndexError, RecursionError, DecodeError])
    def test_a_hook_that_raises(self, coder: Coder, kind: type[Exception]) -> None:
        def hook(fields: dict[Any, Any]) -> Any:
            raise kind("expected", "got") if kind is DecodeError else kind("secret")

        with pytest.raises(DecodeError) as caught:
            coder.decode(V + b"h\x02a\x01" + self.DATE, structs={"Elixir.Date": hook})
        assert (caught.value.offset, caught.value.path) == (5, "$[1]")
        assert type(caught.value.__cause__) is kind
        assert "Elixir.Date" in str(caught.value)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
    def test_what_passes(self, coder: Coder, kind: type[BaseException]) -> None:
        def hook(fields: dict[Any, Any]) -> Any:
            raise kind

        with pytest.raises(kind):
            coder.decode(V + self.DATE, structs={"Elixir.Date": hook})

    def test_a_struct_as_a_key(self, coder: Coder, strings: str) -> None:
        data = V + b"h\x01" + mapping(self.DATE, b"a\x01", b"a\x02", b"a\x03")
        assert coder.decode(data, strings=strings, structs={"Elixir.Date": lambda fields: "day"})[0] == {"day": 1, 2: 3}
        for kind in (Unhashable, Clumsy):
            with raising(DecodeError, offset=3, path="$[0]"):
                coder.decode(data, strings=strings, structs={"Elixir.Date": lambda fields, kind=kind: kind()})

    def test_a_key_for_which_there_is_no_memory(self, coder: Coder) -> None:
        with pytest.raises(MemoryError):
            coder.decode(V + mapping(self.DATE, b"a\x01"), structs={"Elixir.Date": lambda fields: Greedy()})

    def test_clumsy_keys_of_a_large_map(self, coder: Coder) -> None:
        data = V + b"h\x01t" + u32(1001) + self.DATE + b"j" + b"".join(b"b" + u32(index) + b"j" for index in range(1000))
        with raising(DecodeError, offset=3, path="$[0]"):
            coder.decode(data, structs={"Elixir.Date": lambda fields: Clumsy()})

    def test_hooks_may_decode(self, coder: Coder) -> None:
        term = coder.decode(V + self.DATE, structs={"Elixir.Date": lambda fields: coder.decode(V + b"h\x01a\x07")})
        assert term == (7,)


class TestOpaque:
    MARK = atom("$erlport.opaque")

    def data(self, language: bytes, payload: bytes, mark: bytes = MARK) -> bytes:
        return V + b"h\x01h\x03" + mark + language + payload

    def test_of_erlang(self, coder: Coder) -> None:
        raw = b"X" + NODE + u32(1) + u32(2) + u32(3)
        data = self.data(atom("erlang"), binary(raw))
        assert coder.decode(data) == (OpaqueObject(raw, ByteAtom(b"erlang")),)
        assert coder.decode(data, strings="str") == (Pid(N, 1, 2, 3),)

    @pytest.mark.parametrize("mark", [b"d\0\x0f$erlport.opaque", b"s\x0f$erlport.opaque", b"v\0\x0f$erlport.opaque"])
    @pytest.mark.parametrize("large", [0, 1])
    def test_in_other_tags(self, coder: Coder, strings: str, mark: bytes, large: int) -> None:
        data = self.data(b"s\x04ruby", binary(b"\xc3\xa9"), mark)
        term = coder.decode(data, strings=strings, view_threshold=large, max_atoms=10 if large else 10_000)
        assert term == (OpaqueObject(b"\xc3\xa9", ByteAtom(b"ruby")),)

    def test_in_the_root_and_in_a_key(self, coder: Coder) -> None:
        inner = b"h\x03" + self.MARK + atom("ruby") + binary(b"x")
        value = OpaqueObject(b"x", ByteAtom(b"ruby"))
        assert coder.decode(V + mapping(inner, inner)) == {value: value}

    @pytest.mark.parametrize("raw", [binary(b""), binary(b"x"), b"M\0\0\0\1\x08x", b"j", b"a\x01", atom("x"), b"M\0\0\0\1\x01x"])
    def test_what_is_no_leaf_of_ours(self, coder: Coder, strings: str, raw: bytes) -> None:
        data = self.data(atom("erlang"), binary(raw))
        term = coder.decode(data, strings=strings)[0]
        if strings == "str" and raw[5:6] == b"\x01" and raw[:1] == b"M":
            assert term == BitString(b"\0", 1)
        else:
            assert term == OpaqueObject(raw, ByteAtom(b"erlang"))

    @pytest.mark.parametrize(
        "raw",
        [
            b"h\x03" + MARK + binary(b"erlang") + binary(b"x"),
            b"h\x03" + binary(b"$erlport.opaque") + atom("erlang") + binary(b"x"),
            b"h\x03" + MARK + atom("erlang") + b"a\x01",
            b"h\x03" + MARK + atom("erlang") + atom("x"),
            b"h\x03" + MARK + atom("python") + b"j",
            b"h\x02" + MARK + atom("erlang"),
            b"h\x04" + MARK + atom("erlang") + binary(b"x") + b"j",
        ],
    )
    def test_what_is_no_opaque(self, coder: Coder, strings: str, raw: bytes) -> None:
        assert type(coder.decode(V + raw, strings=strings)) is tuple

    def test_nothing_is_unpickled(self, coder: Coder, strings: str) -> None:
        pickled = b"cos\nsystem\n(S'exit 1'\ntR."
        with raising(DecodeError, offset=3, path="$[0]"):
            coder.decode(self.data(atom("python"), binary(pickled)), strings=strings)

    def test_pickles_where_allowed(self, coder: Coder, strings: str) -> None:
        import pickle

        data = self.data(atom("python"), binary(pickle.dumps({1, 2}, 2)))
        assert coder.decode(data, strings=strings, allow_pickle=True) == ({1, 2},)
        with raising(DecodeError, offset=3, path="$[0]"):
            coder.decode(self.data(atom("python"), binary(b"junk")), strings=strings, allow_pickle=True)


class TestMemory:
    def test_nothing_leaks(self, coder: Coder, strings: str) -> None:
        from dspex_erl.etf._options import Options

        decoder = coder.decoder_class(Options(strings=strings, max_elements=300))
        marker = b"a leak would keep this" * 3
        good = [V + row[0] for row in TERMS]
        bad = [data[:-1] for data in good] + [
            V + mapping(b"a\1", b"j", b"a\1", b"j"),
            V + listing(binary(marker), b"\xff"),
            V + mapping(listing(binary(marker)), b"\xff"),
            V + listing(*[b"F" + b"\xff" * 8] * 9),
            V + b"l" + u32(1000) + b"j" * 2000,
        ]

        def work() -> None:
            for data in good:
                decoder.decode(data) if len(data) < 600 else None
            for data in bad:
                try:
                    decoder.decode(data)
                except DecodeError:
                    pass

        for _ in range(3):
            work()
        gc.collect()
        counts = [sys.getrefcount(item) for item in (None, True, decoder, marker)]
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10):
                work()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 150_000  # some 5000 calls; the table of atoms may still fill up
        after = [sys.getrefcount(item) for item in (None, True, decoder, marker)]
        assert all(abs(new - old) < 50 for new, old in zip(after, counts))

    def test_an_error_holds_no_part_of_the_term(self, coder: Coder) -> None:
        class Held:
            pass

        alive = []

        def hook(fields: Any) -> Any:
            held = Held()
            alive.append(weakref.ref(held))
            return held

        import weakref

        try:
            coder.decode(V + b"h\x02" + TestStructs.DATE + b"\xff", structs={"Elixir.Date": hook})
        except DecodeError:
            pass
        assert [reference() for reference in alive] == [None]

    def test_atoms_do_not_pile_up(self, coder: Coder, strings: str) -> None:
        from dspex_erl.etf._options import Options

        decoder = coder.decoder_class(Options(strings=strings))
        for block in range(12):
            names = [b"w\x08%08d" % (block * 1000 + index) for index in range(1000)]
            names += [b"s\x08%08d" % (block * 1000 + index) for index in range(1000)]
            assert len(decoder.decode(V + b"i" + u32(2000) + b"".join(names))) == 2000
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for block in range(12, 40):
                names = [b"w\x08%08d" % (block * 1000 + index) for index in range(1000)]
                decoder.decode(V + b"i" + u32(1000) + b"".join(names))
            assert tracemalloc.get_traced_memory()[0] - before < 1_500_000
        finally:
            tracemalloc.stop()

    def test_threads_may_share_a_decoder(self, coder: Coder) -> None:
        from dspex_erl.etf._options import Options

        decoder = coder.decoder_class(Options(strings="str"))
        wrong: list[Any] = []

        def work(seed: int) -> None:
            for index in range(300):
                name = f"name{(seed * 7 + index) % 50}"
                if decoder.decode(V + b"h\x02" + atom(name) + listing(atom(name))) != (name, [name]):
                    wrong.append(name)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestTexts:
    """Word for word the same from both coders."""

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"\x82", "expected the version byte 131, got another byte, at byte 0, $"),
            (V, "expected a whole term, got the end of the bytes, at byte 1, $"),
            (V + b"h\x02a\x01", "expected a whole term, got the end of the bytes, at byte 5, $[1]"),
            (V + b"l\0\0\0\2a\1mjj", "expected a whole term, got the end of the bytes, at byte 11, $[1]"),
            (V + b"h\x02a\x01\x01", "expected a term, got tag 1, at byte 5, $[1]"),
            (V + b"jj", "expected nothing behind the term, got more bytes, at byte 2, $"),
            (V + b"h\x01F\x7f\xf0" + bytes(6), "expected a finite float, got a NaN or an infinity, at byte 3, $[0]"),
            (V + b"w\x01\xff", "expected an atom of at most 255 characters, got an invalid name, at byte 1, $"),
            (V + b"d\x01\x00" + b"x" * 256, "expected an atom of at most 255 characters, got a longer name, at byte 1, $"),
            (
                V + b"P" + u32(2) + zlib.compress(b"h\1"),
                "expected a whole term inside the compressed one, got its end, at byte 1, $",
            ),
            (V + b"P" + u32(2) + zlib.compress(b"jj"), "expected one term inside the compressed one, got more bytes, at byte 1, $"),
        ],
    )
    def test_faults(self, coder: Coder, data: bytes, text: str) -> None:
        with pytest.raises(DecodeError) as caught:
            coder.decode(data)
        assert str(caught.value) == text
